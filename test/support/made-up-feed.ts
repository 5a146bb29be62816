/** Made-up markets and a made-up chain with forks as messages, and a producer that brings them into an installation's topics. */
import type { Producer } from 'kafkajs'
import { topics } from '../../schemas/topics.ts'
import { loadConfig } from '../../workers/runtime/config.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { markHeaders, placeHeaders, type Headers } from '../../workers/runtime/headers.ts'
import { createKafka, createNames, Partitioner, type Names } from '../../workers/runtime/kafka/client.ts'
import { append } from '../../workers/runtime/kafka/make-topics.ts'
import { Registry } from '../../workers/runtime/kafka/registry.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { appendSynthetic } from '../replay/inputs.ts'
import { createDriver, type Driver } from './driver.ts'
import type { Message } from './driver-slot.ts'

export interface FeedMessage {
  readonly topic: Topic
  readonly message: Message
}

/** @returns the messages of the connectors in the order in which they come: of each topic the same part at a time. */
export function madeUpFeed(tradesPerSecond: number): FeedMessage[] {
  const driver = createDriver({ steps: [] })
  appendSynthetic(driver, tradesPerSecond)
  const [trades, blocks] = [logOf(driver, topics.marketTrades), logOf(driver, topics.chainBlocks)]
  return [...trades, ...blocks].toSorted((a, b) => a.part - b.part)
}

function logOf(driver: Driver, topic: Topic): (FeedMessage & { part: number })[] {
  const messages = driver.messages(topic, 0)
  return messages.map((message, index) => ({ topic, message, part: index / messages.length }))
}

export class Feeder {
  readonly #producer: Producer
  readonly #names: Names
  readonly #schemaIds: ReadonlyMap<string, number>
  readonly #partitioners = new Map<Topic, Partitioner>()

  private constructor(producer: Producer, names: Names, schemaIds: ReadonlyMap<string, number>) {
    this.#producer = producer
    this.#names = names
    this.#schemaIds = schemaIds
  }

  /** @param env of the installation, whose topics exist */
  static async open(env: Readonly<Record<string, string>>): Promise<Feeder> {
    const config = loadConfig({ ...env, LOG_LEVEL: 'silent' }, { require: ['kafka', 'registry'] })
    const names = createNames(config.namespace)
    const schemaIds = await new Registry(config, names).registerAll([topics.marketTrades, topics.chainBlocks])
    const producer = createKafka(config, createLogger(config, 'feeder')).producer()
    await producer.connect()
    return new Feeder(producer, names, schemaIds)
  }

  /** Appends the messages in their order, acknowledged. */
  async send(messages: readonly FeedMessage[]): Promise<void> {
    for (const [topic, ofTopic] of Map.groupBy(messages, ({ topic }) => topic)) {
      const outgoing = ofTopic.map(({ message }) => ({
        key: message.key,
        value: this.#valueOf(topic, message),
        headers: headersOf(message),
        partition: this.#partitionerOf(topic).of(message.key),
      }))
      await append(this.#producer, { topic: this.#names.topic(topic), messages: outgoing })
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect()
  }

  /** With the id that this registry has given the schema. */
  #valueOf({ name }: Topic, { value }: Message): Buffer | null {
    if (value === null) return null
    const own = Buffer.from(value)
    own.writeInt32BE(this.#schemaIds.get(name) ?? 0, 1)
    return own
  }

  #partitionerOf(topic: Topic): Partitioner {
    let partitioner = this.#partitioners.get(topic)
    if (partitioner === undefined) this.#partitioners.set(topic, (partitioner = new Partitioner(topic)))
    return partitioner
  }
}

function headersOf({ place, mark }: Message): Record<string, string> {
  const headers: Headers = mark === undefined ? (place === undefined ? {} : placeHeaders(place)) : markHeaders(mark, undefined) // prettier-ignore
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
}
