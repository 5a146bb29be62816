/** Trade signals from candles: crosses that the RSI confirms, one-sided flow, and silence otherwise. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { MarketCandle } from '../../schemas/types.ts'
import { generateSignals } from '../../workers/generate-signals.ts'
import { createDriver } from '../support/driver.ts'
import { candle, noon, second } from './records.ts'

function signalsOf(candles: readonly MarketCandle[], options: { batch?: number; restartEvery?: number } = {}) {
  const driver = createDriver({ steps: [generateSignals], ...options })
  for (const one of candles) driver.append(topics.marketCandles, one)
  driver.run()
  return driver.read(topics.signalsTrades)
}
const closes = (prices: readonly number[], rest: Partial<MarketCandle> = {}): MarketCandle[] =>
  prices.map((price, index) => candle(noon + index * second, price, rest))
/** Falls with setbacks, then rises with setbacks. */
const turn = Array.from({ length: 120 }, (_, index) => 100 + Math.abs(index - 60) * 0.02 + (index % 2) * 0.03)

describe('generate-signals', () => {
  it('tells a cross of the averages with its reason', () => {
    const signals = signalsOf(closes(turn))
    expect(signals).toHaveLength(1)
    expect(signals[0]).toMatchObject({ strategy: 'ema-cross', direction: 'long', horizonS: 60, symbol: 'BTC-USDT' })
    expect(signals[0]?.reason).toMatch(/^The 12 s EMA crossed above the 26 s EMA with RSI\(14\) at [56]\d\.\d\.$/)
    expect(signals[0]?.strength).toBeGreaterThan(0)
    expect(signals[0]?.strength).toBeLessThanOrEqual(1)
    const mirrored = signalsOf(closes(turn.map((price) => 200 - price)))
    expect(mirrored.map(({ direction }) => direction)).toEqual(['short'])
  })

  it('does not speak before it has warmed up, of a straight line, or of a move that is overdone', () => {
    expect(signalsOf(closes(turn.slice(60, 85)))).toEqual([])
    expect(signalsOf(closes(Array.from({ length: 100 }, () => 100)))).toEqual([])
    const jump = [
      ...Array.from({ length: 60 }, (_, index) => 100 - index * 0.01),
      ...Array.from({ length: 30 }, () => 120),
    ]
    expect(signalsOf(closes(jump))).toEqual([])
  })

  it('tells one-sided flow once, and again only when it has calmed down and the horizon has passed', () => {
    const flat = (count: number, buyVolume: string, from: number): MarketCandle[] =>
      Array.from({ length: count }, (_, index) =>
        candle(noon + (from + index) * second, 100, { buyVolume, volume: '2' }),
      )
    const signals = signalsOf([
      ...flat(60, '1.9', 0),
      ...flat(60, '1', 60),
      ...flat(60, '0.1', 120),
      ...flat(60, '1.9', 180),
    ])
    expect(signals.map(({ strategy, direction }) => `${strategy} ${direction}`)).toEqual([
      'order-flow long',
      'order-flow short',
      'order-flow long',
    ])
    expect(signals[0]).toMatchObject({ ts: noon + 10 * second, price: '100' })
    expect(signals[0]?.strength).toBeCloseTo(0.9, 12)
    expect(signals[0]?.reason).toBe('Takers bought 95.0 % of the volume of the last 30 s.')
  })

  it('passes over thin flow and candles of a minute', () => {
    expect(
      signalsOf(
        closes(
          Array.from({ length: 60 }, () => 100),
          { buyVolume: '2', trades: 0 },
        ),
      ),
    ).toEqual([])
    expect(signalsOf(closes(turn, { interval: '1m' }))).toEqual([])
  })

  it('repeats the last close through quiet seconds, and begins anew after an outage', () => {
    const paused = closes(turn.flatMap((price) => [price, price]))
    const crosses = signalsOf(paused).map(({ id }) => id)
    expect(crosses.length).toBeGreaterThan(0)
    expect(signalsOf(paused.filter((_, index) => index % 2 === 0)).map(({ id }) => id)).toEqual(crosses)
    const outage = closes(turn).map((one, index) =>
      index < 60 ? one : { ...one, start: one.start + 1e8, ts: one.ts + 1e8 },
    )
    expect(signalsOf(outage)).toEqual([])
  })

  it('never changes the past, whatever follows, the batches and the restarts', () => {
    const wave = closes(
      Array.from({ length: 600 }, (_, index) => 100 + Math.sin(index / 25) + 0.2 * Math.sin(index * index)),
    )
    const whole = signalsOf(wave)
    expect(whole.length).toBeGreaterThan(3)
    expect(signalsOf(wave, { batch: 11, restartEvery: 1 })).toEqual(whole)
    for (const cut of [100, 250, 401]) {
      const past = whole.filter(({ ts }) => ts <= noon + cut * second)
      expect(signalsOf(wave.slice(0, cut))).toEqual(past)
    }
  })
})
