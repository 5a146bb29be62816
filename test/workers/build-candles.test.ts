/** Candles: exact figures, windows that close on stream time, several open at once, stragglers told as late. */
import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { MarketCandle, MarketTrade } from '../../schemas/types.ts'
import { buildCandles } from '../../workers/build-candles.ts'
import { addDecimals, compareDecimals, multiplyDecimals } from '../../workers/decimal.ts'
import { createDriver } from '../support/driver.ts'
import { minute, noon, second, trade } from './records.ts'

const key = 'binance-spot:BTC-USDT'
const ofInterval = (candles: MarketCandle[], interval: string): MarketCandle[] =>
  candles.filter((candle) => candle.interval === interval)

function candlesOf(
  trades: readonly MarketTrade[],
  until: number,
  options: { batch?: number; restartEvery?: number } = {},
) {
  const driver = createDriver({ steps: [buildCandles], ...options })
  for (const one of trades) driver.append(topics.marketTrades, one)
  driver.mark(topics.marketTrades, key, key, until)
  return { candles: driver.read(topics.marketCandles), faults: driver.faults }
}

describe('build-candles', () => {
  it('gives open, high, low, close and exact sums of a second', () => {
    const trades = [
      trade(1, noon + 100_000, '100.1', { size: '0.1' }),
      trade(2, noon + 200_000, '100.30', { size: '0.2', side: 'sell' }),
      trade(3, noon + 900_000, '99.9', { size: '0.00000001' }),
    ]
    const { candles } = candlesOf(trades, noon + 2 * second)
    expect(candles).toEqual([
      {
        id: `${key}:1s:${noon}`,
        venue: 'binance-spot',
        symbol: 'BTC-USDT',
        interval: '1s',
        start: noon,
        ts: noon + second,
        open: '100.1',
        high: '100.30',
        low: '99.9',
        close: '99.9',
        volume: '0.30000001',
        quoteVolume: '30.070000999',
        buyVolume: '0.10000001',
        trades: 3,
      },
    ])
  })

  it('closes a window half a second after its end, not before', () => {
    const trades = [trade(1, noon, 100)]
    expect(candlesOf(trades, noon + second + 499_999).candles).toHaveLength(0)
    expect(candlesOf(trades, noon + second + 500_000).candles).toHaveLength(1)
  })

  it('counts trades that come out of order into their own window while it is open', () => {
    const trades = [
      trade(1, noon + 10, 100),
      trade(2, noon + second + 10, 105),
      trade(3, noon + 5, 90),
      trade(4, noon + 20, 95),
    ]
    const { candles, faults } = candlesOf(trades, noon + 3 * second)
    expect(faults).toEqual([])
    expect(candles.map(({ open, close, trades: count }) => [open, close, count])).toEqual([
      ['90', '95', 3],
      ['105', '105', 1],
    ])
  })

  it('tells a trade of a closed window as late, once, and leaves the candle alone', () => {
    const trades = [trade(1, noon, 100), trade(2, noon + 2 * second, 101), trade(3, noon + 1, 50)]
    const { candles, faults } = candlesOf(trades, noon + 4 * second)
    expect(faults.map(({ reason }) => reason)).toEqual(['late'])
    expect(candles.map(({ low }) => low)).toEqual(['100', '101'])
  })

  it('makes no candle for a window without trades, and late is what would have belonged to it', () => {
    const { candles, faults } = candlesOf(
      [trade(1, noon + 5 * second, 100), trade(2, noon + second, 99)],
      noon + 2 * minute,
    )
    expect(candles.map(({ interval, start }) => [interval, start])).toEqual([
      ['1s', noon + 5 * second],
      ['1m', noon],
    ])
    expect(faults).toHaveLength(1)
  })

  it('makes the minute the sum of its seconds, whatever the batches and restarts', () => {
    const steps = fc.record({ gap: fc.nat({ max: 400_000 }), back: fc.nat({ max: 600_000 }), cents: fc.integer({ min: 1, max: 10_000 }), size: fc.nat({ max: 1_000_000_000 }), buys: fc.boolean() }) // prettier-ignore
    fc.assert(
      fc.property(
        fc.array(steps, { minLength: 1, maxLength: 120 }),
        fc.integer({ min: 1, max: 50 }),
        (moves, batch) => {
          let newest = noon + 50 * second
          const trades = moves.map((move, index) => {
            newest += move.gap
            const size = `${Math.floor(move.size / 1e8)}.${String(move.size % 1e8).padStart(8, '0')}`
            const ts = newest - move.back
            return trade(index, ts, `${move.cents / 100}`, { size, side: move.buys ? 'buy' : 'sell' })
          })
          const { candles, faults } = candlesOf(trades, newest + 3 * minute)
          expect(candlesOf(trades, newest + 3 * minute, { batch, restartEvery: 1 }).candles).toEqual(candles)
          const seconds = ofInterval(candles, '1s')
          for (const whole of ofInterval(candles, '1m')) {
            const parts = seconds.filter(({ start }) => start >= whole.start && start < whole.ts)
            expect(fold(parts)).toEqual(figures(whole))
          }
          const late = new Set(faults.map(({ offset }) => offset))
          const kept = trades.filter((_, offset) => !late.has(offset))
          expect(seconds.reduce((sum, { trades: count }) => sum + count, 0)).toBe(kept.length)
          expect(sum(seconds.map(({ volume }) => volume))).toBe(sum(kept.map(({ size }) => size)))
          const notional = kept.map(({ price, size }) => multiplyDecimals(price, size))
          expect(sum(seconds.map(({ quoteVolume }) => quoteVolume))).toBe(sum(notional))
        },
      ),
      { numRuns: 60 },
    )
  })
})

