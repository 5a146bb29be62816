/** Topics of the bench's own. */

/** What pass-through.ts emits. */
export const passedName = 'bench.passed'

/** The hops of bare-line.ts. */
export const lineTopics = ['bench.line1', 'bench.line2', 'bench.line3'] as const
