/** Risk figures against their definitions. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addClose,
  addReturn,
  emptyRisk,
  figuresOf,
  historicalValueAtRisk,
  volatilityOf,
} from '../../../workers/risk/market-risk.ts'

const returns = fc.array(fc.double({ min: -0.2, max: 0.2, noNaN: true }), { minLength: 1, maxLength: 300 })

function riskOf(values: readonly number[]) {
  const state = emptyRisk()
  for (const value of values) addReturn(state, value)
  return state
}

describe('volatility', () => {
  it('is the size of the returns where all are of one size', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 0.5, noNaN: true }), fc.integer({ min: 1, max: 200 }), (size, count) => {
        const signs = Array.from({ length: count }, (_, index) => (index % 3 === 0 ? size : -size))
        expect(volatilityOf(riskOf(signs))).toBeCloseTo(size, 12)
      }),
    )
  })

  it('weighs each return 0.94 of the next newer one', () => {
    fc.assert(
      fc.property(returns, (values) => {
        const weights = values.map((_, index) => 0.94 ** (values.length - 1 - index))
        const squares = values.reduce((sum, value, index) => sum + value * value * (weights[index] ?? 0), 0)
        const total = weights.reduce((sum, weight) => sum + weight, 0)
        expect(volatilityOf(riskOf(values))).toBeCloseTo(Math.sqrt(squares / total), 10)
      }),
    )
  })

  it('is the recursion of RiskMetrics once the first returns have faded', () => {
    const values = Array.from({ length: 400 }, (_, index) => 0.001 * Math.sin(index * index))
    const variance = values.reduce((last, value) => 0.94 * last + 0.06 * value * value, 0)
    expect(volatilityOf(riskOf(values))).toBeCloseTo(Math.sqrt(variance), 12)
  })
})

describe('value at risk', () => {
  it('is z · σ, and for a year σ · √525600', () => {
    const figures = figuresOf(riskOf([0.01, -0.01]))
    expect(figures.valueAtRisk).toBeCloseTo(0.0232634787404084, 15)
    expect(figures.annualVolatility).toBeCloseTo(0.01 * Math.sqrt(525_600), 10)
  })

  it('from history is null below a hundred returns, then the loss that one in a hundred reaches', () => {
    const falling = Array.from({ length: 500 }, (_, index) => -index / 10_000)
    expect(historicalValueAtRisk(falling.slice(0, 99))).toBeNull()
    expect(historicalValueAtRisk(falling.slice(0, 100))).toBe(0.0099)
    expect(historicalValueAtRisk(falling)).toBe(0.0495)
    expect(historicalValueAtRisk(falling.map((value) => -value))).toBe(0)
  })

  it('remembers the newest 500 returns', () => {
    const state = riskOf(Array.from({ length: 620 }, (_, index) => index))
    expect(state.returns).toHaveLength(500)
    expect([state.returns[0], state.returns.at(-1), state.observations]).toEqual([120, 619, 620])
  })
})

describe('drawdown', () => {
  it('is the fall from the highest close, and the deepest so far', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0.01, max: 1e6, noNaN: true }), { minLength: 1 }), (closes) => {
        const state = emptyRisk()
        const falls = closes.map((close, index) => {
          addClose(state, close)
          return 1 - close / Math.max(...closes.slice(0, index + 1))
        })
        expect(state.drawdown).toBeCloseTo(falls.at(-1) ?? 0, 12)
        expect(state.maxDrawdown).toBeCloseTo(Math.max(...falls), 12)
      }),
    )
  })
})
