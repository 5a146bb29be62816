/** SIGTERM under load: the process ends in order and in time, and whoever goes on after it has nothing to redo. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { binanceSpot } from '../../connectors/binance-spot.ts'
import { samplesOf } from '../../ops/local/demo/readings.ts'
import { startExchange, type Exchange } from '../../ops/local/exchange/exchange.ts'
import { localFolder } from '../../ops/local/paths.ts'
import { topics } from '../../schemas/topics.ts'
import { timescaleCandles } from '../../sinks/timescale-candles.ts'
import { timescaleTrades } from '../../sinks/timescale-trades.ts'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { buildCandles } from '../../workers/build-candles.ts'
import { loadConfig, type Config } from '../../workers/runtime/config.ts'
import { connectDatabase } from '../../workers/runtime/database.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { createKafka, createNames } from '../../workers/runtime/kafka/client.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { createSinkWriter } from '../../workers/runtime/sink-writer.ts'
import { RedisStore } from '../../workers/runtime/state/redis-store.ts'
import { audit, offsetDifferences } from '../chaos/audit.ts'
import { Fleet } from '../chaos/fleet.ts'
import { startTestPipeline, type TestPipeline } from '../support/pipeline.ts'
import { eventually } from '../support/servers.ts'
import { endsOf } from '../support/topics.ts'

const sinks = [timescaleTrades, timescaleCandles]
const steps = [binanceSpot, buildCandles, ...sinks]

describe('SIGTERM under load', () => {
  let exchange: Exchange
  let pipeline: TestPipeline
  let fleet: Fleet
  let config: Config
  let admin: Admin

  beforeAll(async () => {
    exchange = await startExchange({ seed: 11, symbols: ['BTCUSDT', 'ETHUSDT', 'SOLUSDT', 'XRPUSDT'], tradesPerSecond: 1_000, historyS: 5 }) // prettier-ignore
    pipeline = await startTestPipeline({
      groups: [],
      watch: { venues: { 'binance-spot': { symbols: exchange.symbols, lookback: '10m' } } },
      env: { BINANCE_SPOT_REST_URL: exchange.restUrl, BINANCE_SPOT_WS_URL: exchange.wsUrl },
    })
    config = loadConfig({ ...pipeline.env, LOG_LEVEL: 'silent' })
    const names = steps.map(({ name }) => name)
    fleet = new Fleet({ topology: cryptoIntel.name, groups: [{ name: 'all', steps: names }], env: pipeline.env, folder: join(localFolder, 'logs', config.namespace) }) // prettier-ignore
    admin = createKafka(config, createLogger(config, 'test')).admin()
    await admin.connect()
  }, 180_000)
  afterAll(async () => {
    await fleet?.stop()
    await admin?.disconnect()
    await exchange?.stop()
    await pipeline?.stop()
  }, 60_000)

  const samples = async (name: string): Promise<number> =>
    (await fleet.scrape())
      .flatMap(samplesOf)
      .filter((sample) => sample.name === `crypto_intel_${name}`)
      .reduce((sum, { value }) => sum + value, 0)

  /** Where each slot stands in its store, and where its group does. */
  async function places(): Promise<{ readonly where: string; readonly stored: number; readonly committed: number }[]> {
    const names = createNames(config.namespace)
    const store = await RedisStore.connect(config, () => {})
    const database = await connectDatabase({ url: config.databaseUrl, connections: 1 })
    const writer = createSinkWriter(database)
    const read = [
      ...buildCandles.inputs.map((topic) => ({ step: buildCandles.name, topic, stored: async (partition: number) => (await store.read({ step: buildCandles.name, topic: topic.name, partition })).offset })), // prettier-ignore
      ...sinks.map(({ name: step, input: topic }) => ({ step, topic, stored: async (partition: number) => (await writer.open({ step, topic: topic.name, partition })).nextOffset })), // prettier-ignore
    ]
    try {
      const all = read.map(async ({ step, topic, stored }) => {
        const [offsets] = await admin.fetchOffsets({ groupId: names.group(step), topics: [names.topic(topic)] })
        const found = (offsets?.partitions ?? []).map(async ({ partition, offset }) => ({
          where: `${step} ${topic.name}:${partition}`,
          stored: (await stored(partition)) ?? -1,
          committed: Number(offset),
        }))
        return Promise.all(found)
      })
      return (await Promise.all(all)).flat()
    } finally {
      await store.close()
      await database.close()
    }
  }

  /** What the connector still fetches is in no log. */
  const allStored = async (): Promise<void> => {
    const traded = exchange.ledger().reduce((sum, { firstId, lastId }) => sum + lastId - firstId + 1, 0)
    const database = await connectDatabase({ url: config.databaseUrl, connections: 1 })
    try {
      const { rows } = await database.query('SELECT count(*) AS trades FROM trades')
      expect(rows[0]?.['trades']).toBe(traded)
    } finally {
      await database.close()
    }
  }

  const atTheEnd = async (): Promise<void> => {
    const ends = new Map<Topic, Map<number, number>>()
    for (const topic of [topics.marketTrades, topics.marketCandles]) {
      const found = await endsOf(admin, createNames(config.namespace).topic(topic))
      ends.set(topic, new Map(found.map(({ partition, high }) => [partition, high])))
    }
    expect(await offsetDifferences(config, [buildCandles], sinks, ends)).toEqual([])
  }

  it('leaves nothing to redo', { timeout: 360_000 }, async () => {
    for (let round = 0; round < 2; round++) {
      const replica = await fleet.add('all')
      const before = await samples('records_in_total')
      await eventually(async () => expect(await samples('records_in_total')).toBeGreaterThan(before + 5_000), { timeoutMs: 90_000 }) // prettier-ignore
      const started = performance.now()
      await fleet.remove(replica)
      console.info(`ended ${Math.round(performance.now() - started)} ms after SIGTERM`)
      expect(fleet.faults).toEqual([])
      for (const { where, stored, committed } of await places())
        expect(`${where} ${committed}`).toBe(`${where} ${stored}`)
    }
    const last = await fleet.add('all')
    exchange.pause('trades')
    await sleep(2_500)
    exchange.pause('all')
    await eventually(allStored, { timeoutMs: 90_000 })
    await eventually(atTheEnd, { timeoutMs: 90_000 })
    expect(await samples('dropped_records_total')).toBe(0)
    await fleet.remove(last)
    const { topics: written, differences } = await audit({ env: pipeline.env, steps, exchange })
    expect(written.filter(({ duplicates }) => duplicates > 0)).toEqual([])
    expect(differences).toEqual([])
    expect(fleet.faults).toEqual([])
  })
})
