/** A few steps on the test servers, fed by hand, with two replicas of which one, the zombie, has its servers behind proxies. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { Admin, Producer } from 'kafkajs'
import { openTables } from '../../ops/local/demo/database.ts'
import { localFolder } from '../../ops/local/paths.ts'
import { topics } from '../../schemas/topics.ts'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { Encoder } from '../../workers/runtime/codec.ts'
import { loadConfig, type Config } from '../../workers/runtime/config.ts'
import type { Step, Topic } from '../../workers/runtime/definitions.ts'
import { placeHeaders } from '../../workers/runtime/headers.ts'
import { createKafka, createNames, Partitioner, type Names } from '../../workers/runtime/kafka/client.ts'
import { append } from '../../workers/runtime/kafka/make-topics.ts'
import { Registry } from '../../workers/runtime/kafka/registry.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { sequencePosition } from '../../workers/runtime/position.ts'
import type { Guard } from '../../workers/runtime/test-switches.ts'
import { prepare } from '../support/prepare.ts'
import { eventually, freshDatabase, freshPrefix, servers, type FreshDatabase } from '../support/servers.ts'
import { deleteTopic, endsOf } from '../support/topics.ts'
import { audit, offsetDifferences } from './audit.ts'
import { ErrorFile } from './dirty/error-file.ts'
import { Fleet } from './fleet.ts'
import type { Ends } from './log.ts'
import { Proxy } from './proxy.ts'

/** The group whose servers are behind the proxies, and the one beside it. */
export type Group = 'zombie' | 'successor'

const sessionMs = 3_000

export class Line {
  readonly fleet: Fleet
  readonly redis: Proxy
  readonly postgres: Proxy
  readonly errors: ErrorFile
  readonly admin: Admin
  readonly names: Names
  /** The guard that is switched off in the workers. */
  readonly without: Guard | undefined
  readonly #steps: readonly Step[]
  readonly #env: Readonly<Record<string, string>>
  readonly #config: Config
  readonly #producer: Producer
  readonly #encoder: Encoder
  readonly #database: FreshDatabase
  readonly #folder: string
  readonly #sent = new Map<string, number>()

