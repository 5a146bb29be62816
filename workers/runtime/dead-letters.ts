/** Dead letters: what could not be read, processed or written goes to dlq.v1, whole, or where it is too large the beginning of it. */
import { createHash } from 'node:crypto'
import type { KafkaMessage } from 'kafkajs'
import { topics } from '../../schemas/topics.ts'
import type { DeadLetter } from '../../schemas/types.ts'
import { Encoder, schemaIdOf } from './codec.ts'
import type { Context, Topic } from './definitions.ts'
import type { Refold, WakeUp } from './faults.ts'
import { placeHeaders, placeOf, type Headers } from './headers.ts'
import { Partitioner, type Names } from './kafka/client.ts'
import type { Sender } from './kafka/accumulator.ts'
import { emissionPosition } from './position.ts'
import { mayFail } from './test-errors.ts'

export type DeadReason = 'poison' | 'late' | 'rejected'

export interface Dead {
  readonly reason: DeadReason
  readonly code: string
  readonly error: string
  readonly wakeUp?: WakeUp
  readonly refold?: Refold
  /** Id of the record, where it can be read. */
  readonly id?: string | undefined
  /** Where the record stood first, if the message is a redriven copy of it. */
  readonly original?: number | undefined
}

/** A faulty writer's records are all alike: of so long a time one is logged, with how many there were. */
const logMs = 1_000
/** What a letter may have: the topic's limit, less than what its batch and its headers have. */
const mostBytes = (topics.deadLetters.maxMessageBytes ?? 0) - 64 * 1024
const mostErrorText = 4_000
/** What is left of a letter that does not fit. */
const cutTo = { value: 64 * 1024, key: 1_024, headers: 16, header: 256 }

/** Writes the dead letters of one step; the caller awaits its sender before it goes on. */
export class DeadLetters {
  readonly #context: Context
  readonly #step: string
  readonly #encoder: Encoder
  readonly #partitioner = new Partitioner(topics.deadLetters)
  readonly #topic: string
  #loggedAt = -Infinity
  #unlogged = 0

  constructor(context: Context, names: Names, step: string, schemaIds: ReadonlyMap<string, number>) {
    this.#context = context
    this.#step = step
    this.#encoder = new Encoder(schemaIds)
    this.#topic = names.topic(topics.deadLetters)
  }

  /**
   * Queues a message; the same message gives the same letter, so that a repetition is dropped by its position. Where a wake-up
   * or an input that was folded again is at fault, the letter has its key and no value, since the message is not to be sent again.
   */
  add(sender: Sender, topic: Topic, partition: number, message: KafkaMessage, dead: Dead): void {
    mayFail('dead-letter')
    const { reason, code, wakeUp, refold } = dead
    const letter = letterOf(this.#step, topic, partition, message, dead)
    const key = topics.deadLetters.key(letter)
    // Each kind of fault is found in the order of the log, but not all of them together.
    const headers = placeHeaders({
      origin: `${this.#step}:${key}:${code}`,
      position: emissionPosition(0, Number(message.offset), (wakeUp ?? refold)?.index ?? 0),
    })
    const value = this.#encoder.encode(topics.deadLetters, letter)
    sender.appendPatiently(this.#topic, this.#partitioner.of(key), { key, value, headers }, true)
    const { metrics } = this.#context
    metrics.deadLetters.inc({ step: this.#step, reason })
    if (reason === 'late') metrics.late.inc({ step: this.#step, topic: topic.name })
    else {
      metrics.errors.inc({ step: this.#step, class: 'poison' })
      this.#log({ topic: topic.name, partition, offset: letter.offset, reason, code, error: letter.error })
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

/** @returns the letter of a message that fits its topic whatever the message holds. */
export function letterOf(step: string, topic: Topic, partition: number, message: KafkaMessage, dead: Dead): DeadLetter {
  const { reason, code, error, wakeUp, refold, id, original } = dead
  const other = wakeUp ?? refold
  const offset = original ?? Number(message.offset)
  const place = placeOf(message.headers)
  const value = other === undefined ? message.value : null
  const kind = [
    other === undefined ? reason : `${code}:${other.key}`,
    ...(refold === undefined ? [] : [refold.id]),
  ].join(':')
  const letter: DeadLetter = {
    id: wellFormed(`${step}:${topic.name}:${partition}:${offset}:${kind}`),
    ts: Number(message.timestamp) * 1_000,
    step,
    reason,
    code,
    error: wellFormed(error, mostErrorText),
    topic: topic.name,
    partition,
    offset,
    origin: place === undefined ? null : wellFormed(place.origin),
    position: place === undefined ? null : wellFormed(place.position),
    schemaId: (value === null ? undefined : schemaIdOf(value)) ?? null,
    key: other === undefined ? message.key : Buffer.from(other.key),
    value,
    headers: bytesOf(message.headers),
    recordId: id === undefined || id === '' ? null : wellFormed(id),
    valueBytes: value?.length ?? -1,
    valueHash: null,
    cut: false,
  }
  return sizeOf(letter) <= mostBytes ? letter : cut(letter)
}

/** The beginning of everything: enough to find the record where it stands in its topic, and to tell it. */
function cut(letter: DeadLetter): DeadLetter {
  const { value, key, headers } = letter
  const kept = Object.entries(headers).slice(0, cutTo.headers)
  return {
    ...letter,
    id: letter.id.slice(0, cutTo.key),
    origin: letter.origin?.slice(0, cutTo.key) ?? null,
    position: letter.position?.slice(0, cutTo.key) ?? null,
    recordId: letter.recordId?.slice(0, cutTo.key) ?? null,
    key: key?.subarray(0, cutTo.key) ?? null,
    value: value?.subarray(0, cutTo.value) ?? null,
    headers: Object.fromEntries(kept.map(([name, bytes]) => [name.slice(0, cutTo.header), bytes.subarray(0, cutTo.header)])), // prettier-ignore
    valueHash: value === null ? null : createHash('sha256').update(value).digest('hex'),
    cut: true,
  }
}

function sizeOf({ value, key, headers, id, origin, position, recordId }: DeadLetter): number {
  let bytes = (value?.length ?? 0) + (key?.length ?? 0) + 4 * mostErrorText
  for (const text of [id, origin, position, recordId]) bytes += 3 * (text?.length ?? 0)
  for (const [name, value] of Object.entries(headers)) bytes += 3 * name.length + value.length
  return bytes
}

/** Text that every reader can take: lone surrogates have no UTF-8. */
const wellFormed = (text: string, most = Infinity): string =>
  (text.length > most ? `${text.slice(0, most)}…` : text).toWellFormed()

function bytesOf(headers: Headers | undefined): Record<string, Buffer> {
  const bytes: [string, Buffer][] = []
  for (const [name, value] of Object.entries(headers ?? {})) {
    const first = Array.isArray(value) ? value[0] : value
    if (first !== undefined) bytes.push([wellFormed(name), typeof first === 'string' ? Buffer.from(first) : first])
  }
  return Object.fromEntries(bytes)
}
