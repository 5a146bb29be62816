/** Members of one consumer group in this process, whose slots only note what they are given. */
import {
  Kafka,
  type Admin,
  type Consumer,
  type ConsumerConfig,
  type KafkaConfig,
  type KafkaMessage,
  type Producer,
} from 'kafkajs'
import { topics } from '../../../../schemas/topics.ts'
import { loadConfig, type Config } from '../../../../workers/runtime/config.ts'
import { createContext } from '../../../../workers/runtime/context.ts'
import type { Context } from '../../../../workers/runtime/definitions.ts'
import { createKafka, createNames, type Names } from '../../../../workers/runtime/kafka/client.ts'
import { Group } from '../../../../workers/runtime/kafka/group.ts'
import { LogEnds } from '../../../../workers/runtime/kafka/log-ends.ts'
import { append, makeTopics } from '../../../../workers/runtime/kafka/make-topics.ts'
import type { Resumption, Slot, SlotControl } from '../../../../workers/runtime/kafka/slot.ts'
import { Units } from '../../../../workers/runtime/units.ts'
import { WatchSchema } from '../../../../workers/runtime/watch.ts'
import { freshPrefix, servers } from '../../../support/servers.ts'

/** Keeps in memory what it was given, which is its store. */
export class NotingSlot implements Slot {
  readonly partition: number
  readonly #stored: Map<number, number>
  readonly taken: { readonly offset: number; readonly at: number }[] = []
  opened = (): void => {}
  openings = 0
  closed = false
  readonly queued = 0
  queuedBytes = 0
  readonly droppingMs = 0
  readonly busy = false
  progress = 0

  constructor({ partition }: SlotControl, stored: Map<number, number>) {
    this.partition = partition
    this.#stored = stored
  }

  open(): Promise<Resumption> {
    this.openings++
    return Promise.resolve({ offset: this.#stored.get(this.partition), appendTime: undefined })
  }

  take(messages: readonly KafkaMessage[]): void {
    for (const { offset } of messages) {
      this.taken.push({ offset: Number(offset), at: performance.now() })
      this.#stored.set(this.partition, Number(offset) + 1)
    }
    this.progress++
  }

  close(): void {
    this.closed = true
  }
}

export interface TestMember {
  readonly group: Group
  readonly context: Context
  /** Every slot that was made, the newest last. */
  readonly slots: NotingSlot[]
  readonly controls: Map<number, SlotControl>
  /** The kafkajs consumers that were made, the newest last. */
  readonly consumers: Consumer[]
  /** Partitions held, in order. */
  held(): number[]
}

export class Membership {
  readonly config: Config
  readonly names: Names
  readonly producer: Producer
  readonly admin: Admin
  readonly topic: string
  readonly #stored = new Map<number, number>()
  readonly #members: TestMember[] = []

  private constructor(config: Config, names: Names, producer: Producer, admin: Admin) {
    this.config = config
    this.names = names
    this.producer = producer
    this.admin = admin
    this.topic = names.topic(topics.marketTrades)
  }

  /** Makes a topic of six partitions. */
  static async create(stallMs: number): Promise<Membership> {
    const { brokers } = await servers()
    const env = { KAFKA_BROKERS: brokers, LOG_LEVEL: 'silent', STALL_MS: String(stallMs), SESSION_TIMEOUT_MS: '6000', NAMESPACE: freshPrefix().replace(/-$/, '') } // prettier-ignore
    const config = loadConfig(env, { require: ['kafka'] })
    const names = createNames(config.namespace)
    const kafka = createKafka(config, createContext(config, WatchSchema.parse({}), 'test').log)
    const [producer, admin] = [kafka.producer(), kafka.admin()]
    await Promise.all([producer.connect(), admin.connect()])
    const membership = new Membership(config, names, producer, admin)
    await makeTopics(admin, [{ topic: membership.topic, numPartitions: 6 }])
    return membership
  }

  /** @param client what its connections have of their own */
  async join(client: Partial<KafkaConfig> = {}, consumer: Partial<ConsumerConfig> = {}): Promise<TestMember> {
    const { config, names, admin } = this
    const context = createContext(config, WatchSchema.parse({}), 'test')
    const kafka = new Kafka({
      brokers: [...config.kafkaBrokers],
      logLevel: 0,
      ...client,
    })
    const [slots, controls, consumers]: [NotingSlot[], Map<number, SlotControl>, Consumer[]] = [[], new Map(), []]
    const create = kafka.consumer.bind(kafka)
    kafka.consumer = (options) => {
      const made = create({ ...options, groupId: options?.groupId ?? '', ...consumer })
      consumers.push(made)
      return made
    }
    const group = new Group({
      context,
      kafka,
      ends: new LogEnds(() => Promise.resolve(admin)),
      names,
      step: 'step',
      topics: [topics.marketTrades],
      createSlot: (control) => {
        const slot = new NotingSlot(control, this.#stored)
        slots.push(slot)
        controls.set(control.partition, control)
        return slot
      },
      units: new Units({
        context,
        health: { register: () => () => {} },
        alone: false,
        fatal: (error) => {
          throw error
        },
      }),
    })
    const held = (): number[] =>
      slots.filter(({ closed }) => !closed).map(({ partition }) => partition).toSorted((a, b) => a - b) // prettier-ignore
    const member: TestMember = { group, context, slots, controls, consumers, held }
    this.#members.push(member)
    await group.start()
    return member
  }

  async append(partition: number, count = 1): Promise<void> {
    const messages = Array.from({ length: count }, (_, index) => ({ partition, key: 'k', value: String(index) }))
    await append(this.producer, { topic: this.topic, messages })
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map(({ group }) => group.stop()))
    await Promise.all([this.producer.disconnect(), this.admin.disconnect()])
  }
}
