/** How long an alert rule keeps a group quiet once it has told it. */
import type { Micros } from '../runtime/definitions.ts'
import { allowedLateness } from '../windows.ts'

/** When a group was told last, and the time before that: the last may be of a record that was dated wrongly. */
type Told = readonly [last: Micros, before: Micros | null]

/** Plain data: rule and group → when it was told. */
export interface Cooldowns {
  told: Record<string, Told>
  /** Groups in `told`. */
  count: number
  /** So many are looked through for those that are over, so that no record pays for all. */
  sweepAt: number
  /** Event time of the newest record that was told. */
  newest: Micros
}

/** Groups that a key remembers at most; beyond it those told longest ago are forgotten, and may be told again too soon. */
const mostGroups = 4_096
const leastSweep = 64

export const emptyCooldowns = (): Cooldowns => ({ told: {}, count: 0, sweepAt: leastSweep, newest: 0 })

/**
 * Whether a rule may tell a group at `ts`; if so that counts as told. What was told at a later event time, by more
 * than what stragglers are late, does not hold it back: that record was dated wrongly.
 * @param everyOf how long each rule keeps a group quiet, undefined for rules that are gone
 */
export function mayTell(
  state: Cooldowns,
  rule: string,
  group: string,
  ts: Micros,
  everyOf: (rule: string) => Micros | undefined,
): boolean {
  const every = everyOf(rule) ?? 0
  if (every === 0) return true
  const key = `${rule} ${group}`
  const times = state.told[key]
  if (times?.some((time) => time !== null && ts >= time - allowedLateness && ts - time < every)) return false
  if (times === undefined) state.count++
  state.told[key] = [ts, times?.find((time) => time !== null && time <= ts) ?? null]
  if (state.count > state.sweepAt) sweep(state, Math.min(ts, state.newest), everyOf)
  state.newest = ts
  return true
}

/** Forgets what is over at `now`, and of what is left too much. */
function sweep(state: Cooldowns, now: Micros, everyOf: (rule: string) => Micros | undefined): void {
  let left = Object.entries(state.told).filter(([key, [last]]) => {
    const every = everyOf(key.slice(0, key.indexOf(' '))) ?? 0
    return last + every > now
  })
  // Equal times stay in the order in which they were told.
  if (left.length > mostGroups / 2) left = left.toSorted(([, [a]], [, [b]]) => a - b).slice(-mostGroups / 2)
  state.told = Object.fromEntries(left)
  state.count = left.length
  state.sweepAt = Math.max(leastSweep, 2 * left.length)
}
