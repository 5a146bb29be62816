/** The planted flash crash of the exchange simulator is found, and nothing else is, at ten seeds. */
import { describe, expect, it } from 'vitest'
import { MarketModel } from '../../ops/local/exchange/model.ts'
import { topics } from '../../schemas/topics.ts'
import type { MarketTrade } from '../../schemas/types.ts'
import { buildCandles } from '../../workers/build-candles.ts'
import { formatDecimal } from '../../workers/decimal.ts'
import { detectPriceShocks } from '../../workers/detect-price-shocks.ts'
import { generateSignals } from '../../workers/generate-signals.ts'
import { measureMarketRisk } from '../../workers/measure-market-risk.ts'
import { createDriver } from '../support/driver.ts'
import { noon, trade } from './records.ts'

const seconds = 90

/** Every trade of a minute and a half. */
function tradesOf(seed: number) {
  const model = new MarketModel({ seed, startMs: noon / 1_000, historyS: 1 })
  const trades: MarketTrade[] = []
  const silent = { aggregate: () => {}, quote: () => {}, depth: () => {} }
  model.arm({ flashCrashAtS: 20, silenceAtS: 30 })
  model.advance(model.time + seconds * 1_000, {
    ...silent,
    trade({ info }, { id, price, quantity, time, buyerMaker }) {
      const size = formatDecimal({ units: BigInt(quantity), scale: info.quantityDecimals })
      const text = formatDecimal({ units: BigInt(price), scale: info.priceDecimals })
      const names = {
        id: `binance-spot:${info.pair}:${id}`,
        symbol: info.pair,
        side: buyerMaker ? 'sell' : 'buy',
      } as const
      trades.push(trade(id, time * 1_000, text, { ...names, size }))
    },
  })
  return { trades, crash: model.planted().find(({ what }) => what === 'flash-crash') }
}

describe('events planted on the simulated exchange', () => {
  it.each(Array.from({ length: 10 }, (_, index) => index + 1))(
    'of seed %i: the crash is the only price shock',
    (seed) => {
      const { trades, crash } = tradesOf(seed)
      const driver = createDriver({ steps: [detectPriceShocks, buildCandles, measureMarketRisk, generateSignals] })
      for (const one of trades) driver.append(topics.marketTrades, one)
      driver.run()
      const shocks = driver.read(topics.patternsMatches)
      expect(shocks.map(({ symbol, facts }) => [symbol, facts['direction']])).toEqual([[crash?.symbol, 'down']])
      expect(shocks[0]?.ts).toBeGreaterThan(crash?.at ?? Infinity)
      expect(shocks[0]?.ts).toBeLessThanOrEqual(crash?.until ?? 0)
      expect(driver.faults).toEqual([])
      expect(driver.read(topics.riskMarkets).length).toBeGreaterThanOrEqual(19)
      expect(driver.read(topics.signalsTrades).length).toBeGreaterThan(0)
    },
  )
})
