/** Market risk at each minute's close: from trades alone, through quiet minutes, not across outages. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { MarketTrade } from '../../schemas/types.ts'
import { measureMarketRisk } from '../../workers/measure-market-risk.ts'
import { createDriver } from '../support/driver.ts'
import { minute, noon, second, trade } from './records.ts'

const key = 'binance-spot:BTC-USDT'

function risksOf(
  trades: readonly MarketTrade[],
  until: number,
  options: { batch?: number; restartEvery?: number } = {},
) {
  const driver = createDriver({ steps: [measureMarketRisk], ...options })
  for (const one of trades) driver.append(topics.marketTrades, one)
  driver.mark(topics.marketTrades, key, key, until)
  return { risks: driver.read(topics.riskMarkets), faults: driver.faults }
}

describe('measure-market-risk', () => {
  it('takes the log return from one close to the next', () => {
    const trades = [100, 110, 99].flatMap((price, index) => [
      trade(2 * index, noon + index * minute, 1),
      trade(2 * index + 1, noon + index * minute + 30 * second, price),
    ])
    const { risks } = risksOf(trades, noon + 3 * minute + second)
    expect(risks.map(({ ts, price, observations }) => [ts, price, observations])).toEqual([
      [noon + minute, '100', 0],
      [noon + 2 * minute, '110', 1],
      [noon + 3 * minute, '99', 2],
    ])
    const [up, down] = [Math.log(1.1), Math.log(0.9)]
    expect(risks[2]?.volatility).toBeCloseTo(Math.sqrt((0.94 * up * up + down * down) / 1.94), 14)
    expect(risks[2]?.drawdown).toBeCloseTo(0.1, 14)
    expect(risks[2]?.historicalValueAtRisk).toBeNull()
  })

  it('waits half a second for stragglers, and tells later ones as late', () => {
    const trades = [
      trade(1, noon + 59 * second, 100),
      trade(2, noon + minute + 400_000, 105),
      trade(3, noon + minute - 1, 101),
      trade(4, noon + minute + second, 106),
      trade(5, noon + minute - 1, 1),
    ]
    const { risks, faults } = risksOf(trades, noon + 2 * minute + second)
    expect(risks.map(({ price }) => price)).toEqual(['101', '106'])
    expect(faults.map(({ reason }) => reason)).toEqual(['late'])
  })

  it('counts a quiet minute as a return of nothing', () => {
    const { risks } = risksOf([trade(1, noon, 100), trade(2, noon + 3 * minute, 110)], noon + 4 * minute + second)
    expect(risks.map(({ price, observations }) => [price, observations])).toEqual([
      ['100', 0],
      ['100', 1],
      ['100', 2],
      ['110', 3],
    ])
  })

  it('falls silent after an hour without trades, and leaves the jump across the outage out', () => {
    const trades = [trade(1, noon, 100), trade(2, noon + 300 * minute, 200), trade(3, noon + 301 * minute, 202)]
    const { risks } = risksOf(trades, noon + 302 * minute + second)
    expect(risks).toHaveLength(1 + 60 + 2)
    expect(risks.slice(-2).map(({ observations }) => observations)).toEqual([60, 61])
    expect(risks.at(-1)?.volatility).toBeLessThan(0.01)
  })

  it('gives the same whatever the batches and restarts', () => {
    const trades = Array.from({ length: 400 }, (_, index) =>
      trade(index, noon + index * 7 * second, 100 + Math.sin(index)),
    )
    const whole = risksOf(trades, noon + 60 * minute)
    expect(whole.risks.length).toBeGreaterThan(45)
    expect(risksOf(trades, noon + 60 * minute, { batch: 7, restartEvery: 1 })).toEqual(whole)
  })
})
