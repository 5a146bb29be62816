/** Which times a venue can have meant. What it cannot have meant is refused; a time is never altered. */
import type { Micros } from '../../workers/runtime/definitions.ts'

/** The first block of Bitcoin, 2009-01-03. Zero and seconds that were taken for milliseconds lie before it. */
const earliest: Micros = Date.UTC(2009, 0, 3) * 1_000
/** No clock that is kept differs so much; further ahead are wrong days and time zones. */
const mostAhead: Micros = 600_000_000

/**
 * Whether a trade can have happened at a time. Readers are stricter with what lies ahead, and go by the broker's clock: where
 * ours is wrong by minutes, nothing is lost.
 * @param receivedAt when the connector read it
 */
export const isPlausibleTime = (time: Micros, receivedAt: Micros): boolean =>
  time >= earliest && time <= receivedAt + mostAhead
