/** The same input gives the same rows: through all processors and sinks, at several batch sizes and thread counts, with a crash. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { openTables } from '../../ops/local/demo/database.ts'
import { startWorkers } from '../../ops/local/demo/workers.ts'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { madeUpWatch } from '../replay/made-up-chain.ts'
import { Feeder, madeUpFeed } from '../support/made-up-feed.ts'
import { freshDatabase, freshPrefix, servers, type FreshDatabase } from '../support/servers.ts'
import { settled } from '../support/settled.ts'
import { command } from '../workers/cli/harness.ts'

interface Way {
  readonly batch: number
  readonly threads: number
  readonly killed?: true
}

const plain: Way = { batch: 2_000, threads: 1 }
const ways: readonly Way[] = [
  { batch: 7, threads: 3 },
  { batch: 1, threads: 4 },
  { batch: 500, threads: 2, killed: true },
]
/** Nobody is to be told anything. */
const steps = cryptoIntel.steps.flatMap((step) => (step.kind === 'connector' || 'serve' in step ? [] : step))
const feed = madeUpFeed(10)

const rule = (name: string, topic: string, rest: object = {}): object => ({ name, topic, severity: 'info', title: '{id}', channels: ['hook'], ...rest }) // prettier-ignore
/** Rules on keys that one step writes: between two the order is not the input's. */
const watch = {
  ...madeUpWatch,
  alerts: [
    rule('sandwich', 'patterns.matches.v1', { where: [{ field: 'pattern', is: 'sandwich' }], every: '1m' }),
    rule('shock', 'patterns.matches.v1', { where: [{ field: 'pattern', is: 'price-shock' }] }),
    rule('wallet', 'risk.wallets.v1', { where: [{ field: 'score', atLeast: 20 }], every: '5m', group: '{wallet}' }),
    rule('market', 'risk.markets.v1'),
    rule('signal', 'signals.trades.v1', { every: '30s' }),
  ],
}

describe('tables', () => {
  const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-'))
  const databases: FreshDatabase[] = []
  let expected: Record<string, string[]> = {}

  beforeAll(async () => {
    writeFileSync(join(folder, 'watch.yaml'), stringify(watch))
    expected = await tablesOf(plain)
  }, 240_000)
  afterAll(async () => {
    await Promise.all(databases.map((database) => database.drop()))
    rmSync(folder, { recursive: true, force: true })
  })

  async function prepare({ batch, threads }: Way): Promise<Record<string, string>> {
    const { brokers, registryUrl, redisUrl } = await servers()
    const database = await freshDatabase()
    databases.push(database)
    const env = {
      KAFKA_BROKERS: brokers,
      SCHEMA_REGISTRY_URL: registryUrl,
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl,
      NAMESPACE: freshPrefix().replace(/-$/, ''),
      WATCH_FILE: join(folder, 'watch.yaml'),
      SESSION_TIMEOUT_MS: '6000',
      CHECKPOINT_MS: '300',
      BATCH_RECORDS: String(batch),
      THREADS: String(threads),
    }
    await command(['topics', 'apply'], { env })
    await command(['migrate'], { env })
    return env
  }

  /** Every row of every table, as text. */
  async function tablesOf(way: Way): Promise<Record<string, string[]>> {
    const env = await prepare(way)
    const feeder = await Feeder.open(env)
    const group = { name: 'all', steps: steps.map(({ name }) => name) }
    const workers = await startWorkers(cryptoIntel.name, [group], env, () => {}, env['NAMESPACE'])
    const tables = openTables(env['DATABASE_URL'] ?? '')
    try {
      const half = feed.length / 2
      await feeder.send(feed.slice(0, half))
      if (way.killed) await workers.kill('all')
      await feeder.send(feed.slice(half))
      await settled(env, steps, 120_000)
      expect(workers.restarts()).toBe(way.killed ? 1 : 0)
      const rows: Record<string, string[]> = {}
      for (const name of Object.keys(await tables.counts())) {
        const lines = await tables.query<{ line: string }>(`SELECT t::text AS line FROM ${name} t ORDER BY 1`)
        rows[name] = lines.map(({ line }) => line)
      }
      return rows
    } finally {
      await workers.stop()
      await Promise.all([feeder.close(), tables.close()])
    }
  }

  it('are filled', () => {
    const filled = Object.keys(expected).filter((name) => (expected[name]?.length ?? 0) > 0)
    expect(filled).toEqual(expect.arrayContaining(['trades', 'candles', 'blocks', 'transfers', 'swaps', 'wallet_activity', 'risk_markets', 'risk_wallets', 'pattern_matches', 'trade_signals', 'alerts'])) // prettier-ignore
    expect(expected['trades']?.length).toBeGreaterThan(2_500)
  })

  it.each(ways.map((way) => [`${way.batch} records`, way.threads, way.killed ? ', killed once' : '', way] as const))(
    'are the same with tasks of %s in %i threads%s',
    { timeout: 180_000 },
    async (_records, _threads, _killed, way) => {
      expect(await tablesOf(way)).toEqual(expected)
    },
  )
})
