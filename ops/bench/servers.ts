/** The servers of a bench: a temporary stack with topics, schemas and tables, filled topics, and clean slates between runs. */
import { Redis } from 'ioredis'
import { Partitioners, type Producer } from 'kafkajs'
import pg from 'pg'
import { topics } from '../../schemas/topics.ts'
import { loadConfig } from '../../workers/runtime/config.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { createKafka, createNames, Partitioner } from '../../workers/runtime/kafka/client.ts'
import { Registry } from '../../workers/runtime/kafka/registry.ts'
import { makeTopics } from '../../workers/runtime/kafka/make-topics.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { prepare } from '../local/demo/installation.ts'
import { startStack, type Stack } from '../local/stack.ts'
import { corruptName, passedName } from './names.ts'
import type { Message } from './records.ts'

/** kafkajs is quadratic in the messages that one send brings a partition. */
const messagesPerPartition = 500

export interface BenchServers {
  readonly env: Readonly<Record<string, string>>
  readonly stack: Stack
  readonly producer: Producer
  /** The registry's id of each topic's schema. */
  readonly ids: ReadonlyMap<string, number>
  readonly database: pg.Pool
  /** Appends messages to a topic. @returns how many have a value */
  fill(topic: Topic, messages: Iterable<Message>): Promise<number>
  /** Forgets what processors and sinks have reached, and empties a table. */
  forget(table?: string): Promise<void>
  stop(): Promise<void>
}

/** @param settings of PostgreSQL that are read at its start */
export async function startBenchServers(
  say: (line: string) => void,
  settings: readonly string[] = [],
): Promise<BenchServers> {
  const stack = await startStack({ name: 'bench', temporary: true, reuse: false, onProgress: say })
  const env = { ...stack.env, LOG_LEVEL: 'warn', METRICS_PORT: '0', METRICS_HOST: '127.0.0.1' }
  try {
    if (settings.length > 0) await alter(stack, settings)
    await prepare(env, say)
    const config = loadConfig(env)
    const kafka = createKafka(config, createLogger(config, 'bench'))
    const producer = kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    })
    const admin = kafka.admin()
    await Promise.all([producer.connect(), admin.connect()])
    const { partitions: numPartitions } = topics.marketTrades
    await makeTopics(admin, [passedName, corruptName].map((topic) => ({ topic, numPartitions }))) // prettier-ignore
    await admin.disconnect()
    const database = new pg.Pool({ connectionString: env.DATABASE_URL, max: 8 })
    database.on('error', () => {})
    const ids = await new Registry(config, createNames('')).registerAll(Object.values(topics))
    return {
      env,
      stack,
      producer,
      ids,
      database,
      fill: (topic, messages) => fill(producer, topic, messages),
      async forget(table) {
        const redis = new Redis(env.REDIS_URL)
        await redis.flushall()
        await redis.quit()
        await database.query(`TRUNCATE sink_offsets, sink_positions${table === undefined ? '' : `, ${table}`}`)
        await database.query('CHECKPOINT')
      },
      async stop() {
        await Promise.all([producer.disconnect(), database.end()])
        await stack.stop()
      },
    }
  } catch (error) {
    await stack.stop()
    throw error
  }
}

async function alter({ env, servers }: Stack, settings: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: env.DATABASE_URL })
  await client.connect()
  for (const setting of settings) await client.query(`ALTER SYSTEM SET ${setting}`)
  await client.end()
  await servers.postgres?.restart()
}

async function fill(producer: Producer, topic: Topic, messages: Iterable<Message>): Promise<number> {
  const partitioner = new Partitioner(topic)
  const queues = Array.from({ length: topic.partitions }, (): (Message & { partition: number })[] => [])
  const send = (): Promise<unknown> =>
    producer.send({ topic: topic.name, acks: -1, messages: queues.flatMap((queue) => queue.splice(0)) })
  let records = 0
  for (const message of messages) {
    if (message.value !== null) records++
    const partition = partitioner.of(message.key)
    if ((queues[partition]?.push({ ...message, partition }) ?? 0) >= messagesPerPartition) await send()
  }
  if (queues.some((queue) => queue.length > 0)) await send()
  return records
}
