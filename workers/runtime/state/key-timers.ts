/** Moves clocks forward and runs the timers of keys that become due, in the order of (time, key). */
import type { Micros } from '../definitions.ts'
import type { Cell } from './cell.ts'
import type { Clock, OriginClock } from './clock.ts'
import { SharedClock } from './shared-clock.ts'
import type { Timer } from './timers.ts'

/** A key that may have a timer. */
export interface Timed {
  readonly cell: Pick<Cell, 'wake' | 'failed'>
  readonly clock: Clock
}

export class KeyTimers<Entry extends Timed> {
  readonly #keys: ReadonlyMap<string, Entry>
  readonly #run: (entry: Entry, key: string) => void

  /** @param run runs the timers of a key up to its clock's time, and sets the next one */
  constructor(keys: ReadonlyMap<string, Entry>, run: (entry: Entry, key: string) => void) {
    this.#keys = keys
    this.#run = run
  }

  /** Sets the timer that a key asks for. One that has thrown waits for the key's next record. */
  set({ cell, clock }: Timed, key: string): void {
    if (cell.wake !== null && cell.wake !== cell.failed) clock.setTimer(cell.wake, key)
  }

  /** Whether a timer of the key has come up, but has not run. */
  isDue({ cell, clock }: Timed): boolean {
    return cell.wake !== null && cell.wake !== cell.failed && cell.wake <= clock.horizon
  }

  /** Moves a clock forward, from one timer to the next, so that none finds a time that is later than its own. */
  advance(clock: OriginClock, horizon: Micros): void {
    const until = Math.max(horizon, clock.horizon)
    const { timers, idleChecks } = clock
    for (
      let next = Math.min(timers.next, idleChecks.next);
      next <= until;
      next = Math.min(timers.next, idleChecks.next)
    ) {
      clock.reach(next)
      for (let check = idleChecks.take(next); check !== undefined; check = idleChecks.take(next))
        this.#checkIdle(clock, check.key)
      const timer = timers.take(next)
      if (timer !== undefined) this.#reached(clock, timer)
    }
    clock.reach(horizon)
  }

  /** A clock has come so far that another may no longer hold a key back. */
  #checkIdle(clock: OriginClock, key: string): void {
    const entry = this.#keys.get(key)
    if (entry?.clock.has(clock)) this.set(entry, key)
  }

  /** A clock has come to a key's timer. It may have been replaced, and other clocks of the key may not have come to it. */
  #reached(clock: OriginClock, { time, key }: Timer): void {
    const entry = this.#keys.get(key)
    if (entry === undefined || entry.cell.wake !== time || !entry.clock.has(clock)) return
    const shared = entry.clock instanceof SharedClock ? entry.clock : undefined
    if (shared === undefined) return this.#run(entry, key)
    if (shared.horizon < time) return shared.setTimer(time, key)
    shared.runUpTo(time, () => this.#run(entry, key))
  }
}
