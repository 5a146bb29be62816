/** Windows of event time, which every step that closes seconds or minutes of a market shares. */
import type { Micros } from './runtime/definitions.ts'

export const second: Micros = 1_000_000
export const minute: Micros = 60 * second
export const hour: Micros = 60 * minute

/**
 * How long after its end a window of trades waits for stragglers, in stream time. A venue numbers its trades in the order
 * of the match and connectors publish them in that order, whole, after a gap too; only the times within go back, by the
 * few milliseconds that a venue's clocks differ. Half a second is ample for that and does not delay what people watch.
 * Seconds and minutes share it, so that a minute is exactly its seconds and two steps never disagree on a close.
 */
export const allowedLateness: Micros = 500_000

/** First microsecond of the window of `length` that `time` falls into. */
export const windowStart = (time: Micros, length: Micros): Micros => time - (((time % length) + length) % length)

/** Venue and symbol of a market key, `venue:symbol`. */
export function marketOf(key: string): { venue: string; symbol: string } {
  const colon = key.indexOf(':')
  return { venue: key.slice(0, colon), symbol: key.slice(colon + 1) }
}
