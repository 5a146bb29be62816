/** Turns a connector's records and marks into messages for the accumulator: encoded, keyed, placed and traced. */
import { Encoder } from './codec.ts'
import type { Lane, Micros, Stamp, Topic } from './definitions.ts'
import { markHeaders, placeHeaders } from './headers.ts'
import type { OutgoingMessage } from './kafka/send-queues.ts'
import { Partitioner, type Names } from './kafka/client.ts'
import { eventTimeOf } from './step-metrics.ts'
import { newTraceparent } from './trace.ts'

/** Takes a message; the accumulator's `append`. */
export type Append = (topic: string, partition: number, message: OutgoingMessage, compressed: boolean) => void

export interface SenderOptions {
  readonly step: string
  readonly topics: readonly Topic[]
  readonly names: Names
  readonly schemaIds: ReadonlyMap<string, number>
  readonly append: Append
}

interface Target {
  readonly name: string
  readonly partitioner: Partitioner
  readonly compressed: boolean
}

export class RecordSender {
  readonly encoder: Encoder
  readonly #step: string
  readonly #append: Append
  readonly #targets: ReadonlyMap<string, Target>

  constructor({ step, topics, names, schemaIds, append }: SenderOptions) {
    this.encoder = new Encoder(schemaIds)
    this.#step = step
    this.#append = append
    this.#targets = new Map(
      topics.map((topic) => {
        const compressed = topic.maxMessageBytes !== undefined
        return [topic.name, { name: names.topic(topic), partitioner: new Partitioner(topic), compressed }]
      }),
    )
  }

  send<T extends object>(topic: Topic<T>, record: T, stamp: Stamp): void {
    const { name, partitioner, compressed } = this.#target(topic)
    const key = topic.key(record)
    const value = this.encoder.encode(topic, record)
    const headers = { ...placeHeaders(stamp), traceparent: newTraceparent() }
    this.#append(name, partitioner.of(key), { key, value, headers, time: eventTimeOf(record) }, compressed)
  }

  /** As `send`, with what is the same for all records of a lane looked up and made into bytes once: 0.3 µs less a record. */
  lane<T extends object>(topic: Topic<T>, key: string, origin: string): Lane<T> {
    const { name, partitioner, compressed } = this.#target(topic)
    const [partition, keyBytes, originBytes] = [partitioner.of(key), Buffer.from(key), Buffer.from(origin)]
    const [append, encode] = [this.#append, this.encoder.encoderOf(topic)]
    return {
      send(record, position) {
        const headers = { origin: originBytes, position, traceparent: newTraceparent() }
        const message = { key: keyBytes, value: encode(record), headers, time: eventTimeOf(record) }
        append(name, partition, message, compressed)
      },
    }
  }

  mark(topic: Topic, key: string, origin: string, time: Micros): void {
    const { name, partitioner } = this.#target(topic)
    const headers = markHeaders({ origin, time, block: null, finalized: null, removed: false }, undefined)
    this.#append(name, partitioner.of(key), { key, value: null, headers }, false)
  }

  #target(topic: Topic): Target {
    const target = this.#targets.get(topic.name)
    if (target === undefined) throw new Error(`${this.#step} sends to ${topic.name}, which is none of its outputs`)
    return target
  }
}
