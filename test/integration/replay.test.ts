/** A stretch of a live run, with reorganisations, windows, checkpoints and a crash in it, run again into a namespace of its own. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Admin } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { loadConfig } from '../../workers/runtime/config.ts'
import { createKafka, createNames } from '../../workers/runtime/kafka/client.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { madeUpWatch } from '../replay/made-up-chain.ts'
import { inSequence } from '../support/in-sequence.ts'
import { Feeder, madeUpFeed } from '../support/made-up-feed.ts'
import { startTestPipeline, type TestPipeline } from '../support/pipeline.ts'
import { settled } from '../support/settled.ts'
import { cutTopic, endsOf } from '../support/topics.ts'
import { command, failure } from '../workers/cli/harness.ts'

const steps = cryptoIntel.steps.filter((step) => step.kind === 'processor')
const processors = steps.map(({ name }) => name)
/** What these write to one key of patterns.matches.v1 has no fixed order among them, and some alerts depend on it. */
const ordered = processors.filter((name) => name !== 'evaluate-alerts')

const Summary = z.object({
  namespace: z.string(),
  same: z.boolean().nullable(),
  topics: z.array(
    z.object({ topic: z.string(), in: z.number(), out: z.number(), same: z.number().optional(), differing: z.number().optional() }), // prettier-ignore
  ),
})

