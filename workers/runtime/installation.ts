/** What all steps of a process share: clients of the servers, the thread host, health; each made once, when first needed. */
import type { Admin, Kafka, Producer } from 'kafkajs'
import { connectDatabase, type Database } from './database.ts'
import type { Context, Step } from './definitions.ts'
import { RetryableError, classify, oneLine } from './errors.ts'
import type { Health } from './health.ts'
import { createKafka, createNames, type Names } from './kafka/client.ts'
import { LogEnds, type Bounds, type ReadTime } from './kafka/log-ends.ts'
import { readStretch } from './kafka/read.ts'
import { Registry } from './kafka/registry.ts'
import type { Shutdown } from './shutdown.ts'
import { RedisStore } from './state/redis-store.ts'
import { SnapshotReader } from './state/snapshot-reader.ts'
import { Threads } from './threads.ts'
import { Units } from './units.ts'

/** How a replay reads: topics of another namespace, and no further than to an offset. */
export interface Reading {
  readonly inputNames?: Names
  readonly bounds?: Bounds
  /** How long a question about a log's ends is asked again: for commands, since steps try again themselves. */
  readonly patienceMs?: number
}

/** What becomes of a unit that fails: it is tried again while the others go on, or the process ends, as a command does. */
export type Failing = 'alone' | 'together'

export class Installation {
  readonly context: Context
  readonly names: Names
  /** Of what steps read. */
  readonly inputNames: Names
  readonly kafka: Kafka
  readonly health: Health
  readonly ends: LogEnds
  readonly units: Units
  readonly #shutdown: Shutdown
  #admin: Promise<Admin> | undefined
  #producer: Promise<Producer> | undefined
  #store: Promise<RedisStore> | undefined
  #database: Promise<Database> | undefined
  #threads: Threads | undefined
  #registry: Registry | undefined
  #snapshotReader: SnapshotReader | undefined

  constructor(
    context: Context,
    health: Health,
    shutdown: Shutdown,
    { inputNames, bounds = new Map(), patienceMs = 0 }: Reading = {},
    failing: Failing = 'together',
  ) {
    this.context = context
    this.health = health
    this.#shutdown = shutdown
    this.names = createNames(context.config.namespace)
    this.inputNames = inputNames ?? this.names
    const read: ReadTime = (topic, partition, offset) => this.#appendTime(topic, partition, offset)
    this.ends = new LogEnds(() => this.admin(), { bounds, read, patienceMs })
    this.kafka = createKafka(context.config, context.log)
    this.units = new Units({ context, health, alone: failing === 'alone', fatal: (error) => this.fatal(error) })
  }

  /**
   * Makes the clients that the steps need. What is made first is closed last: a step must be able to end what it began.
   * @throws RetryableError or FatalError that names the server
   */
  async connect(steps: readonly Step[]): Promise<void> {
    const any = (kind: Step['kind']): boolean => steps.some((step) => step.kind === kind)
    await Promise.all([this.admin(), this.producer(), any('processor') && this.store(), any('sink') && this.database()])
    if (any('processor')) this.threads()
  }

  fatal(error: unknown): void {
    this.context.metrics.errors.inc({ step: 'process', class: 'fatal' })
    this.#shutdown.fatal(error)
  }

  get registry(): Registry {
    this.#registry ??= new Registry(this.context.config, this.names)
    return this.#registry
  }

  admin(): Promise<Admin> {
    this.#admin ??= this.#connected('Kafka admin', this.kafka.admin(), this.#brokers())
    return this.#admin
  }

  producer(): Promise<Producer> {
    // The accumulator names partitions itself and tries again itself.
    const create = () =>
      this.kafka.producer({
        allowAutoTopicCreation: false,
        retry: { initialRetryTime: 50, maxRetryTime: 1_000, retries: 3 },
      })
    this.#producer ??= this.#connected('Kafka producer', create(), this.#brokers())
    return this.#producer
  }

  store(): Promise<RedisStore> {
    this.#store ??= this.#released('Redis', async () => {
      const { config, log } = this.context
      const store = await RedisStore.connect(config, (error) => log.debug({ error }, 'redis'))
      return { value: store, release: () => store.close() }
    })
    return this.#store
  }

  get snapshotReader(): SnapshotReader {
    const { kafka, names, inputNames, ends, registry } = this
    this.#snapshotReader ??= new SnapshotReader({ kafka, names, inputNames, ends, registry, admin: () => this.admin() })
    return this.#snapshotReader
  }

  database(): Promise<Database> {
    this.#database ??= this.#released('database', async () => {
      const { databaseUrl: url, databaseCaFile: caFile, databasePool: connections, stallMs } = this.context.config
      // Longer than a stall takes to be reported, and short enough that it is recovered in twice that time.
      const statementMs = Math.round((stallMs * 4) / 3)
      const database = await connectDatabase({ url, caFile, connections, statementMs })
      return { value: database, release: () => database.close() }
    })
    return this.#database
  }

  threads(): Threads {
    if (this.#threads === undefined) {
      const { threads: count, threadMemoryMb: memoryMb, recordTimeoutMs } = this.context.config
      const threads = new Threads(
        count,
        (error) => this.context.log.error({ error: oneLine(error) }, 'a thread ended, and is replaced'),
        { memoryMb, recordTimeoutMs },
      )
      this.#threads = threads
      this.#shutdown.onStop('threads', () => threads.destroy())
    }
    return this.#threads
  }

  /** Has `release` called when the process ends, before the clients made so far are closed. */
  onStop(name: string, release: () => Promise<void> | void): void {
    this.#shutdown.onStop(name, release)
  }

  async #appendTime(topic: string, partition: number, offset: number): Promise<number | undefined> {
    const { kafka, inputNames: names } = this
    const stretch = { topic, partition, from: offset, to: offset + 1 }
    const [message] = await readStretch({ kafka, admin: await this.admin(), names }, stretch)
    return message === undefined ? undefined : Number(message.timestamp)
  }

  #brokers(): string {
    return `KAFKA_BROKERS ${this.context.config.kafkaBrokers.join(',')}`
  }

  async #connected<T extends { connect(): Promise<void>; disconnect(): Promise<void> }>(
    name: string,
    client: T,
    where: string,
  ): Promise<T> {
    return this.#released(name, async () => {
      try {
        await client.connect()
      } catch (cause) {
        if (classify(cause) === 'fatal') throw cause
        throw new RetryableError('unavailable', `Connecting to ${where}`, { cause })
      }
      return { value: client, release: () => client.disconnect() }
    })
  }

  async #released<T>(name: string, make: () => Promise<{ value: T; release: () => Promise<void> }>): Promise<T> {
    const { value, release } = await make()
    this.#shutdown.onStop(name, () =>
      release().catch((error: unknown) => this.context.log.debug({ error: oneLine(error) }, name)),
    )
    return value
  }
}
