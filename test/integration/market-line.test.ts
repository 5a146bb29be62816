/** The thin line: trade → topic → processors → topics → rows and alert outbox, on real servers, surviving kill -9 of each process. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkCandles, checkTrades } from '../../ops/local/demo/checks.ts'
import { startExchange, type Exchange } from '../../ops/local/exchange/exchange.ts'
import { startTestPipeline, type TestPipeline } from '../support/pipeline.ts'
import { eventually } from '../support/servers.ts'

const groups = [
  { name: 'connectors', steps: ['binance-spot'] },
  { name: 'processors', steps: ['build-candles', 'detect-price-shocks', 'evaluate-alerts'] },
  { name: 'sinks', steps: ['timescale-trades', 'timescale-candles', 'timescale-patterns'] },
  { name: 'alerts', steps: ['alert-outbox'] },
]
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe('market line', () => {
  let exchange: Exchange
  let pipeline: TestPipeline

  beforeAll(async () => {
    exchange = await startExchange({
      seed: 7,
      symbols: ['BTCUSDT', 'ETHUSDT', 'SOLUSDT', 'XRPUSDT'],
      tradesPerSecond: 120,
      historyS: 30,
      plants: { flashCrashAtS: 2 },
    })
    pipeline = await startTestPipeline({
      groups,
      watch: {
        venues: { 'binance-spot': { symbols: exchange.symbols, lookback: '10m' } },
        alerts: [
          { name: 'shock', topic: 'patterns.matches.v1', severity: 'critical', title: '{summary}', channels: ['hook'] },
        ],
        // Nobody listens: the outbox keeps what is to be sent.
        channels: { hook: { kind: 'webhook', url: 'http://127.0.0.1:9/', secretFrom: 'HOOK_SECRET' } },
      },
      env: {
        BINANCE_SPOT_REST_URL: exchange.restUrl,
        BINANCE_SPOT_WS_URL: exchange.wsUrl,
        HOOK_SECRET: 'whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0',
      },
    })
  }, 180_000)
  afterAll(async () => {
    await exchange?.stop()
    await pipeline?.stop()
  }, 60_000)

  it('loses nothing and counts nothing twice while each process is killed in turn', { timeout: 240_000 }, async () => {
    exchange.arm()
    for (const { name } of groups) {
      await pause(1_500)
      await pipeline.workers.kill(name)
    }
    await pause(2_000)
    exchange.pause('trades')
    await pause(2_500)
    exchange.pause('all')
    await eventually(() => expect(pipeline.workers.restarts()).toBe(groups.length))
    // Nothing may wait while the connector is only about to fetch.
    await eventually(async () => expect(await checkTrades(exchange, pipeline.tables)).toMatchObject({ ok: true }), { timeoutMs: 120_000 }) // prettier-ignore
    await pipeline.settled(120_000)
    expect(await checkTrades(exchange, pipeline.tables)).toMatchObject({ ok: true })
    expect(await checkCandles(pipeline.tables)).toMatchObject({ ok: true })
    const shocks = await pipeline.tables.query<{ id: string; symbol: string }>(
      "SELECT id, symbol FROM pattern_matches WHERE pattern = 'price-shock'",
    )
    expect(new Set(shocks.map(({ symbol }) => symbol))).toEqual(new Set(exchange.planted().map(({ symbol }) => symbol)))
    const outbox = await pipeline.tables.query<{ alert_id: string; traceparent: string | null }>(
      'SELECT alert_id, traceparent FROM alert_outbox',
    )
    for (const { traceparent } of outbox) expect(traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
    expect(outbox.map(({ alert_id }) => alert_id).toSorted()).toEqual(shocks.map(({ id }) => `shock:${id}`).toSorted())
  })
})
