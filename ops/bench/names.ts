/** Topics of the bench's own. */

/** What pass-through.ts emits. */
export const passedName = 'bench.passed'

/** Trades of which one in a hundred cannot be decoded. */
export const corruptName = 'bench.corrupt-trades'

/** The hops of bare-line.ts. */
export const lineTopics = ['bench.line1', 'bench.line2', 'bench.line3'] as const
