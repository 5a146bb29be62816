/** One partition that a group holds: where its reading stands and when it last came on. */
import type { Topic } from '../definitions.ts'
import type { Ownership } from '../ownership.ts'
import type { Unit } from '../units.ts'
import type { Slot } from './slot.ts'

export class Held {
  readonly topic: Topic
  readonly partition: number
  readonly slot: Slot
  /** How its failures are reported. */
  readonly unit: Unit
  /** 'failed': nothing is read until it is opened again after a pause. */
  state: 'opening' | 'reading' | 'full' | 'failed' = 'opening'
  /** Of the newest opening: what an older one finds no longer counts. */
  ownership: Ownership | undefined
  /** Next offset expected from the broker. */
  next = 0
  highWatermark = 0
  /** When the message before `next` was appended, in milliseconds, as far as it is known. */
  appendTime: number | undefined
  /** When the newest message fetched was appended, in milliseconds. */
  newest = Date.now()
  /** Openings since something was last worked off. */
  failures = 0
  /** Whether a newer replica has to take it: its state is beyond this one. */
  refused = false
  /** When the slot let go, in milliseconds. */
  abandonedAt: number | undefined
  probedAt = Date.now()
  /** When it was opened last, in milliseconds. */
  openedAt = 0
  /** Whether it has been reported that nothing comes on. */
  stalled = false
  #movedAt = Date.now()
  #progress = 0

  constructor(topic: Topic, partition: number, slot: Slot, unit: Unit) {
    this.topic = topic
    this.partition = partition
    this.slot = slot
    this.unit = unit
  }

  /** Records between the log's end, as far as it is known, and what is worked off. */
  get lag(): number {
    return Math.max(0, this.highWatermark - this.next) + this.slot.queued
  }

  /**
   * Something came on, or there is nothing to do.
   * @param waitMs a wait that is declared: it counts as progress
   */
  moved(waitMs = 0): void {
    this.#movedAt = Date.now() + waitMs
  }

  /** @returns for how long nothing has come on, in milliseconds. */
  idleMs(): number {
    if (this.slot.progress !== this.#progress) {
      this.#progress = this.slot.progress
      this.failures = 0
      this.unit.recovered()
      this.moved()
    }
    return Date.now() - this.#movedAt
  }
}
