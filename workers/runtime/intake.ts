/** The queue of one slot between fetch and work: messages in order, what is new by the position rule, and their bytes. */
import type { KafkaMessage } from 'kafkajs'
import { onlyStepOf, placeOf } from './headers.ts'
import { Positions, type Placed } from './position.ts'

/** Memory that a queued message costs besides its value. */
const overhead = 300
/** Of a message that names none: it cannot be told from a repetition. */
const nowhere: Placed = { origin: '', position: '' }

export class Intake {
  readonly #step: string
  #messages: KafkaMessage[] = []
  #bytes = 0
  #droppingSince: number | undefined
  #droppedAt = 0
  positions = new Positions()

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

  /** Empties the queue and goes on with stored positions. */
  reset(stored: readonly (readonly [string, string])[]): void {
    this.#messages = []
    this.#bytes = 0
    this.#droppingSince = undefined
    this.positions = new Positions(stored)
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

  /** @returns up to `limit` messages, taken out. */
  take(limit: number): KafkaMessage[] {
    const taken = this.#messages.splice(0, limit)
    for (const message of taken) this.#bytes -= (message.value?.length ?? 0) + overhead
    return taken
  }

  /** @returns the place of a message that is new and meant for this step, which then counts as accepted; else undefined. */
  accepts(message: KafkaMessage): Placed | undefined {
    const place = placeOf(message.headers)
    if (place !== undefined && !this.positions.accept(place)) {
      this.#droppedAt = Date.now()
      this.#droppingSince ??= this.#droppedAt
      return undefined
    }
    this.#droppingSince = undefined
    const only = onlyStepOf(message.headers)
    return only === undefined || only === this.#step ? (place ?? nowhere) : undefined
  }
}
