/** The queue of one slot between fetch and work: messages in order, which of them are new and meant for it, and their bytes. */
import type { KafkaMessage } from 'kafkajs'
import { PoisonError } from './errors.ts'
import { headerFault, isRedriven, placeOf, redriveOf } from './headers.ts'
import { LeftOut } from './left-out.ts'
import { Positions } from './position.ts'

/** Memory that a queued message costs besides its value. */
const overhead = 300

/** A message that counts. */
export interface Admitted {
  /** Empty where it names none: it cannot be told from a repetition then. */
  readonly origin: string
  /** Of a redriven copy: where the record stood first. */
  readonly original?: number
}

const nowhere: Admitted = { origin: '' }

export class Intake {
  readonly #step: string
  #messages: KafkaMessage[] = []
  #bytes = 0
  #droppingSince: number | undefined
  #droppedAt = 0
  positions = new Positions()
  /** What the task has left out. */
  leftOut = new LeftOut()

  constructor(step: string) {
    this.#step = step
  }

  get bytes(): number {
    return this.#bytes
  }

  /** For how long nothing but drops came, in milliseconds. */
  get droppingMs(): number {
    return this.#droppingSince === undefined ? 0 : this.#droppedAt - this.#droppingSince
  }

  get length(): number {
    return this.#messages.length
  }

  /** Empties the queue and goes on with what is stored. */
  reset(stored: readonly (readonly [string, string])[], leftOut = new LeftOut()): void {
    this.#messages = []
    this.#bytes = 0
    this.#droppingSince = undefined
    this.positions = new Positions(stored)
    this.leftOut = leftOut
  }

  add(messages: readonly KafkaMessage[]): void {
    for (const message of messages) {
      this.#messages.push(message)
      this.#bytes += (message.value?.length ?? 0) + overhead
    }
  }

  /** How many queued messages come before an offset; `most` where there are more. */
  before(offset: number, most: number): number {
    const count = this.#messages.findIndex((message, index) => index >= most || Number(message.offset) >= offset)
    return count < 0 ? this.#messages.length : count
  }

  /**
   * @returns up to `most` messages to be worked off together. Redriven copies stand apart from what comes before them: read again
   *   from before it, the log brings a record first, which is left out again, and its copy behind it.
   */
  batch(most: number): KafkaMessage[] {
    const end = Math.min(most, this.#messages.length)
    let count = 1
    while (count < end && !this.#beginsCopies(count)) count++
    return this.take(Math.min(count, most))
  }

  #beginsCopies(index: number): boolean {
    return isRedriven(this.#messages[index]?.headers) && !isRedriven(this.#messages[index - 1]?.headers)
  }

  /** @returns up to `limit` messages, taken out. */
  take(limit: number): KafkaMessage[] {
    const taken = this.#messages.splice(0, limit)
    for (const message of taken) this.#bytes -= (message.value?.length ?? 0) + overhead
    return taken
  }

  /**
   * @returns what a message that is new and meant for this step is, which then counts as accepted; undefined where it is passed
   *   over; an error where its headers say nothing that can be understood
   */
  accepts(message: KafkaMessage): Admitted | PoisonError | undefined {
    const { headers } = message
    if (headers?.['only-step'] !== undefined) return this.#redriven(message)
    const wrong = headerFault(message)
    if (wrong !== undefined) return new PoisonError('unstamped', wrong)
    const place = placeOf(headers)
    if (place !== undefined && !this.positions.accept(place)) {
      const fault = this.positions.fault(place)
      if (fault !== undefined) return new PoisonError('unstamped', fault)
      this.#droppedAt = Date.now()
      this.#droppingSince ??= this.#droppedAt
      return undefined
    }
    this.#droppingSince = undefined
    // Read once more from before it, the log brings the record itself.
    if (this.leftOut.size > 0) this.leftOut.strike(Number(message.offset))
    return place ?? nowhere
  }

  /**
   * A copy of a record that was left out counts once, and strikes that off; who refuses it again has to leave it out again. A copy
   * that is to be skipped does no more than strike it off.
   */
  #redriven({ headers }: KafkaMessage): Admitted | undefined {
    const redrive = redriveOf(headers)
    if (redrive === undefined || redrive.step !== this.#step || !this.leftOut.strike(redrive.offset)) return undefined
    return redrive.skip ? undefined : { origin: placeOf(headers)?.origin ?? '', original: redrive.offset }
  }
}
