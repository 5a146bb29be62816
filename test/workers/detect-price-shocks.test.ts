/** Price shocks: told when the move is reached, once an episode. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { MarketTrade } from '../../schemas/types.ts'
import { detectPriceShocks } from '../../workers/detect-price-shocks.ts'
import { createDriver } from '../support/driver.ts'
import { noon, second, trade } from './records.ts'

function shocksOf(trades: readonly MarketTrade[], options: { batch?: number; restartEvery?: number } = {}) {
  const driver = createDriver({ steps: [detectPriceShocks], ...options })
  for (const one of trades) driver.append(topics.marketTrades, one)
  driver.run()
  return { shocks: driver.read(topics.patternsMatches), faults: driver.faults }
}
/** A trade a second at each price. */
const path = (prices: readonly number[]): MarketTrade[] =>
  prices.map((price, index) => trade(index, noon + index * second, price))

describe('detect-price-shocks', () => {
  it('tells a fall and a rise with their figures', () => {
    const [fall] = shocksOf(path([100, 101, 99, 95.9])).shocks
    expect(fall).toMatchObject({
      pattern: 'price-shock',
      subject: 'binance-spot:BTC-USDT',
      symbol: 'BTC-USDT',
      start: noon + second,
      ts: noon + 3 * second,
      facts: { direction: 'down', from: '101', to: '95.9', seconds: '2' },
      evidence: ['binance-spot:BTC-USDT:1', 'binance-spot:BTC-USDT:3'],
    })
    expect(fall?.summary).toBe('BTC-USDT fell 5.0 % in 2.0 s to 95.9.')
    expect(shocksOf(path([100, 100, 106])).shocks[0]?.facts).toMatchObject({ direction: 'up', move: '0.060000' })
  })

  it('passes over what takes longer than the window, and what is too small', () => {
    expect(shocksOf(path(Array.from({ length: 60 }, (_, index) => 100 * 0.996 ** index))).shocks).toEqual([])
    expect(shocksOf(path([100, 100, 95.1, 95.1])).shocks).toEqual([])
  })

  it('wants three trades in the window', () => {
    expect(shocksOf([trade(1, noon, 100), trade(2, noon + second, 90)]).shocks).toEqual([])
  })

  it('takes a crash and its rebound for one episode, and a crash a minute later for another', () => {
    const crash = [100, 100, 97, 94, 91, 90, 91, 93, 95, 96, 97, 98]
    expect(shocksOf(path(crash)).shocks).toHaveLength(1)
    const calm = Array.from({ length: 60 }, () => 98)
    expect(shocksOf(path([...crash, ...calm, 93, 90])).shocks).toHaveLength(2)
  })

  it('takes trades a little out of order as they come, and tells those older than the window as late', () => {
    const trades = [
      ...path([100, 100, 100]),
      trade(7, noon + second, 94),
      trade(8, noon + 20 * second, 94),
      trade(9, noon, 94),
    ]
    const { shocks, faults } = shocksOf(trades)
    expect(shocks).toHaveLength(1)
    expect(faults.map(({ reason }) => reason)).toEqual(['late'])
  })

  it('gives the same whatever the batches and restarts', () => {
    const trades = path(Array.from({ length: 300 }, (_, index) => (index % 50 === 40 ? 90 : 100 + Math.sin(index))))
    const whole = shocksOf(trades)
    expect(whole.shocks.length).toBeGreaterThan(2)
    expect(shocksOf(trades, { batch: 3, restartEvery: 1 })).toEqual(whole)
  })
})
