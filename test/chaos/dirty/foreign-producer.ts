/** Writes bad messages, and good ones under names of its own, into the topics under traffic, and keeps a ledger of them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CompressionTypes, type IHeaders, type Producer } from 'kafkajs'
import { seeded, type Random } from '../../../ops/local/chain/random.ts'
import { topics } from '../../../schemas/topics.ts'
import { Encoder } from '../../../workers/runtime/codec.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import type { Step, Topic } from '../../../workers/runtime/definitions.ts'
import { createKafka, createNames, Partitioner, type Names } from '../../../workers/runtime/kafka/client.ts'
import { append } from '../../../workers/runtime/kafka/make-topics.ts'
import { Registry } from '../../../workers/runtime/kafka/registry.ts'
import { createLogger } from '../../../workers/runtime/logger.ts'
import { foreignHeader } from '../log.ts'
import { kinds, type Kind, type Made } from './poison.ts'

/** What was written, by the number that each message carries. */
export type ForeignLedger = ReadonlyMap<number, ForeignMessage>

export interface ForeignMessage {
  readonly kind: Kind
  readonly topic: Topic
  /** Where it stands, as the broker said; undefined where nobody knows whether it was taken. */
  at: { readonly partition: number; readonly offset: number } | undefined
}

export interface ForeignOptions {
  /** Addresses of the servers. */
  readonly env: Readonly<Record<string, string>>
  readonly seed: number
  readonly steps: readonly Step[]
  /** A key of market topics that a feed writes. */
  readonly genuineKey: string
  /** Which kinds; those that hold now where it is not given. */
  readonly only?: (kind: Kind) => boolean
}

const ownKey = 'foreign'

export class ForeignProducer {
  readonly ledger = new Map<number, ForeignMessage>()
  readonly #options: ForeignOptions
  readonly #random: Random
  readonly #producer: Producer
  readonly #names: Names
  readonly #schemaIds: ReadonlyMap<string, number>
  readonly #encoder: Encoder
  readonly #partitioners = new Map<string, Partitioner>()
  #serial = 0

  private constructor(
    options: ForeignOptions,
    producer: Producer,
    names: Names,
    schemaIds: ReadonlyMap<string, number>,
  ) {
    ;[this.#options, this.#producer, this.#names, this.#schemaIds] = [options, producer, names, schemaIds]
    this.#random = seeded(`foreign ${options.seed}`)
    this.#encoder = new Encoder(schemaIds)
  }

  static async open(options: ForeignOptions): Promise<ForeignProducer> {
    const config = loadConfig({ ...options.env, LOG_LEVEL: 'silent' })
    const names = createNames(config.namespace)
    const producer = createKafka(config, createLogger(config, 'foreign')).producer()
    await producer.connect()
    const schemaIds = await new Registry(config, names).registerAll(Object.values(topics))
    return new ForeignProducer(options, producer, names, schemaIds)
  }

  /** Writes each kind into each topic that it means something for, in one order after the other, until the signal aborts. */
  async run([least, most]: readonly [number, number], until: AbortSignal): Promise<void> {
    const { only = ({ from }) => from === 'now', steps } = this.#options
    const read = [...new Set(steps.flatMap(inputsOf))]
    const all = kinds.filter(only).flatMap((kind) => read.map((topic) => ({ kind, topic })))
    while (!until.aborted)
      for (const { kind, topic } of this.#random.shuffled(all)) {
        if (until.aborted) return
        if (await this.write(kind, topic)) await sleep(this.#random.int(least, most), undefined, { signal: until }).catch(() => {}) // prettier-ignore
      }
  }

  /** @returns whether the kind means something for the topic */
  async write(kind: Kind, topic: Topic): Promise<boolean> {
    const serial = ++this.#serial
    const market = topic === topics.marketTrades || topic === topics.marketQuotes
    const genuineKey = market ? this.#options.genuineKey : undefined
    const genuineOrigin = topic === topics.marketTrades ? `${genuineKey}:trades` : undefined
    const { schemaIds, encoder } = { schemaIds: this.#schemaIds, encoder: this.#encoder }
    const made = kind.make({ topic, encoder, schemaIds, random: this.#random, serial, genuineKey, genuineOrigin })
    if (made === undefined) return false
    await this.send(kind, topic, made, serial)
    return true
  }

  /** Sends a message and notes it. */
  async send(kind: Kind, topic: Topic, { key, value, headers }: Made, serial = ++this.#serial): Promise<void> {
    const message: ForeignMessage = { kind, topic, at: undefined }
    this.ledger.set(serial, message)
    const partition = key === undefined ? this.#random.int(0, topic.partitions - 1) : this.#partitionerOf(topic).of(key)
    const sent: IHeaders = {
      ...Object.fromEntries(Object.entries(headers ?? {})),
      [foreignHeader]: `${serial} ${kind.name}`,
    }
    const compression = topic.maxMessageBytes === undefined ? CompressionTypes.None : CompressionTypes.GZIP
    const messages = [{ key: key ?? ownKey, value, partition, headers: sent }]
    try {
      const [answer] = await append(this.#producer, { topic: this.#names.topic(topic), messages, compression })
      message.at = { partition, offset: Number(answer?.baseOffset) }
    } catch {
      // The brokers are away just now; it may stand in the log all the same.
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect()
  }

  #partitionerOf(topic: Topic): Partitioner {
    let partitioner = this.#partitioners.get(topic.name)
    if (partitioner === undefined) this.#partitioners.set(topic.name, (partitioner = new Partitioner(topic)))
    return partitioner
  }
}

/** What a step reads whose letters are counted. */
export function inputsOf(step: Step): readonly Topic[] {
  switch (step.kind) {
    case 'connector':
      return []
    case 'processor':
      return step.inputs
    case 'sink':
      return [step.input]
  }
}
