/**
 * How far an origin's time has come within one input partition, which blocks are not final, and the timers that wait for it.
 * A key that one origin writes goes by that origin's clock; a key that several write by theirs together (shared-clock.ts).
 */
import type { Micros } from '../definitions.ts'
import { Timers } from './timers.ts'

/** Says how far time has come for a key. */
export interface Clock {
  /** Of the origin whose record came last. */
  readonly name: string
  /** The clock of that origin. */
  readonly newest: OriginClock
  /** Every timer up to here has run. */
  readonly horizon: Micros
  readonly finalized: number | null
  /** Time of the newest final block; timers up to here are final. */
  readonly finalizedHorizon: Micros
  /** Whether records come from a chain whose newest blocks may still be removed. */
  readonly ofChain: boolean
  /** Whether an origin's clock is part of this one. */
  has(clock: OriginClock): boolean
  /** Stream time where the clock of one origin has come to `time` with the record that is being taken. */
  timeWith(clock: OriginClock, time: Micros): Micros
  /** The block that made timers of `time` due, for records that follow from time alone. */
  blockAt(time: Micros): number | null
  /** Sets a key's timer; one that it replaces is passed over when it comes up. */
  setTimer(time: Micros, key: string): void
}

export interface StoredClock {
  readonly horizon: Micros
  readonly finalized: number | null
  readonly finalizedHorizon: Micros
  /** Finality that was passed on. */
  readonly told: number
  /** Number and time of each block since the finalized one. */
  readonly blocks: readonly (readonly [block: number, time: Micros])[]
  /** Clocks that share a key with this one: name, and what `Peer` says of each. */
  readonly peers?: readonly (readonly [name: string, atMove: Micros, atReturn: Micros])[]
}

/** How far another clock of a key may advance while one stands still, before that one no longer holds the key back. */
export const idleAfter: Micros = 10_000_000

/** Another clock that writes a key of this one. */
interface Peer {
  /** How far it had come when this clock moved last. */
  atMove: Micros
  /** How far it had come when this clock moved on after it had been idle; -1 where it never was. */
  atReturn: Micros
}

/** Blocks by which finality must have moved to be passed on to the readers of what a step writes. */
const tellEvery = 32

export class OriginClock implements Clock {
  readonly name: string
  horizon: Micros
  finalized: number | null
  finalizedHorizon: Micros
  changed = false
  readonly timers = new Timers()
  /** When to check whether the timer of a key that this clock shares is due, since another clock may be idle by then. */
  readonly idleChecks = new Timers()
  #told: number
  readonly #blocks: [block: number, time: Micros][]
  readonly #peers = new Map<OriginClock, Peer>()

  constructor(name: string, stored?: StoredClock) {
    this.name = name
    this.horizon = stored?.horizon ?? -1
    this.finalized = stored?.finalized ?? null
    this.finalizedHorizon = stored?.finalizedHorizon ?? -1
    this.#told = stored?.told ?? -tellEvery
    this.#blocks = (stored?.blocks ?? []).map(([block, time]) => [block, time])
  }

  store(): StoredClock {
    const { horizon, finalized, finalizedHorizon } = this
    const stored = { horizon, finalized, finalizedHorizon, told: this.#told, blocks: this.#blocks }
    if (this.#peers.size === 0) return stored
    return {
      ...stored,
      peers: [...this.#peers].map(([{ name }, { atMove, atReturn }]) => [name, atMove, atReturn] as const),
    }
  }

  get newest(): this {
    return this
  }

  get ofChain(): boolean {
    return this.finalized !== null
  }

  has(clock: OriginClock): boolean {
    return clock === this
  }

  timeWith(_clock: OriginClock, time: Micros): Micros {
    return Math.max(this.horizon, time)
  }

  setTimer(time: Micros, key: string): void {
    this.timers.add(time, key)
  }

  /** Takes note of a clock that writes a key of this one. */
  addPeer(clock: OriginClock, atMove: Micros = clock.horizon, atReturn: Micros = -1): void {
    if (clock === this || this.#peers.has(clock)) return
    this.#peers.set(clock, { atMove, atReturn })
    this.changed = true
  }

  /** Whether this clock has stood still while the other advanced so far that it no longer holds a key of both back. */
  isIdleBeside(clock: OriginClock): boolean {
    return clock.horizon >= this.idleAt(clock)
  }

  /** How far the other must come for this clock to count as idle, if it stands still. Who only catches up leaves none behind. */
  idleAt(clock: OriginClock): Micros {
    const peer = this.#peers.get(clock)
    return peer === undefined ? Infinity : Math.max(peer.atMove, this.horizon) + idleAfter
  }

  /** How far the other had come when this clock moved on after it had been idle; -1 where it never was. */
  horizonAtReturn(clock: OriginClock): Micros {
    return this.#peers.get(clock)?.atReturn ?? -1
  }

  /** Moves time forward. */
  reach(horizon: Micros): void {
    // No number moves nothing.
    if (!(horizon > this.horizon)) return
    if (this.#peers.size > 0) this.#notePeers()
    this.horizon = horizon
    this.changed = true
  }

  blockAt(time: Micros): number | null {
    return this.#blocks.find(([, blockTime]) => blockTime >= time)?.[0] ?? null
  }

  /** A block has begun to come in, or has gone by. */
  begin(block: number, time: Micros): void {
    if (block <= (this.#blocks.at(-1)?.[0] ?? -1)) return
    this.changed = true
    if (block > (this.finalized ?? -1)) this.#blocks.push([block, time])
    else if (time > this.finalizedHorizon) this.finalizedHorizon = time
  }

  /** The newest blocks down to `block` (which stays) were removed: time goes back. */
  setBack(block: number, horizon: Micros): void {
    while ((this.#blocks.at(-1)?.[0] ?? -1) > block) this.#blocks.pop()
    this.horizon = horizon
    this.changed = true
    for (const clock of this.#peers.keys()) clock.#setPeerBack(this)
  }

  /** Blocks up to `block` cannot be removed any more. */
  finalize(block: number): void {
    if (this.finalized !== null && block <= this.finalized) return
    this.finalized = block
    this.changed = true
    while (this.#blocks[0] !== undefined && this.#blocks[0][0] <= block) {
      this.finalizedHorizon = this.#blocks[0][1]
      this.#blocks.shift()
    }
  }

  /** @returns whether finality has moved so far that the readers of what a step writes should hear of it; asked once. */
  tells(): boolean {
    if (this.finalized === null || this.finalized < this.#told + tellEvery) return false
    this.#told = this.finalized
    this.changed = true
    return true
  }

  /** Before it moves, sees how far the others have come. */
  #notePeers(): void {
    for (const [clock, peer] of this.#peers) {
      if (this.isIdleBeside(clock)) peer.atReturn = clock.horizon
      peer.atMove = clock.horizon
    }
  }

  #setPeerBack(clock: OriginClock): void {
    const peer = this.#peers.get(clock)
    if (peer === undefined) return
    peer.atMove = Math.min(peer.atMove, clock.horizon)
    peer.atReturn = Math.min(peer.atReturn, clock.horizon)
    this.changed = true
  }
}
