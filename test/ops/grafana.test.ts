/** Every SQL query of a dashboard finds the rows that the sinks wrote; every PromQL query asks for metrics that the workers have. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { alertOutbox } from '../../sinks/alert-outbox.ts'
import { timescaleAlerts } from '../../sinks/timescale-alerts.ts'
import { timescaleBlocks } from '../../sinks/timescale-blocks.ts'
import { timescaleCandles } from '../../sinks/timescale-candles.ts'
import { timescaleFeedStatus } from '../../sinks/timescale-feed-status.ts'
import { timescalePatterns } from '../../sinks/timescale-patterns.ts'
import { timescaleQuotes } from '../../sinks/timescale-quotes.ts'
import { timescaleRiskMarkets } from '../../sinks/timescale-risk-markets.ts'
import { timescaleRiskWallets } from '../../sinks/timescale-risk-wallets.ts'
import { timescaleSignals } from '../../sinks/timescale-signals.ts'
import { timescaleSwaps } from '../../sinks/timescale-swaps.ts'
import { timescaleTrades } from '../../sinks/timescale-trades.ts'
import { timescaleTransactions } from '../../sinks/timescale-transactions.ts'
import { timescaleTransfers } from '../../sinks/timescale-transfers.ts'
import { timescaleWalletActivity } from '../../sinks/timescale-wallet-activity.ts'
import { connectDatabase, type Database } from '../../workers/runtime/database.ts'
import type { Sink } from '../../workers/runtime/definitions.ts'
import { migrate } from '../../workers/runtime/migrate.ts'
import * as records from '../sinks/records.ts'
import { freshDatabase, type FreshDatabase } from '../support/servers.ts'
import { knownSeries, labelsIn, metricsIn } from './promql.ts'

const Sql = z.object({ rawSql: z.string(), format: z.enum(['table', 'time_series']) })
const PromQl = z.object({ expr: z.string(), legendFormat: z.string() })
/** https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/ */
const Variable = z.union([z.string(), z.object({ query: z.string() })])
const Dashboard = z.object({
  title: z.string(),
  panels: z.array(
    z.object({
      id: z.int(),
      type: z.string(),
      title: z.string(),
      targets: z.array(z.union([Sql, PromQl])).default([]),
    }),
  ),
  templating: z.object({ list: z.array(z.object({ name: z.string(), query: Variable })) }),
  annotations: z.object({ list: z.array(z.object({ name: z.string(), target: Sql })) }),
})

const folder = 'ops/grafana/dashboards'
const dashboards = readdirSync(folder).map((file) =>
  Dashboard.parse(JSON.parse(readFileSync(`${folder}/${file}`, 'utf8'))),
)
const queries = dashboards.flatMap(({ title, panels, templating, annotations }) => [
  ...panels.flatMap((panel) =>
    panel.targets.flatMap((target) => ('rawSql' in target ? { name: `${title} / ${panel.title}`, ...target } : [])),
  ),
  ...templating.list.flatMap(({ name, query }) =>
    typeof query === 'string' ? { name: `${title} / $${name}`, rawSql: query, format: 'table' as const } : [],
  ),
  ...annotations.list.map(({ name, target }) => ({ name: `${title} / ${name} (annotations)`, ...target })),
])

const expressions = dashboards.flatMap(({ title, panels, templating }) => [
  ...panels.flatMap((panel) =>
    panel.targets.flatMap((target) => ('expr' in target ? { name: `${title} / ${panel.title}`, ...target } : [])),
  ),
  ...templating.list.flatMap(({ name, query }) => {
    if (typeof query === 'string') return []
    const [, metric = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(query.query) ?? []
    return { name: `${title} / $${name}`, expr: `group by (${label}) (${metric})`, legendFormat: `{{${label}}}` }
  }),
])

/** As https://grafana.com/docs/grafana/latest/datasources/postgres/ describes its macros, for all time and a minute's interval. */
function expand(sql: string): string {
  return sql
    .replace(/\$__timeFilter\(([^)]+)\)/g, `$1 BETWEEN '2020-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'`)
    .replace(/\$__timeGroupAlias\(([^,]+),\s*\$__interval\)/g, 'floor(extract(epoch from $1)/60)*60 AS "time"')
    .replaceAll('$__interval', '1m')
    .replaceAll('${symbol:sqlstring}', `'BTC-USDT','ETH-USDT'`)
}

