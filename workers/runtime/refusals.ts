/**
 * Tells bad records from a bad system. One record that cannot be read or processed is that record's fault. But where a task refuses
 * one after the other, of origins whose records it used to take, the fault lies with the step or with what it stands on: a release
 * with a bug, a registry that was exchanged, a broker whose clock is wrong. The task is then broken: it rests and leaves out nothing more.
 */
import { FatalError } from './errors.ts'

/** What became of a record, in the order of the log. */
export interface Outcome {
  readonly offset: number
  readonly origin: string
  /** Undefined: it was taken. */
  readonly refused: { readonly code: string; readonly error: string } | undefined
}

/** Records left out in a row after which the step, not they, are at fault. */
export const mostInARow = 100
/** Of so many records at least half of which are ahead of the broker's clock, that clock is at fault. */
const judgedForAhead = 100

interface Stored {
  readonly inARow: number
  /** Whether one of them is of an origin that had records taken. */
  readonly ofKnown: boolean
  /** Records judged lately, and those of them that were ahead. */
  readonly judged: number
  readonly ahead: number
  /** Origins of which no record was ever taken. */
  readonly strange: readonly string[]
}

const mostStrange = 1_000
const nothing: Stored = { inARow: 0, ofKnown: false, judged: 0, ahead: 0, strange: [] }

export class Refusals {
  readonly #task: { readonly step: string; readonly topic: string; readonly partition: number }
  readonly #strange: Set<string>
  readonly #known = new Set<string>()
  readonly #acceptedUntil: number
  #inARow: number
  #ofKnown: boolean
  #judged: number
  #ahead: number
  #changed = false

  /**
   * @param stored what `changes` gave before
   * @param origins of which the task has accepted positions
   * @param acceptedUntil a person has said that what is refused before this offset is rightly refused
   */
  constructor(
    task: { readonly step: string; readonly topic: string; readonly partition: number },
    stored: string | undefined,
    origins: Iterable<string>,
    acceptedUntil = 0,
  ) {
    const { inARow, ofKnown, judged, ahead, strange }: Stored = stored === undefined ? nothing : JSON.parse(stored)
    this.#task = task
    this.#strange = new Set(strange)
    for (const origin of origins) if (!this.#strange.has(origin)) this.#known.add(origin)
    this.#acceptedUntil = acceptedUntil
    ;[this.#inARow, this.#ofKnown, this.#judged, this.#ahead] = [inARow, ofKnown, judged, ahead]
  }

  /** Records of these origins were taken, and none was refused. */
  allTaken(origins: Iterable<string>, records: number): void {
    if (records === 0) return
    for (const origin of origins) this.#know(origin)
    this.#taken()
    if (this.#ahead > 0) this.#count(records, 0)
  }

  /** @throws FatalError `broken`, before which nothing of these outcomes may have been published or stored */
  judge(outcomes: Iterable<Outcome>): void {
    for (const { offset, origin, refused } of outcomes) {
      if (refused === undefined) {
        this.#know(origin)
        this.#taken()
        this.#count(1, 0)
      } else if (offset >= this.#acceptedUntil) this.#refuse(offset, origin, refused)
      else this.#taken()
    }
  }

  /** @returns what to store, or undefined where it has not changed since the last call. */
  changes(): string | undefined {
    if (!this.#changed) return undefined
    this.#changed = false
    const stored: Stored = { inARow: this.#inARow, ofKnown: this.#ofKnown, judged: this.#judged, ahead: this.#ahead, strange: [...this.#strange] } // prettier-ignore
    return JSON.stringify(stored)
  }

  #refuse(offset: number, origin: string, { code, error }: NonNullable<Outcome['refused']>): void {
    this.#changed = true
    this.#inARow++
    if (this.#known.has(origin)) this.#ofKnown = true
    else this.#meet(origin)
    this.#count(1, code === 'ahead' ? 1 : 0)
    const { step, topic, partition } = this.#task
    const where = `${topic}:${partition}, offset ${offset}`
    if (this.#judged >= judgedForAhead && this.#ahead * 2 > this.#judged) {
      const hint = "set the brokers' clocks right; it then goes on by itself"
      throw new FatalError('broken', `${step}: ${this.#ahead} of the last ${this.#judged} records up to ${where} are later than the broker's clock`, { hint }) // prettier-ignore
    }
    if (this.#inARow < mostInARow || !this.#ofKnown) return
    const message = `${step} refuses one record after the other, ${this.#inARow} in a row up to ${where}; the last: ${code}: ${error}`
    const hint = `mend the step or what it stands on and it goes on by itself; if the records are at fault: npm start -- dlq accept ${step}`
    throw new FatalError('broken', message, { hint })
  }

  #taken(): void {
    if (this.#inARow === 0) return
    this.#inARow = 0
    this.#ofKnown = false
    this.#changed = true
  }

  #know(origin: string): void {
    if (this.#known.has(origin)) return
    this.#known.add(origin)
    if (this.#strange.delete(origin)) this.#changed = true
  }

  #meet(origin: string): void {
    if (this.#strange.size < mostStrange) this.#strange.add(origin)
  }

  /** Older records count less and less. */
  #count(records: number, ahead: number): void {
    this.#judged += records
    this.#ahead += ahead
    if (this.#judged < 2 * judgedForAhead) return
    const part = judgedForAhead / this.#judged
    this.#judged = judgedForAhead
    this.#ahead = Math.floor(this.#ahead * part)
  }
}
