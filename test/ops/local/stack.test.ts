import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startStack, type ServerName, type Stack } from '../../../ops/local/stack.ts'
import { append, makeTopics } from '../../../workers/runtime/kafka/make-topics.ts'
import { eventually } from '../../support/servers.ts'

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** A folder that PostgreSQL's user may enter, too. */
const emptyFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'stack-'))
  await chmod(folder, 0o755)
  return folder
}

describe('a stack of all servers', () => {
  let stack: Stack
  beforeAll(async () => {
    stack = await startStack({ name: 'stack-test', temporary: true, reuse: false })
  })
  afterAll(() => stack.stop())

  const crash = async (name: ServerName) => {
    const server = stack.servers[name]
    if (server === undefined) throw new Error(`${name} was not started`)
    const { pid, port } = server
    process.kill(pid, 'SIGKILL')
    await server.restart()
    expect(isRunning(pid)).toBe(false)
    expect(server.pid).not.toBe(pid)
    expect(server.port).toBe(port)
  }

  it('keeps a message of 16 MB in Kafka through a kill -9', async () => {
    const kafka = new Kafka({ brokers: [stack.env.KAFKA_BROKERS], logLevel: logLevel.NOTHING })
    const value = Buffer.alloc(16_000_000, 7)
    const admin = kafka.admin()
    const producer = kafka.producer()
    await Promise.all([admin.connect(), producer.connect()])
    await makeTopics(admin, [{ topic: 'blocks', numPartitions: 1 }])
    await append(producer, { topic: 'blocks', messages: [{ key: '1', value, timestamp: '1000' }] })
    await Promise.all([admin.disconnect(), producer.disconnect()])

    await crash('kafka')

    const consumer = kafka.consumer({ groupId: 'reader', maxBytes: 20_000_000 })
    await consumer.connect()
    await consumer.subscribe({ topic: 'blocks', fromBeginning: true })
    const message = await new Promise<{ value: Buffer | null; timestamp: string }>((resolve) => {
      void consumer.run({ eachMessage: async (payload) => resolve(payload.message) })
    })
    await consumer.disconnect()
    expect(message.value?.equals(value)).toBe(true)
    expect(Number(message.timestamp), 'the time of the append, not that of the sender').toBeGreaterThan(1_000_000)
  }, 60_000)

  it('creates no topic by itself', async () => {
    const kafka = new Kafka({ brokers: [stack.env.KAFKA_BROKERS], logLevel: logLevel.NOTHING, retry: { retries: 0 } })
    const admin = kafka.admin()
    await admin.connect()
    await expect(admin.fetchTopicMetadata({ topics: ['unheard-of'] })).rejects.toThrow('does not host this topic')
    await admin.disconnect()
  })

  it('keeps schemas through a kill -9 and refuses one that breaks compatibility', async () => {
    const options = { subject: 'trades-value', compatibility: COMPATIBILITY.FULL_TRANSITIVE }
    const record = (...fields: object[]) => ({
      type: SchemaType.AVRO as const,
      schema: JSON.stringify({ type: 'record', name: 'Trade', namespace: 'test', fields }),
    })
    const id = { name: 'id', type: 'string' }
    const size = { name: 'size', type: 'int' }
    const before = new SchemaRegistry({ host: stack.env.SCHEMA_REGISTRY_URL })
    const first = await before.register(record(id), options)
    const encoded = await before.encode(first.id, { id: 'a' })

    await crash('registry')

    const after = new SchemaRegistry({ host: stack.env.SCHEMA_REGISTRY_URL })
    expect(await after.decode(encoded)).toEqual({ id: 'a' })
    expect(await after.register(record(id), options)).toEqual(first)
    await expect(after.register(record(id, size), options)).rejects.toMatchObject({ status: 409 })
    expect((await after.register(record(id, { ...size, default: 0 }), options)).id).not.toBe(first.id)
  }, 60_000)

  it('keeps committed rows in PostgreSQL through a kill -9', async () => {
    const query = async (text: string) => {
      const client = new pg.Client({ connectionString: stack.env.DATABASE_URL })
      await client.connect()
      try {
        return await client.query(text)
      } finally {
        await client.end()
      }
    }
    await query('CREATE TABLE trades AS SELECT 1 AS id')
    await crash('postgres')
    expect((await query('SELECT * FROM trades')).rows).toEqual([{ id: 1 }])
    expect(
      (
        await query(`SELECT current_database() AS name, pg_encoding_to_char(encoding) AS encoding, datcollate AS collation
      FROM pg_database WHERE datname = current_database()`)
      ).rows,
    ).toEqual([{ name: 'crypto_intel', encoding: 'UTF8', collation: 'C' }])
  })

  it('keeps what Redis has written through a kill -9', async () => {
    const before = new Redis(stack.env.REDIS_URL)
    await before.set('state', 'kept')
    expect(await before.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction'])
    before.disconnect()
    await crash('redis')
    const after = new Redis(stack.env.REDIS_URL)
    expect(await after.get('state')).toBe('kept')
    after.disconnect()
  })

  it('leaves nothing running when it stops', async () => {
    const pids = Object.values(stack.servers).map(({ pid }) => pid)
    expect(pids.map(isRunning)).toEqual([true, true, true, true])
    await stack.stop()
    expect(pids.map(isRunning)).toEqual([false, false, false, false])
  }, 60_000)
})

describe('a stack that cannot start', () => {
  it('names the port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const address = other.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const start = startStack({
      name: 'stack-test',
      temporary: true,
      reuse: false,
      only: ['redis'],
      ports: { redis: port },
    })
    await expect(start).rejects.toThrow(`redis cannot start: port ${port} on 127.0.0.1 is taken`)
    other.close()
  })

  it('shows the end of the log of a server that ends', async () => {
    const root = await emptyFolder()
    const files = join(root, 'data', 'demo', 'redis', 'appendonlydir')
    await mkdir(files, { recursive: true })
    await writeFile(join(files, 'appendonly.aof.manifest'), 'no manifest\n')
    const start = startStack({ root, reuse: false, only: ['redis'] })
    await expect(start).rejects.toThrow(/redis ended at its start \(exit code 1\).*AOF manifest/s)
    await rm(root, { recursive: true })
  })

  it('names the process that holds its folder', async () => {
    const root = await emptyFolder()
    const first = await startStack({ root, reuse: false, only: ['redis'] })
    await expect(startStack({ root, reuse: false, only: ['redis'] })).rejects.toThrow(
      `belong to process ${process.pid}`,
    )
    await first.stop()
    await rm(root, { recursive: true })
  })
})

it('ends with a process that is killed, and the next one goes on with its data', async () => {
  const root = await emptyFolder()
  const script = join(import.meta.dirname, '..', '..', 'support', 'hold-stack.ts')
  const holder = spawn(process.execPath, [script, root, 'postgres,redis'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [output] = await once(holder.stdout.setEncoding('utf8'), 'data')
  const pids: number[] = JSON.parse(String(output))
  expect(pids.map(isRunning)).toEqual([true, true])

  holder.kill('SIGKILL')
  await once(holder, 'exit')
  const next = await startStack({ root, reuse: false, only: ['postgres', 'redis'] })
  await eventually(() => expect(pids.map(isRunning)).toEqual([false, false]))
  await next.stop()
  await rm(root, { recursive: true })
})