  private constructor(parts: Parts) {
    ;({
      redis: this.redis,
      postgres: this.postgres,
      errors: this.errors,
      admin: this.admin,
      names: this.names,
      without: this.without,
    } = parts)
    ;[this.#steps, this.#env, this.#config, this.#database, this.#folder] = [parts.steps, parts.env, parts.config, parts.database, parts.folder] // prettier-ignore
    this.#producer = parts.producer
    this.#encoder = new Encoder(parts.schemaIds)
    const names = parts.steps.map(({ name }) => name)
    const redis = { REDIS_URL: parts.redis.before(parts.env['REDIS_URL'] ?? '') }
    const database = { DATABASE_URL: parts.postgres.before(parts.env['DATABASE_URL'] ?? '') }
    this.fleet = new Fleet({
      topology: cryptoIntel.name,
      groups: [
        { name: 'zombie', steps: names, env: { ...redis, ...database } },
        { name: 'successor', steps: names },
      ],
      env: parts.env,
      folder: join(localFolder, 'logs', parts.env['NAMESPACE'] ?? ''),
    })
  }

  /**
   * Prepares servers; no worker runs yet.
   * @param without the guard that is switched off in the workers
   * @param more variables of the workers
   */
  static async create(steps: readonly Step[], without?: Guard, more: Record<string, string> = {}): Promise<Line> {
    const { brokers, registryUrl, redisUrl } = await servers()
    const database = await freshDatabase()
    const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-'))
    const watchFile = join(folder, 'watch.yaml')
    writeFileSync(watchFile, '{}\n')
    const errors = new ErrorFile(folder)
    const env = {
      KAFKA_BROKERS: brokers,
      SCHEMA_REGISTRY_URL: registryUrl,
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl,
      NAMESPACE: freshPrefix().replace(/-$/, ''),
      WATCH_FILE: watchFile,
      LOG_LEVEL: 'info',
      SESSION_TIMEOUT_MS: String(sessionMs),
      ...errors.env,
      ...(without !== undefined && { CRYPTO_INTEL_TEST_SWITCH: without }),
      ...more,
    }
    await prepare(env)
    const config = loadConfig({ ...env, LOG_LEVEL: 'silent' })
    const names = createNames(config.namespace)
    const kafka = createKafka(config, createLogger(config, 'line'))
    const [producer, admin] = [kafka.producer(), kafka.admin()]
    await Promise.all([producer.connect(), admin.connect()])
    const schemaIds = await new Registry(config, names).registerAll(Object.values(topics))
    const [redis, postgres] = await Promise.all(
      [redisUrl, database.url].map((url) => Proxy.start(Number(new URL(url).port))),
    )
    if (redis === undefined || postgres === undefined) throw new Error('the proxies did not start')
    return new Line({
      steps,
      env,
      without,
      config,
      names,
      admin,
      producer,
      schemaIds,
      redis,
      postgres,
      errors,
      database,
      folder,
    })
  }

  /**
   * Appends records as one writer a key would.
   * @param times how often: a writer that crashed writes again what it had written
   */
  async feed<T extends object>(topic: Topic<T>, records: readonly T[], times = 1): Promise<void> {
    const partitioner = new Partitioner(topic)
    const messages = records.map((record) => {
      const key = topic.key(record)
      const position = (this.#sent.get(key) ?? 0) + 1
      this.#sent.set(key, position)
      const headers = placeHeaders({ origin: key, position: sequencePosition(position) })
      return { key, value: this.#encoder.encode(topic, record), headers, partition: partitioner.of(key) }
    })
    for (let time = 0; time < times; time++) await append(this.#producer, { topic: this.names.topic(topic), messages })
  }

  /** Takes a topic away: what is sent to it is not acknowledged. */
  async lose(topic: Topic): Promise<void> {
    await deleteTopic(this.admin, this.names.topic(topic))
  }

  /** @param from a table and a condition @returns how many rows there are */
  async count(from: string): Promise<number> {
    const tables = openTables(this.#database.url)
    try {
      const [row] = await tables.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${from}`)
      return row?.n ?? 0
    } finally {
      await tables.close()
    }
  }

  /** Takes everything of ours out of Redis at once. @returns how many keys there were */
  async emptyRedis(): Promise<number> {
    const redis = new Redis(this.#config.redisUrl)
    const script = "local keys = redis.call('KEYS', ARGV[1]) for _, key in ipairs(keys) do redis.call('DEL', key) end return #keys" // prettier-ignore
    try {
      return Number(await redis.eval(script, 0, `{${this.#config.namespace}:*`))
    } finally {
      redis.disconnect()
    }
  }

  /** Makes the topic that was taken away anew. */
  async restore(): Promise<void> {
    await prepare(this.#env)
  }

  /** Resolves when every slot has stored that it stands at the end of its log. */
  async done(): Promise<void> {
    await eventually(
      async () => {
        const left = await this.#left()
        if (left.length > 0) throw new Error(left.join('; '))
      },
      { timeoutMs: 90_000 },
    )
  }

  /** Ends the workers in order. @returns how what they left differs from a run without faults */
  async differences(): Promise<readonly string[]> {
    await this.fleet.stop()
    return (await audit({ env: this.#env, steps: this.#steps })).differences
  }

  async close(): Promise<void> {
    await this.fleet.stop()
    await Promise.all([this.#producer.disconnect(), this.admin.disconnect(), this.redis.close(), this.postgres.close()])
    await this.#database.drop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #left(): Promise<string[]> {
    const processors = this.#steps.filter((step) => step.kind === 'processor')
    const sinks = this.#steps.filter((step) => step.kind === 'sink')
    const read = new Set<Topic>([...processors.flatMap(({ inputs }) => inputs), ...sinks.map(({ input }) => input)])
    const ends = new Map<Topic, Ends>()
    for (const topic of read) {
      const found = await endsOf(this.admin, this.names.topic(topic))
      ends.set(topic, new Map(found.map(({ partition, high }) => [partition, high])))
    }
    return offsetDifferences(this.#config, processors, sinks, ends)
  }
}

interface Parts {
  readonly steps: readonly Step[]
  readonly env: Readonly<Record<string, string>>
  readonly without: Guard | undefined
  readonly config: Config
  readonly names: Names
  readonly admin: Admin
  readonly producer: Producer
  readonly schemaIds: ReadonlyMap<string, number>
  readonly redis: Proxy
  readonly postgres: Proxy
  readonly errors: ErrorFile
  readonly database: FreshDatabase
  readonly folder: string
}
