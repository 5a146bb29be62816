/** Every query of every dashboard runs against the migrated database and finds the rows that the sinks wrote. */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
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

const Target = z.object({ rawSql: z.string(), format: z.enum(['table', 'time_series']) })
const Dashboard = z.object({
  title: z.string(),
  panels: z.array(z.object({ id: z.int(), type: z.string(), title: z.string(), targets: z.array(Target).default([]) })),
  templating: z.object({ list: z.array(z.object({ name: z.string(), query: z.string() })) }),
  annotations: z.object({ list: z.array(z.object({ name: z.string(), target: Target })) }),
})

const folder = 'ops/grafana/dashboards'
const dashboards = readdirSync(folder).map((file) =>
  Dashboard.parse(JSON.parse(readFileSync(`${folder}/${file}`, 'utf8'))),
)
const queries = dashboards.flatMap(({ title, panels, templating, annotations }) => [
  ...panels.flatMap((panel) => panel.targets.map((target) => ({ name: `${title} / ${panel.title}`, ...target }))),
  ...templating.list.map(({ name, query }) => ({
    name: `${title} / $${name}`,
    rawSql: query,
    format: 'table' as const,
  })),
  ...annotations.list.map(({ name, target }) => ({ name: `${title} / ${name} (annotations)`, ...target })),
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

test('panels of a dashboard have ids of their own and one data source, the provisioned one', () => {
  const { datasources } = z
    .object({ datasources: z.array(z.object({ uid: z.string() })) })
    .parse(parse(readFileSync('ops/grafana/provisioning/datasources/database.yaml', 'utf8')))
  for (const { panels } of dashboards) expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  const uids = readdirSync(folder).flatMap((file) =>
    [
      ...readFileSync(`${folder}/${file}`, 'utf8').matchAll(
        /"type": "grafana-postgresql-datasource",\s*"uid": "([^"]+)"/g,
      ),
    ].map(([, uid]) => uid),
  )
  expect([...new Set(uids)]).toEqual(datasources.map(({ uid }) => uid))
})