describe('replay', () => {
  inSequence()
  let pipeline: TestPipeline
  let feeder: Feeder
  let admin: Admin
  let redis: Redis
  let [from, to] = ['', '']
  const live = (): string => pipeline.env['NAMESPACE'] ?? ''

  beforeAll(async () => {
    pipeline = await startTestPipeline({
      groups: [{ name: 'processors', steps: processors }],
      watch: madeUpWatch,
      env: { CHECKPOINT_MS: '200', CHECKPOINT_RECORDS: '700', SECRET: 'whsec_c2VjcmV0' },
    })
    feeder = await Feeder.open(pipeline.env)
    const config = loadConfig({ ...pipeline.env, LOG_LEVEL: 'silent' })
    admin = createKafka(config, createLogger(config, 'test')).admin()
    await admin.connect()
    redis = new Redis(config.redisUrl)
    const feed = madeUpFeed(60)
    const [first, last] = [Math.floor(feed.length * 0.2), Math.floor(feed.length * 0.85)]
    await feeder.send(feed.slice(0, first))
    from = await now()
    for (let at = first; at < last; at += 2_000) {
      // As a connector that has crashed begins again.
      await feeder.send(feed.slice(Math.max(0, at - 40), Math.min(at + 2_000, last)))
      if (at < first + 6_000) await sleep(250)
      else if (at < first + 8_000) await pipeline.workers.kill('processors')
    }
    await settled(pipeline.env, steps)
    to = await now()
    await feeder.send(feed.slice(last))
    await settled(pipeline.env, steps)
    await pipeline.workers.stop()
  }, 240_000)
  afterAll(async () => {
    await Promise.all([feeder?.close(), admin?.disconnect(), pipeline?.stop()])
    redis?.disconnect()
  }, 60_000)

  /** Between what was appended before and what is appended after. */
  async function now(): Promise<string> {
    await sleep(20)
    const time = new Date().toISOString()
    await sleep(20)
    return time
  }

  const replay = async (...more: string[]): Promise<z.infer<typeof Summary>> => {
    const args = ['replay', '--from', from, '--to', to, '--topology', 'crypto-intel', '--compare', '--json', ...more]
    const ending = new AbortController()
    // A replay that is given up goes on otherwise, beside the next.
    onTestFinished(() => ending.abort())
    const lines = await command(args, { env: { ...pipeline.env }, stop: ending.signal })
    return Summary.parse(JSON.parse(lines.at(-1) ?? ''))
  }

  /** Everything that the live run has on the servers. */
  async function standing(): Promise<object> {
    const names = (await admin.listTopics()).filter((name) => name.startsWith(`${live()}.`)).toSorted()
    const ends: unknown[] = []
    for (const name of names) ends.push([name, await endsOf(admin, name)])
    // Those of its steps: who reads a topic once has a group, too, for a moment.
    const groups = processors.map((name) => createNames(live()).group(name))
    const offsets: unknown[] = []
    for (const groupId of groups) offsets.push([groupId, await admin.fetchOffsets({ groupId })])
    const keys = (await redis.keys(`{${live()}:*`)).toSorted()
    const state = await Promise.all(keys.map(async (key) => [key, await redis.hgetall(key)]))
    return { ends, groups, offsets, state }
  }

  it('equals the live run through all steps, and leaves it alone', { timeout: 120_000 }, async () => {
    const before = await standing()
    const { namespace, same, topics } = await replay('--steps', ordered.join(','))
    expect(same).toBe(true)
    const read = topics.filter(({ topic }) => /^(market.trades|chain.blocks)/.test(topic))
    expect(read.reduce((sum, topic) => sum + topic.in, 0)).toBeGreaterThan(10_000)
    for (const topic of topics.filter((one) => one.same !== undefined))
      expect(topic.out, topic.topic).toBeGreaterThanOrEqual(topic.same ?? 0)
    for (const name of [
      'market.candles.v1',
      'chain.transfers.v1',
      'patterns.matches.v1',
      'risk.wallets.v1',
      'signals.trades.v1',
    ])
      expect(topics.find(({ topic }) => topic === name)?.same, name).toBeGreaterThan(0)
    expect(await standing()).toEqual(before)
    expect(await redis.keys(`{${namespace}:*`)).toEqual([])
  })

  it('equals the live run in every step that reads what the live run wrote', { timeout: 120_000 }, async () => {
    const { same, topics } = await replay('--inputs', 'live')
    expect(same).toBe(true)
    expect(topics.find(({ topic }) => topic === 'alerts.fired.v1')?.same).toBeGreaterThan(0)
  })

  it('tells what differs', { timeout: 120_000 }, async () => {
    const args = ['replay', '--from', from, '--to', to, '--topology', 'crypto-intel', '--compare', '--steps']
    const cold = await failure([...args, 'build-candles', '--warmup', '0s'], { env: { ...pipeline.env } })
    expect(cold).toMatch(
      /^The replay differs from the live run: \d faults\n {2}market\.candles\.v1:\d build-candles:market\.trades\.v1:\d /,
    )
    expect(cold).toMatch(/look at both: NAMESPACE=\S+-replay-\S+ npm start -- tail/)
  })

  it('says why there is nothing to replay, and makes nothing', { timeout: 120_000 }, async () => {
    const fail = (first: string, last: string, ...more: string[]): Promise<string> =>
      failure(
        ['replay', '--from', first, '--to', last, '--topology', 'crypto-intel', '--steps', 'build-candles', ...more],
        { env: { ...pipeline.env } },
      )
    const before = await admin.listTopics()
    expect(await fail(to, from)).toMatch(/^--from .* is not before --to /)
    expect(await fail('2020-01-01T00:00:00Z', '2020-01-02T00:00:00Z')).toMatch(
      /^Nothing was appended from 2020-01-01.* to market\.trades\.v1$/,
    )
    expect(await fail(from, to, '--namespace', live())).toMatch(
      / is the live one: a replay writes into a namespace of its own/,
    )
    expect(await fail(from, '2100-01-01T00:00:00Z', '--steps', 'detect-sandwiches,evaluate-alerts')).toContain(
      'writes too',
    )
    const name = `${live()}.market.trades.v1`
    const [longest] = (await endsOf(admin, name)).toSorted((a, b) => b.high - a.high)
    await cutTopic(admin, name, longest?.partition ?? 0, (longest?.high ?? 0) - 1)
    expect(await fail(from, to)).toMatch(
      /^The stretch begins at .*: market\.trades\.v1:\d: the log begins at .*choose a later --from$/,
    )
    expect(await admin.listTopics()).toEqual(before)
  })
})
