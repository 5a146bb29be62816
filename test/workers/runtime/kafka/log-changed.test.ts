/** A log that was cut or made anew is refused with a clear word, by processors and sinks, and there is a way out. */
import type { Admin, Producer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { topics } from '../../../../schemas/topics.ts'
import { Encoder } from '../../../../workers/runtime/codec.ts'
import { loadConfig } from '../../../../workers/runtime/config.ts'
import { connectDatabase, type Database } from '../../../../workers/runtime/database.ts'
import { placeHeaders } from '../../../../workers/runtime/headers.ts'
import { createKafka, createNames, Partitioner } from '../../../../workers/runtime/kafka/client.ts'
import { append as appendTo } from '../../../../workers/runtime/kafka/make-topics.ts'
import { Registry } from '../../../../workers/runtime/kafka/registry.ts'
import { createLogger } from '../../../../workers/runtime/logger.ts'
import { sequencePosition } from '../../../../workers/runtime/position.ts'
import { inSequence } from '../../../support/in-sequence.ts'
import { eventually, freshDatabase, freshPrefix, servers, type FreshDatabase } from '../../../support/servers.ts'
import { cutTopic, deleteTopic, endsOf, groupsEmpty } from '../../../support/topics.ts'
import { startWorker, type WorkerProcess } from '../../../support/worker-process.ts'
import { command, type Env } from '../../cli/harness.ts'
import { noon, trade } from '../../records.ts'

const steps = ['build-candles', 'timescale-trades'] as const
const key = topics.marketTrades.key(trade(0, noon, 1))
const partition = new Partitioner(topics.marketTrades).of(key)
const slow = { timeout: 120_000 }

/** Of the commands. */
let env: Env
/** Of the steps, which are to notice soon what has changed. */
const quick = { CHECKPOINT_MS: '50', STALL_MS: '6000', SESSION_TIMEOUT_MS: '3000', THREADS: '1' }
let topic: string
let own: FreshDatabase
let database: Database
let admin: Admin
let producer: Producer
let encoder: Encoder

inSequence()

beforeAll(async () => {
  const { brokers, registryUrl, redisUrl } = await servers()
  own = await freshDatabase()
  env = {
    KAFKA_BROKERS: brokers,
    SCHEMA_REGISTRY_URL: registryUrl,
    DATABASE_URL: own.url,
    REDIS_URL: redisUrl,
    NAMESPACE: freshPrefix().replace(/-$/, ''),
  }
  const config = loadConfig({ ...env, LOG_LEVEL: 'silent' })
  const names = createNames(config.namespace)
  topic = names.topic(topics.marketTrades)
  const kafka = createKafka(config, createLogger(config, 'log-changed'))
  ;[admin, producer] = [kafka.admin(), kafka.producer()]
  await Promise.all([run('topics apply'), run('schemas register'), run('migrate'), admin.connect(), producer.connect()])
  encoder = new Encoder(await new Registry(config, names).registerAll([topics.marketTrades]))
  database = await connectDatabase({ url: own.url, connections: 2 })
})

afterAll(async () => {
  await Promise.all([producer?.disconnect(), admin?.disconnect(), database?.close()])
  await own?.drop()
})

const run = (line: string): Promise<string[]> => command(line.split(' '), { env })

const start = (step: string, more: Env = {}): WorkerProcess => startWorker(step, { ...env, ...quick, ...more })

let made = 0
async function append(count: number): Promise<void> {
  const messages = Array.from({ length: count }, () => {
    const number = ++made
    const value = Buffer.from(encoder.encode(topics.marketTrades, trade(number, noon + number * 1_000, 1)))
    return { partition, key, value, headers: placeHeaders({ origin: key, position: sequencePosition(number) }) }
  })
  await appendTo(producer, { topic, messages })
}

/** Deletes the topic and makes it anew. */
async function recreate(): Promise<void> {
  await deleteTopic(admin, topic)
  await run('topics apply')
  expect((await endsOf(admin, topic)).map(({ high }) => high)).toEqual([0, 0, 0, 0])
}

/** Runs both steps until they stand at the log's end, and stops them. */
async function workOff(): Promise<void> {
  const both = steps.map((step) => start(step))
  await worked()
  for (const one of both) one.stop()
  for (const { ended } of both) expect(await ended).toEqual({ code: 0, said: '' })
}

async function worked(): Promise<void> {
  const end = (await endsOf(admin, topic))[partition]?.high
  await eventually(
    async () => {
      for (const step of steps) {
        const shown: { partition: number; stored?: number }[] = JSON.parse((await run(`offsets show ${step} --json`)).join('')) // prettier-ignore
        expect(`${step} ${shown.find((one) => one.partition === partition)?.stored}`).toBe(`${step} ${end}`)
      }
    },
    { timeoutMs: 60_000 },
  )
}

/** Expects that each step says all of this of the partition, whose task has failed, while the others go on; and stops it. */
async function refused(said: (step: string) => RegExp, started = steps.map((step) => start(step))): Promise<void> {
  for (const [index, worker] of started.entries()) {
    const expected = expect.stringMatching(said(steps[index] ?? ''))
    await eventually(() => expect(worker.failures()).toContainEqual(expected), { timeoutMs: 60_000 })
    expect(await worker.scrape()).toMatch(/^crypto_intel_failed_units\{.*\} 1$/m)
    worker.stop()
    expect(await worker.ended).toEqual({ code: 0, said: '' })
  }
}

const out = 'begin anew: a sink with `offsets reset .*, a processor with `state reset .*--new-generation'
const outside = (step: string, stored: number | string, range: string): RegExp =>
  new RegExp(`^${step} stands at offset ${stored} of ${topic}:${partition}, whose log holds ${range}.*${out}`)
const another = (step: string): RegExp =>
  new RegExp(`^${topic} is not the topic that ${step} has read up to offset \\d+ of partition ${partition}.*${out}`)

/** @param there how many trades the log holds when the steps start again */
async function takeTheWayOut(there: number): Promise<void> {
  await groupsEmpty(env, steps)
  await run('offsets reset timescale-trades --to earliest --yes')
  await run('state reset build-candles --yes')
  await append(2)
  await workOff()
  // What came first is stored too, though the steps had refused the log that held it.
  const newest = Array.from({ length: there }, (_, index) => String(made - index))
  const { rowCount } = await database.query('SELECT FROM trades WHERE trade_id = ANY ($1)', [newest])
  expect(rowCount).toBe(newest.length)
}

describe('while its steps do not run, a log', () => {
  it('that was cut behind the stored offset is refused', slow, async () => {
    await append(10)
    await workOff()
    await append(2)
    await cutTopic(admin, topic, partition, 12)
    await refused((step) => outside(step, 10, '12 to 12'))
    await takeTheWayOut(2)
  })

  it('that was made anew and ends before the stored offset is refused', slow, async () => {
    await recreate()
    await append(3)
    await refused((step) => outside(step, 14, '0 to 3'))
  })

  it('that was made anew a moment ago and goes beyond the stored offset is refused', slow, async () => {
    await groupsEmpty(env, steps)
    await run('offsets reset timescale-trades --to earliest --yes')
    await run('state reset build-candles --yes')
    await workOff()
    await recreate()
    await append(20)
    await refused(another)
    await takeTheWayOut(22)
  })
})

describe('while its steps run, a log', () => {
  it('that was made anew is refused', slow, async () => {
    const both = steps.map((step) => start(step))
    await append(1)
    await worked()
    await recreate()
    await refused((step) => outside(step, 23, '0 to 0'), both)
  })

  it('that was made anew and filled beyond where they stood is refused', slow, async () => {
    await append(3)
    await takeTheWayOut(5)
    const both = steps.map((step) => start(step))
    await worked()
    await recreate()
    await append(50)
    await refused((step) => new RegExp(`${another(step).source}|${outside(step, 5, '0 to').source}`), both)
  })

  it('that was cut before it was read is refused, not jumped over', slow, async () => {
    await takeTheWayOut(52)
    const sink = start('timescale-trades', { QUEUE_BYTES: '1024' })
    await sink.up
    const unlock = await lockTrades()
    await append(5)
    // It waits for the lock; what comes now fills its queue, and then it reads no further.
    await eventually(async () => expect((await database.query(waiting)).rowCount).toBeGreaterThan(0), { timeoutMs: 30_000 }) // prettier-ignore
    await append(20)
    await eventually(async () => expect(await sink.scrape()).toMatch(/queued_bytes\{.*\} [1-9]/))
    await append(20)
    await cutTopic(admin, topic, partition, 97)
    await append(3)
    unlock()
    await refused(() => outside('timescale-trades', '\\d+', '97 to 100'), [sink])
  })
})

const waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'trades'::regclass"

/** Nobody can write trades until the function that it gives is called. */
async function lockTrades(): Promise<() => void> {
  const [locked, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const holding = database.use(async (connection) => {
    await connection.query('BEGIN')
    await connection.query('LOCK TABLE trades')
    locked.resolve()
    await over.promise
    await connection.query('ROLLBACK')
  })
  await Promise.race([locked.promise, holding])
  return over.resolve
}
