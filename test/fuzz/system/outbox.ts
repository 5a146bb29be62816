/** What a step sends, outputs and dead letters, as its host does: encoded, queued, and taken by a producer without brokers. */
import type { KafkaMessage, Producer } from 'kafkajs'
import { topics } from '../../../schemas/topics.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { createContext } from '../../../workers/runtime/context.ts'
import { DeadLetters, type Dead } from '../../../workers/runtime/dead-letters.ts'
import type { Processor, Topic } from '../../../workers/runtime/definitions.ts'
import { Accumulator } from '../../../workers/runtime/kafka/accumulator.ts'
import { createKafka, createNames, Partitioner } from '../../../workers/runtime/kafka/client.ts'
import { encodeRecord } from '../../../workers/runtime/kafka/record-format.ts'
import { Publisher } from '../../../workers/runtime/publisher.ts'
import type { Fault, TaskResult } from '../../../workers/runtime/slot-task.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'
import { madeUpWatch } from '../../replay/made-up-chain.ts'
import { schemaIds, topicOf } from './messages.ts'

const env = { LOG_LEVEL: 'silent', METRICS_HOST: '127.0.0.1', METRICS_PORT: '0', KAFKA_BROKERS: '127.0.0.1:9' }
export const config = loadConfig(env, { require: [] })
export const watch = WatchSchema.parse(madeUpWatch)
const context = createContext(config, watch, 'fuzz')

/** What a topic takes where it says nothing else. */
const usualBytes = 1_024 ** 2

export class Outbox {
  readonly #deadLetters: DeadLetters
  readonly #accumulator: Accumulator
  readonly #topic: Topic
  readonly #faults: string[] = []
  readonly #publisher: Publisher | undefined
  #letters = 0
  #expected = 0

  /** @param topic that the step reads */
  constructor(step: string, topic: Topic, processor?: Processor) {
    this.#topic = topic
    this.#accumulator = new Accumulator({
      producer: producerFor((name, bytes) => this.#sent(name, bytes)),
      config,
      onRetry: (error) => this.#faults.push(`sending is tried again: ${error}`),
      onFatal: (error) => this.#faults.push(`sending fails: ${String(error)}`),
    })
    const accumulator = this.#accumulator
    const deadLetters = new DeadLetters(context, createNames(''), step, schemaIds)
    this.#deadLetters = deadLetters
    if (processor === undefined) return
    const outputs = processor.outputs.map((one) => ({ topic: one, name: one.name, partitioner: new Partitioner(one) }))
    this.#publisher = new Publisher(processor, { context, accumulator, deadLetters, outputs }, topic, 0)
  }

  /** Sends a record to the DLQ. */
  add(message: KafkaMessage, dead: Dead): void {
    this.#expected++
    this.#deadLetters.add(this.#accumulator, this.#topic, 0, message, dead)
  }

  /** Sends what follows from a task, and its dead letters. */
  publish(result: TaskResult, messages: readonly KafkaMessage[]): void {
    this.#expected += result.faults.length
    this.#publisher?.publish(this.#accumulator, result, messages)
  }

  /** Sends the dead letter of a record that is left out. */
  bury(fault: Fault, messages: readonly KafkaMessage[]): void {
    this.#expected++
    this.#publisher?.bury(this.#accumulator, [fault], messages)
  }

  /** Waits for what was added. @returns what is wrong with it */
  async flush(): Promise<string[]> {
    await this.#accumulator.flushed()
    if (this.#letters !== this.#expected)
      this.#faults.push(`${this.#expected} records were refused and ${this.#letters} letters sent`)
    this.#letters = this.#expected = 0
    return this.#faults.splice(0)
  }

  #sent(topic: string, bytes: number): void {
    if (topic === topics.deadLetters.name) this.#letters++
    const most = topicOf(topic).maxMessageBytes ?? usualBytes
    if (bytes > most) this.#faults.push(`a message of ${bytes} bytes does not fit ${topic}`)
  }
}

/** A producer that takes each message as brokers would. */
function producerFor(sent: (topic: string, bytes: number) => void): Producer {
  const producer = createKafka(config, context.log).producer()
  return Object.assign(producer, {
    sendBatch: ({ topicMessages = [] }: Parameters<Producer['sendBatch']>[0]) => {
      for (const { topic, messages } of topicMessages)
        for (const { key, value, headers } of messages)
          sent(topic, encodeRecord({ key: key ?? null, value, headers: headers ?? {} }).buffer.length)
      const answers = topicMessages.flatMap(({ topic }) =>
        Array.from({ length: topicOf(topic).partitions }, (_, partition) => ({
          topicName: topic,
          partition,
          errorCode: 0,
        })),
      )
      return Promise.resolve(answers)
    },
  })
}
