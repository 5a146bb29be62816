/** Dead letters: what could not be read, processed or written goes to dlq.v1, whole. */
import type { KafkaMessage } from 'kafkajs'
import { topics } from '../../schemas/topics.ts'
import type { DeadLetter } from '../../schemas/types.ts'
import { Encoder, schemaIdOf } from './codec.ts'
import type { Context, Topic } from './definitions.ts'
import { placeHeaders, placeOf, type Headers } from './headers.ts'
import { Partitioner, type Names } from './kafka/client.ts'
import type { Accumulator } from './kafka/accumulator.ts'
import { emissionPosition } from './position.ts'
import type { WakeUp } from './slot-task.ts'

export type DeadReason = 'poison' | 'late' | 'rejected'

export interface Dead {
  readonly reason: DeadReason
  readonly code: string
  readonly error: string
  readonly wakeUp?: WakeUp
}

/** A faulty writer's records are all alike: of so long a time one is logged, with how many there were. */
const logMs = 1_000

/** Writes the dead letters of one step; the caller awaits the accumulator before it goes on. */
export class DeadLetters {
  readonly #context: Context
  readonly #step: string
  readonly #accumulator: Accumulator
  readonly #encoder: Encoder
  readonly #partitioner = new Partitioner(topics.deadLetters)
  readonly #topic: string
  #loggedAt = -Infinity
  #unlogged = 0

  constructor(
    context: Context,
    names: Names,
    step: string,
    accumulator: Accumulator,
    schemaIds: ReadonlyMap<string, number>,
  ) {
    this.#context = context
    this.#step = step
    this.#accumulator = accumulator
    this.#encoder = new Encoder(schemaIds)
    this.#topic = names.topic(topics.deadLetters)
  }

  /**
   * Queues a message; the same message gives the same letter, so that a repetition is dropped by its position. Where a wake-up is
   * at fault the letter has its key and no value, since the message, which only moved time, is not to be sent again.
   */
  add(topic: Topic, partition: number, message: KafkaMessage, { reason, code, error, wakeUp }: Dead): void {
    const { metrics } = this.#context
    const offset = Number(message.offset)
    const place = placeOf(message.headers)
    const value = wakeUp === undefined ? message.value : null
    const letter: DeadLetter = {
      id: `${this.#step}:${topic.name}:${partition}:${offset}:${wakeUp === undefined ? reason : `${code}:${wakeUp.key}`}`,
      ts: Number(message.timestamp) * 1_000,
      step: this.#step,
      reason,
      code,
      error,
      topic: topic.name,
      partition,
      offset,
      origin: place?.origin ?? null,
      position: place?.position ?? null,
      schemaId: (value === null ? undefined : schemaIdOf(value)) ?? null,
      key: wakeUp === undefined ? message.key : Buffer.from(wakeUp.key),
      value,
      headers: bytesOf(message.headers),
    }
    const key = topics.deadLetters.key(letter)
    // Each kind of fault is found in the order of the log, but not all of them together.
    const headers = placeHeaders({
      origin: `${this.#step}:${key}:${code}`,
      position: emissionPosition(0, offset, wakeUp?.index ?? 0),
    })
    const bytes = this.#encoder.encode(topics.deadLetters, letter)
    this.#accumulator.appendPatiently(this.#topic, this.#partitioner.of(key), { key, value: bytes, headers }, true)
    metrics.deadLetters.inc({ step: this.#step, reason })
    if (reason === 'late') metrics.late.inc({ step: this.#step, topic: topic.name })
    else {
      metrics.errors.inc({ step: this.#step, class: 'poison' })
      this.#log({ topic: topic.name, partition, offset, reason, code, error })
    }
  }

  #log(letter: Dead & { readonly topic: string; readonly partition: number; readonly offset: number }): void {
    const now = performance.now()
    this.#unlogged++
    if (now - this.#loggedAt < logMs) return
    this.#context.log.error({ ...letter, records: this.#unlogged }, 'record went to dlq.v1')
    this.#loggedAt = now
    this.#unlogged = 0
  }
}

function bytesOf(headers: Headers | undefined): Record<string, Buffer> {
  const bytes: Record<string, Buffer> = {}
  for (const [name, value] of Object.entries(headers ?? {})) {
    const first = Array.isArray(value) ? value[0] : value
    if (first !== undefined) bytes[name] = typeof first === 'string' ? Buffer.from(first) : first
  }
  return bytes
}