const capture = '../shared/fixtures/market/binance-spot/btcusdt-20240808.gz'
describe.skipIf(!existsSync(capture))(
  'build-candles on the recorded Binance capture (needs ../shared/fixtures)',
  () => {
    it('puts each of the 9,757 trades into one candle of a second and, where the minute closed, of a minute', () => {
      const trades = recordedTrades()
      const { candles, faults } = candlesOf(trades, (trades.at(-1)?.ts ?? 0) + 2 * minute)
      expect(faults).toEqual([])
      for (const interval of ['1s', '1m']) {
        const all = ofInterval(candles, interval)
        expect(all.reduce((count, { trades: more }) => count + more, 0)).toBe(9_757)
        expect(sum(all.map(({ volume }) => volume))).toBe(sum(trades.map(({ size }) => size)))
      }
    })
  },
)

/** A line is the recorder's nanoseconds, a space and the frame. */
function recordedTrades(): MarketTrade[] {
  const lines = gunzipSync(readFileSync(capture)).toString().split('\n')
  return lines.flatMap((line) => {
    if (!line.includes('@trade"')) return []
    const { data }: { data: { t: number; T: number; p: string; q: string; m: boolean } } = JSON.parse(line.slice(20))
    return [trade(data.t, data.T * 1_000, data.p, { size: data.q, side: data.m ? 'sell' : 'buy' })]
  })
}

const sum = (values: readonly string[]): string => values.reduce(addDecimals, '0')
const extreme = (values: readonly string[], sign: number): string =>
  values.reduce((best, value) => (compareDecimals(value, best) * sign > 0 ? value : best))
const figures = ({ open, high, low, close, volume, quoteVolume, buyVolume, trades }: MarketCandle) => ({
  prices: [open, high, low, close].map(Number),
  sums: [volume, quoteVolume, buyVolume].map((text) => addDecimals(text, '0')),
  trades,
})
const fold = (parts: readonly MarketCandle[]) => ({
  prices: [
    parts[0]?.open ?? '',
    extreme(parts.map(({ high }) => high), 1),
    extreme(parts.map(({ low }) => low), -1),
    parts.at(-1)?.close ?? '',
  ].map(Number), // prettier-ignore
  sums: [
    sum(parts.map(({ volume }) => volume)),
    sum(parts.map(({ quoteVolume }) => quoteVolume)),
    sum(parts.map(({ buyVolume }) => buyVolume)),
  ],
  trades: parts.reduce((count, { trades }) => count + trades, 0),
})
