/** What the failure tests switch off, to see themselves fail; nothing can be switched off but under NODE_ENV=test. */

/** A guard of §5 of the design: each alone keeps records from being lost or counted twice. */
export type Guard = 'fence' | 'compare-and-set' | 'position-rule' | 'acknowledgement' | 'ownership'

const named = process.env['NODE_ENV'] === 'test' ? process.env['CRYPTO_INTEL_TEST_SWITCH'] : undefined

/** @returns whether a guard is on; constant for the process. */
export const guarded = (guard: Guard): boolean => named !== guard