describe('dashboards', () => {
  let fresh: FreshDatabase
  let database: Database

  beforeAll(async () => {
    fresh = await freshDatabase()
    await migrate({ url: fresh.url }, 'ops/migrations')
    database = await connectDatabase({ url: fresh.url })
    const write = <In extends object>(sink: Sink<In>, record: In): Promise<void> =>
      database.use((connection) => inTransaction(connection, () => sink.write([record], connection)))
    await write(timescaleTrades, records.trade)
    await write(timescaleQuotes, records.quote)
    await write(timescaleCandles, records.candle)
    await write(timescaleFeedStatus, records.feedStatus)
    await write(timescaleBlocks, records.block)
    await write(timescaleTransactions, records.transaction)
    await write(timescaleTransfers, records.transfer)
    await write(timescaleSwaps, records.swap)
    await write(timescaleWalletActivity, records.activity)
    await write(timescaleRiskMarkets, records.marketRisk)
    await write(timescaleRiskWallets, records.walletRisk)
    await write(timescalePatterns, records.match)
    await write(timescaleSignals, records.signal)
    await write(timescaleAlerts, records.alert)
    await write(alertOutbox, records.alert)
    await database.query(`UPDATE alert_outbox SET status = 'sent', sent_at = now()`)
  })
  afterAll(async () => {
    await database.close()
    await fresh.drop()
  })

  test.each(queries)('$name finds rows', async ({ rawSql, format }) => {
    const sql = expand(rawSql)
    expect(sql).not.toMatch(/\$\{|\$__/)
    const { rows } = await database.query(sql)
    expect(rows.length).toBeGreaterThan(0)
    // A series needs time, name and number.
    if (format === 'time_series') {
      expect(Object.keys(rows[0] ?? {})).toEqual(['time', 'metric', 'value'])
      expect(Number.isFinite(Number(rows[0]?.['value']))).toBe(true)
    }
  })
})

async function inTransaction(
  connection: { query(sql: string): Promise<unknown> },
  work: () => Promise<void>,
): Promise<void> {
  await connection.query('BEGIN')
  await work()
  await connection.query('COMMIT')
}

describe('PromQL', () => {
  test.each(expressions)('$name asks for metrics and labels that there are', ({ expr, legendFormat }) => {
    const metrics = metricsIn(expr)
    expect(metrics).not.toEqual([])
    expect([...knownSeries.keys()]).toEqual(expect.arrayContaining(metrics))
    const labels = metrics.flatMap((metric) => knownSeries.get(metric) ?? [])
    expect(labels).toEqual(expect.arrayContaining(labelsIn(expr)))
    const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
    const grouped = /\bby\s*\(/.test(expr) ? labelsIn(expr) : labels
    expect(grouped).toEqual(expect.arrayContaining(shown))
  })

  const promtool = spawnSync('promtool', ['--version']).status === 0
  test.skipIf(!promtool)('is accepted by promtool (skipped where promtool is missing)', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'crypto-intel-')), 'rules.yml')
    const filledIn = (expr: string): string => expr.replaceAll('$__rate_interval', '1m').replaceAll('$step', '.*')
    const rules = expressions.map(({ expr }, index) => ({ record: `dashboards:${index}`, expr: filledIn(expr) }))
    writeFileSync(file, stringify({ groups: [{ name: 'dashboards', rules }] }))
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' })
    rmSync(join(file, '..'), { recursive: true })
    expect(status, stdout + stderr).toBe(0)
  })
})

test('panels of a dashboard have ids of their own, and every data source is provisioned', () => {
  const provisioned = 'ops/grafana/provisioning/datasources'
  const Sources = z.object({ datasources: z.array(z.object({ uid: z.string(), type: z.string() })) })
  const datasources = readdirSync(provisioned).flatMap(
    (file) => Sources.parse(parse(readFileSync(`${provisioned}/${file}`, 'utf8'))).datasources,
  )
  for (const { panels } of dashboards) expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  const used = readdirSync(folder).flatMap((file) =>
    [...readFileSync(`${folder}/${file}`, 'utf8').matchAll(/"type": "([\w-]+)",\s*"uid": "([^"]+)"/g)].map(
      ([, type, uid]) => `${type} ${uid}`,
    ),
  )
  expect(new Set(used)).toEqual(new Set(datasources.map(({ type, uid }) => `${type} ${uid}`)))
})

test.each([
  ['records_in_total', 'records_out_total', 'lag_records', 'lag_seconds', 'latency_seconds_bucket'],
  ['errors_total', 'dead_letters_total', 'restarts_total', 'stalls_total', 'stalled_partitions'],
  ['checkpoint_seconds_bucket', 'checkpoint_age_seconds', 'commit_seconds_bucket', 'batch_size_records_sum'],
  ['thread_queue_seconds_bucket', 'thread_run_seconds_bucket', 'queued_bytes'],
  ['feed_staleness_seconds', 'reconnects_total', 'gaps_total', 'reorg_depth_blocks_count', 'rpc_errors_total'],
  ['alert_deliveries_total'],
])('the dashboards show %s …', (...names) => {
  const shown = expressions.flatMap(({ expr }) => metricsIn(expr))
  expect(shown).toEqual(expect.arrayContaining(names.map((name) => `crypto_intel_${name}`)))
  expect(shown).toEqual(expect.arrayContaining(['process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds']))
})
