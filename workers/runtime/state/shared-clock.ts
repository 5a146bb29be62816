/**
 * The time of a key that several origins write: the least that their clocks have come to. A clock that stands still while another
 * advances by ten seconds is left out until it moves on; what its origin then brings below the key's time is late. The time
 * of a key never goes back for it.
 */
import type { Micros } from '../definitions.ts'
import type { Clock, OriginClock } from './clock.ts'

export interface StoredSharedClock {
  readonly names: readonly string[]
  readonly floor: Micros
}

/** @returns the clock of a key whose newest record is of `newest`, where it went by `clock` before. */
export function joined(clock: Clock, newest: OriginClock): Clock {
  if (clock === newest) return clock
  const shared = clock instanceof SharedClock ? clock : new SharedClock([clock.newest], clock.horizon)
  shared.join(newest)
  return shared
}

export class SharedClock implements Clock {
  newest: OriginClock
  /** The key's timers run one by one: time stands here meanwhile. */
  #limit: Micros = Infinity
  #clocks: OriginClock[]
  /** What the key's time was when its last record came or timer ran. */
  #floor: Micros

  /** @param clocks at least one; the last is that of the newest record */
  constructor(clocks: readonly OriginClock[], floor: Micros) {
    const newest = clocks.at(-1)
    if (newest === undefined) throw new Error('a shared clock needs a clock')
    this.#clocks = []
    this.#floor = floor
    this.newest = newest
    for (const clock of clocks) this.#add(clock)
  }

  store(): StoredSharedClock {
    const others = this.#clocks.filter((clock) => clock !== this.newest)
    return { names: [...others, this.newest].map(({ name }) => name), floor: this.#floor }
  }

  get name(): string {
    return this.newest.name
  }

  get horizon(): Micros {
    return Math.min(this.#limit, this.#time(undefined, 0))
  }

  get finalized(): number | null {
    return this.newest.finalized
  }

  get finalizedHorizon(): Micros {
    const chains = this.#clocks.filter((clock) => clock.ofChain && !this.#isIdle(clock))
    return chains.length === 0
      ? this.newest.finalizedHorizon
      : Math.min(...chains.map(({ finalizedHorizon }) => finalizedHorizon))
  }

  get ofChain(): boolean {
    return this.#clocks.some((clock) => clock.ofChain && !this.#isIdle(clock))
  }

  has(clock: OriginClock): boolean {
    return this.#clocks.includes(clock)
  }

  timeWith(clock: OriginClock, time: Micros): Micros {
    return this.#time(clock, time)
  }

  blockAt(time: Micros): number | null {
    let newest: number | null = null
    for (const clock of this.#clocks) {
      const block = clock.blockAt(time)
      if (block !== null && block > (newest ?? -1)) newest = block
    }
    return newest
  }

  /** Hangs a timer on every clock by which it may become due: those that have not come to it, and those that may leave others idle. */
  setTimer(time: Micros, key: string): void {
    const late = this.#clocks.filter((clock) => clock.horizon < time && !this.#isIdle(clock))
    for (const clock of this.#clocks) {
      if (clock.horizon < time || late.length === 0) {
        clock.timers.add(time, key)
        continue
      }
      const check = Math.min(...late.map((other) => other.idleAt(clock)))
      if (!clock.idleChecks.has(check, key)) clock.idleChecks.add(check, key)
    }
  }

  /** Runs the key's timers up to `time`. */
  runUpTo(time: Micros, run: () => void): void {
    this.#floor = this.#time(undefined, 0)
    this.#limit = time
    run()
    this.#limit = Infinity
  }

  /** A record of this origin has come for the key. */
  join(newest: OriginClock): void {
    // Until now the key's time was that of the others.
    this.#floor = this.#time(undefined, 0)
    if (!this.has(newest)) {
      // An idle clock that has a record for the key again joins anew.
      this.#clocks = this.#clocks.filter((clock) => !this.#isIdle(clock))
      this.#add(newest)
      // Beside it others may be idle.
      this.#floor = this.#time(undefined, 0)
    }
    this.newest = newest
  }

  /** Blocks of an origin were removed: time goes back. */
  setBack(horizon: Micros): void {
    this.#floor = Math.min(this.#floor, horizon)
  }

  #add(clock: OriginClock): void {
    for (const other of this.#clocks) {
      other.addPeer(clock)
      clock.addPeer(other)
    }
    this.#clocks.push(clock)
  }

  #isIdle(clock: OriginClock): boolean {
    return this.#clocks.some((other) => other !== clock && clock.isIdleBeside(other))
  }

  /** @param time to which `speaker` has come with a record that is being taken */
  #time(speaker: OriginClock | undefined, time: Micros): Micros {
    let [least, floor] = [Infinity, this.#floor]
    for (const clock of this.#clocks) {
      const come = clock === speaker && time > clock.horizon ? time : clock.horizon
      if (come < least && !this.#isIdle(clock)) least = come
      floor = Math.max(floor, this.#leastAtReturn(clock))
    }
    // The clock that has come furthest is not idle.
    return Math.max(floor, least)
  }

  /** The least that the others had come to when a clock moved on after all of them had left it behind. */
  #leastAtReturn(clock: OriginClock): Micros {
    let least = Infinity
    for (const other of this.#clocks) if (other !== clock) least = Math.min(least, clock.horizonAtReturn(other))
    return least === Infinity ? -1 : least
  }
}
