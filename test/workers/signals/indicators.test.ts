/** Indicators: published vectors, streaming equals the textbook's batch, and the past never changes. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ema, rsi, type Indicator } from '../../../workers/signals/indicators.ts'

function run<State>(indicator: Indicator<State>, values: readonly number[]): (number | undefined)[] {
  const state = indicator.empty()
  return values.map((value) => indicator.add(state, value))
}
const rounded = (values: readonly (number | undefined)[]) =>
  values.map((value) => value && Math.round(value * 100) / 100)
const prices = fc.array(fc.double({ min: 1, max: 1e5, noNaN: true }), { minLength: 1, maxLength: 120 })
const periods = fc.integer({ min: 2, max: 20 })
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

describe('EMA', () => {
  it('gives the published values of StockCharts, Moving Averages (10 days, seeded with the simple average)', () => {
    const closes = [
      22.27, 22.19, 22.08, 22.17, 22.18, 22.13, 22.23, 22.43, 22.24, 22.29, 22.15, 22.39, 22.38, 22.61, 23.36, 24.05,
      23.75, 23.83, 23.95, 23.63,
    ]
    const expected = [22.22, 22.21, 22.24, 22.27, 22.33, 22.52, 22.8, 22.97, 23.13, 23.28, 23.34]
    expect(rounded(run(ema(10), closes)).slice(9)).toEqual(expected)
    expect(run(ema(10), closes).slice(0, 9)).toEqual(Array.from({ length: 9 }))
  })

  it('is the weighted sum of the seed and what came after', () => {
    fc.assert(
      fc.property(prices, periods, (values, period) => {
        const k = 2 / (period + 1)
        const batch = values.map((_, index) => {
          if (index < period - 1) return undefined
          const later = values.slice(period, index + 1)
          const seed = mean(values.slice(0, period)) * (1 - k) ** later.length
          return later.reduce((sum, value, place) => sum + value * k * (1 - k) ** (later.length - 1 - place), seed)
        })
        run(ema(period), values).forEach((value, index) => {
          if (value === undefined) expect(batch[index]).toBeUndefined()
          else expect(value / (batch[index] ?? NaN)).toBeCloseTo(1, 9)
        })
      }),
    )
  })
})

describe('RSI', () => {
  it('gives the published values of StockCharts, Relative Strength Index (14 days, Wilder)', () => {
    const closes = [
      44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328,
      45.614, 46.282, 46.282, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137, 46.4515, 45.7835,
      45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
    ]
    const expected = [
      70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99, 41.46, 41.87, 45.46,
      37.3, 33.08, 37.77,
    ]
    expect(rounded(run(rsi(14), closes)).slice(14)).toEqual(expected)
    expect(run(rsi(14), closes).slice(0, 14)).toEqual(Array.from({ length: 14 }))
  })

  it('is 100 where all rises, 0 where all falls or nothing moves (as in TA-Lib)', () => {
    const line = (step: number): number[] => Array.from({ length: 20 }, (_, index) => 100 + step * index)
    expect([line(1), line(-1), line(0)].map((values) => run(rsi(14), values).at(-1))).toEqual([100, 0, 0])
  })
})

describe('every indicator', () => {
  it('gives for a part of the input what it gives for the whole, and goes on from stored state', () => {
    fc.assert(
      fc.property(prices, periods, fc.nat(), (values, period, cut) => {
        const end = cut % (values.length + 1)
        check(ema(period))
        check(rsi(period))

        function check<State>(indicator: Indicator<State>): void {
          const whole = run(indicator, values)
          expect(run(indicator, values.slice(0, end))).toEqual(whole.slice(0, end))
          const state = indicator.empty()
          for (const value of values.slice(0, end)) indicator.add(state, value)
          const stored: State = JSON.parse(JSON.stringify(state))
          expect(values.slice(end).map((value) => indicator.add(stored, value))).toEqual(whole.slice(end))
        }
      }),
    )
  })
})
