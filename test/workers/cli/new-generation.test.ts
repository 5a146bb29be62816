/** A processor whose input was made anew begins a generation, or its readers would take what it emits for repeats. */
import { beforeAll, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { Encoder } from '../../../workers/runtime/codec.ts'
import { placeHeaders } from '../../../workers/runtime/headers.ts'
import { append as appendTo } from '../../../workers/runtime/kafka/make-topics.ts'
import { Partitioner } from '../../../workers/runtime/kafka/client.ts'
import { sequencePosition } from '../../../workers/runtime/position.ts'
import { runSteps } from '../../../workers/runtime/run.ts'
import { buildCandles } from '../../../workers/build-candles.ts'
import { readTopic } from '../../chaos/log.ts'
import { installed } from '../../support/installed.ts'
import { eventually, freshPrefix, servers } from '../../support/servers.ts'
import { deleteTopic, endsOf, groupsEmpty } from '../../support/topics.ts'
import { noon, trade } from '../records.ts'
import { command, type Env } from './harness.ts'

const key = topics.marketTrades.key(trade(0, noon, 1))
const partition = new Partitioner(topics.marketTrades).of(key)
const place = `market.trades.v1:${partition}`
let env: Env

beforeAll(async () => {
  const { brokers, registryUrl, redisUrl, databaseUrl } = await servers()
  const namespace = freshPrefix().replace(/-$/, '')
  env = { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, REDIS_URL: redisUrl, DATABASE_URL: databaseUrl, NAMESPACE: namespace, CHECKPOINT_MS: '50' } // prettier-ignore
  await Promise.all([run('topics apply'), run('schemas register')])
})

const run = (line: string): Promise<string[]> => command(line.split(' '), { env })
const reset = (...flags: string[]): Promise<string[]> =>
  run(['state reset build-candles --yes --partition', partition, ...flags].join(' '))

/** Appends a trade a second. */
async function append(from: number, count: number): Promise<void> {
  await installed(env, async (installation) => {
    const { registry, names } = installation
    const producer = await installation.producer()
    const encoder = new Encoder(await registry.registerAll([topics.marketTrades]))
    const messages = Array.from({ length: count }, (_, index) => {
      const record = trade(from + index, noon + (from + index) * 1_000_000, 1)
      const value = Buffer.from(encoder.encode(topics.marketTrades, record))
      const headers = placeHeaders({ origin: key, position: sequencePosition(from + index) })
      return { key, partition, value, headers }
    })
    await appendTo(producer, { topic: names.topic(topics.marketTrades), messages })
  })
}

const forgetRedis = (): Promise<unknown> =>
  installed(env, async (installation) => (await installation.store()).reset({ step: 'build-candles', topic: topics.marketTrades.name, partition })) // prettier-ignore

async function workOff(): Promise<void> {
  await installed(env, async (installation) => {
    await runSteps([buildCandles], installation)
    const store = await installation.store()
    const { high } = await installation.ends.of(installation.names.topic(topics.marketTrades), partition)
    await eventually(async () => {
      const { offset } = await store.read({ step: 'build-candles', topic: topics.marketTrades.name, partition })
      expect(offset).toBe(high)
    })
  })
  await groupsEmpty(env, ['build-candles'])
}

async function recreate(): Promise<void> {
  await installed(env, async (installation) => {
    const admin = await installation.admin()
    const name = installation.names.topic(topics.marketTrades)
    await deleteTopic(admin, name)
    await run('topics apply')
    expect((await endsOf(admin, name)).map(({ high }) => high)).toEqual([0, 0, 0, 0])
  })
}

/** What a reader of the candles has seen of all that was emitted. */
function candles(): Promise<{ seen: number; emitted: number }> {
  return installed(env, async (installation) => {
    const { kafka, names } = installation
    const count = { seen: 0, emitted: 0 }
    await readTopic({ kafka, admin: await installation.admin(), names }, topics.marketCandles, ({ accepted, mark }) => {
      if (mark !== undefined) return
      count.emitted++
      if (accepted) count.seen++
    })
    return count
  })
}

it('state reset --new-generation makes what follows from a new log count', { timeout: 60_000 }, async () => {
  await append(0, 10)
  await workOff()
  const { seen: first } = await candles()
  expect(first).toBeGreaterThan(5)
  await recreate()
  await append(20, 5)
  expect(await reset('--new-generation')).toEqual([
    `${place} begins generation 1`,
    expect.stringContaining('generate-signals reads what it emits'),
  ])
  // It is in the snapshots at once.
  await forgetRedis()
  await workOff()
  const second = await candles()
  expect(second.emitted).toBeGreaterThan(first + 2)
  expect(second.seen).toBe(second.emitted)

  // The generation outlives a reset; what is emitted again is the same, and counts once.
  expect(await reset()).toEqual([`${place} begins generation 1`])
  await workOff()
  const third = await candles()
  expect(third.emitted).toBeGreaterThan(second.emitted)
  expect(third.seen).toBe(second.seen)
})
