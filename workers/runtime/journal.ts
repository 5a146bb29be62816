/** A key's journal in a topic: what the connector has written is its memory, read back from the log's tail. */
import type { KafkaMessage } from 'kafkajs'
import { Decoder, type Encoder } from './codec.ts'
import type { Journal, Stamp, Topic } from './definitions.ts'
import { isRedriven, placeHeaders, placeOf } from './headers.ts'
import type { Installation } from './installation.ts'
import { RetryableError } from './errors.ts'
import type { Accumulator, Sender } from './kafka/accumulator.ts'
import { Partitioner } from './kafka/client.ts'
import { readStretch, type ReadOptions, type Stretch } from './kafka/read.ts'
import type { Ownership } from './ownership.ts'
import { Positions } from './position.ts'
import { eventTimeOf } from './step-metrics.ts'
import { newTraceparent } from './trace.ts'
import { schemaIdOf } from './codec.ts'

/** A log may begin with messages of overtaken writers: so many beginnings are tried, and the longest chain believed. */
const beginnings = 16

export interface JournalOptions<T extends object> {
  readonly topic: Topic<T>
  readonly key: string
  readonly installation: Installation
  /** Tells where appended messages came to stand. */
  readonly accumulator: Accumulator
  readonly sender: Sender
  readonly ownership: Ownership
  readonly encoder: Encoder
}

export class TopicJournal<T extends object> implements Journal<T> {
  readonly #topic: Topic<T>
  readonly #key: string
  readonly #partition: number
  readonly #name: string
  readonly #installation: Installation
  readonly #accumulator: Accumulator
  readonly #sender: Sender
  readonly #ownership: Ownership
  readonly #encoder: Encoder
  readonly #decoder: Decoder<T>
  /** Offset that the next append should get. */
  #end = 0

  constructor({ topic, key, installation, accumulator, sender, ownership, encoder }: JournalOptions<T>) {
    this.#topic = topic
    this.#key = key
    this.#partition = new Partitioner(topic).of(key)
    this.#name = installation.names.topic(topic)
    this.#installation = installation
    this.#accumulator = accumulator
    this.#sender = sender
    this.#ownership = ownership
    this.#encoder = encoder
    this.#decoder = new Decoder(topic)
  }

  async tail(limit: number): Promise<readonly { readonly record: T; readonly position: string }[]> {
    const reading = await this.#reading()
    const { low, high } = await this.#installation.ends.of(this.#name, this.#partition)
    this.#end = high
    this.#accumulator.takePlaces(this.#name, this.#partition)
    for (let length = 2 * limit; ; length *= 4) {
      const from = Math.max(low, high - length)
      const messages = await readStretch(reading, { topic: this.#name, partition: this.#partition, from, to: high })
      const accepted = longestChain(messages.filter((message) => this.#isOurs(message)))
      if (accepted.length < limit && from > low) continue
      return Promise.all(accepted.slice(-limit).map((message) => this.#read(message)))
    }
  }

  async append(entries: readonly { readonly record: T; readonly stamp: Stamp }[]): Promise<'appended' | 'overtaken'> {
    for (const { record, stamp } of entries) {
      const value = this.#encoder.encode(this.#topic, record)
      const headers = { ...placeHeaders(stamp), traceparent: newTraceparent() }
      const message = { key: this.#key, value, headers, time: eventTimeOf(record) }
      if (this.#ownership.over) throw new RetryableError('fence-lost', 'the run that writes this journal is over')
      this.#sender.append(this.#name, this.#partition, message, this.#topic.maxMessageBytes !== undefined)
    }
    await this.#sender.flushed()
    for (const { offset, count } of this.#accumulator.takePlaces(this.#name, this.#partition)) {
      const before = { topic: this.#name, partition: this.#partition, from: this.#end, to: offset }
      this.#end = offset + count
      if (before.from < before.to && (await this.#holdsOurKey(before))) return 'overtaken'
    }
    return 'appended'
  }

  /** Other keys share the partition: only somebody else's message of our key overtakes us. */
  async #holdsOurKey(stretch: Stretch): Promise<boolean> {
    const messages = await readStretch(await this.#reading(), stretch)
    return messages.some((message) => this.#isOurs(message))
  }

  /** A redriven message is one step's, and no part of the journal. */
  #isOurs({ key, headers }: KafkaMessage): boolean {
    return key?.toString() === this.#key && !isRedriven(headers)
  }

  async #read(message: KafkaMessage): Promise<{ record: T; position: string }> {
    const value = message.value ?? Buffer.alloc(0)
    const id = schemaIdOf(value)
    if (id !== undefined && !this.#decoder.knows(id)) {
      const schema = await this.#installation.registry.schema(id)
      if (schema !== undefined) this.#decoder.learn(id, schema)
    }
    return { record: this.#decoder.decode(value), position: placeOf(message.headers)?.position ?? '' }
  }

  async #reading(): Promise<ReadOptions> {
    const { kafka, names } = this.#installation
    return { kafka, names, admin: await this.#installation.admin() }
  }
}

/** What a reader of the messages accepts, whichever of the first ones it begins with. */
function longestChain(messages: readonly KafkaMessage[]): KafkaMessage[] {
  let longest: KafkaMessage[] = []
  for (
    let start = 0;
    start < Math.min(beginnings, messages.length) && messages.length - start > longest.length;
    start++
  ) {
    const positions = new Positions()
    let chain: KafkaMessage[] = []
    let tip: string | undefined
    for (const message of messages.slice(start)) {
      const place = placeOf(message.headers)
      if (place === undefined || !positions.accept(place)) continue
      // The reader has changed over to a longer chain.
      if (tip !== undefined && place.link?.extends !== tip) chain = []
      tip = place.link?.tip
      chain.push(message)
    }
    if (chain.length > longest.length) longest = chain
  }
  return longest
}
