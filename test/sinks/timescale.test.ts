/** Every table's sink on a real server: what it writes, what a reorganisation removes, what a repeat changes. */
import { afterAll, beforeAll, expect, test } from 'vitest'
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
import { createSinkWriter } from '../../workers/runtime/sink-writer.ts'
import { freshDatabase, type FreshDatabase } from '../support/servers.ts'
import * as records from './records.ts'

let fresh: FreshDatabase
let database: Database

beforeAll(async () => {
  fresh = await freshDatabase()
  await migrate({ url: fresh.url }, 'ops/migrations')
  database = await connectDatabase({ url: fresh.url })
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

/** Writes as the sink's host does; a record that is refused fails the test. */
async function write<In extends object>(sink: Sink<In>, ...written: In[]): Promise<void> {
  const writer = createSinkWriter(database)
  const slot = { step: sink.name, topic: sink.input.name, partition: 0 }
  const { nextOffset: expectedOffset } = await writer.open(slot)
  const nextOffset = (expectedOffset ?? 0) + written.length
  const onRejected = (rejected: readonly { readonly error: unknown }[]): Promise<void> =>
    Promise.reject(rejected[0]?.error)
  await writer.write({
    slot,
    sink,
    expectedOffset,
    nextOffset,
    appendTime: records.at,
    positions: [],
    records: written,
    onRejected,
  })
}

const rows = async (table: string): Promise<Record<string, unknown>[]> =>
  (await database.query(`SELECT * FROM ${table}`)).rows

test('every record reaches its table with every digit', async () => {
  await write(timescaleTrades, records.trade)
  expect(await rows('trades')).toMatchObject([
    {
      ts: records.at,
      received_at: records.at + 5_000,
      symbol: 'BTC-USDT',
      side: 'buy',
      price: '61234.12000000',
      size: '0.00100000',
    },
  ])
  await write(timescaleQuotes, records.quote, { ...records.quote, id: 'second', updateId: null })
  expect(await rows('quotes')).toMatchObject([
    { update_id: 9, bid_price: '61234.11', ask_size: '0.25' },
    { update_id: null },
  ])
  await write(timescaleFeedStatus, records.feedStatus)
  expect(await rows('feed_status')).toMatchObject([{ status: 'gap', from_id: '5', to_id: '9' }])
  await write(timescaleRiskMarkets, records.marketRisk)
  expect(await rows('risk_markets')).toMatchObject([
    { volatility: 0.0005, historical_value_at_risk: null, observations: 120 },
  ])
  await write(timescaleSignals, records.signal)
  expect(await rows('trade_signals')).toMatchObject([{ strategy: 'ema-cross', direction: 'long', horizon_s: 900 }])
})

test('chain records keep integers of 78 digits, lists and facts', async () => {
  await write(timescaleTransactions, records.transaction)
  expect(await rows('transactions')).toMatchObject([{ value: records.transaction.value, to_address: null, nonce: 4 }])
  await write(timescaleTransfers, records.transfer)
  expect(await rows('transfers')).toMatchObject([{ amount: records.transfer.amount, log_index: 2, token_id: null }])
  await write(timescaleSwaps, records.swap)
  expect(await rows('swaps')).toMatchObject([{ amount0: '1000000', amount1: records.swap.amount1 }])
  await write(timescaleWalletActivity, records.activity)
  expect(await rows('wallet_activity')).toMatchObject([{ direction: 'out', wallet: records.activity.wallet }])
  await write(timescaleRiskWallets, records.walletRisk)
  expect(await rows('risk_wallets')).toMatchObject([{ score: 82.5, factors: records.walletRisk.factors, block: 7 }])
  await write(timescalePatterns, records.match)
  expect(await rows('pattern_matches')).toMatchObject([
    {
      wallets: records.match.wallets,
      evidence: records.match.evidence,
      facts: { usd: '5000000' },
      start: records.match.start,
    },
  ])
  await write(timescaleAlerts, records.alert)
  expect(await rows('alerts')).toMatchObject([
    { alert_group: 'whale:31337', channels: ['ops', 'desk'], labels: { chain: '31337' } },
  ])
})

test('a removed block leaves the table, and comes back with its next revision', async () => {
  const { block } = records
  const child = { ...block, id: 'child', block: 8, ts: records.at + 1_000_000 }
  await write(timescaleBlocks, block, child)
  await write(timescaleBlocks, { ...child, removed: true }, { ...block, removed: true })
  expect(await rows('blocks')).toEqual([])
  await write(
    timescaleBlocks,
    { ...block, revision: 1 },
    { ...block, revision: 1, removed: true },
    { ...block, revision: 2 },
  )
  expect(await rows('blocks')).toMatchObject([{ block: 7, revision: 2 }])
})

test('the removal of what is not there does nothing', async () => {
  await write(timescaleTransfers, { ...records.transfer, id: 'never added', removed: true })
  expect(await rows('transfers')).toHaveLength(1)
})

test('records that are written again replace their rows: offsets may be reset, steps reprocessed', async () => {
  const others = [2, 3].map((n) => ({ ...records.trade, tradeId: String(n) }))
  await write(timescaleTrades, ...others)
  await write(
    timescaleTrades,
    records.trade,
    { ...records.trade, tradeId: '4' },
    { ...records.trade, price: '1.5' },
    ...others,
  )
  const written = await rows('trades ORDER BY trade_id')
  expect(written.map((row) => [row['trade_id'], row['price']])).toEqual([
    ['1', '1.5'],
    ...['2', '3', '4'].map((id) => [id, '61234.12000000']),
  ])
})

test('longer candles follow from those of a minute', async () => {
  const minute = 60_000_000
  const { candle } = records
  const later = {
    ...candle,
    start: candle.start + 4 * minute,
    ts: candle.ts + 4 * minute,
    high: '70000',
    low: '60950',
    close: '69000',
  }
  const next = { ...later, start: candle.start + 5 * minute, ts: candle.ts + 5 * minute, low: '1' }
  await write(timescaleCandles, later, candle, next, { ...candle, interval: '1s', high: '99999' })
  const five = (await database.query('SELECT * FROM candles_5m ORDER BY start')).rows
  expect(five).toEqual([
    {
      start: candle.start,
      venue: 'binance-spot',
      symbol: 'BTC-USDT',
      open: '61000',
      high: '70000',
      low: '60900.25',
      close: '69000',
      volume: '25.0',
      quote_volume: '1530000',
      buy_volume: '14.50',
      trades: 840,
    },
    expect.objectContaining({ start: candle.start + 5 * minute, low: '1', trades: 420 }),
  ])
  expect(await rows('candles_1h')).toMatchObject([{ start: candle.start, low: '1', trades: 1_260 }])
  expect(await rows('candles_1d')).toMatchObject([{ start: candle.start, open: '61000', high: '70000' }])
})
