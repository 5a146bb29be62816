/** Whatever reorganisations a chain went through, state and standing outputs are those of the canonical chain alone. */
import { describe, expect, it } from 'vitest'
import { compare } from './compare-histories.ts'

const seeds = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index)

describe('a history of forks leaves what the canonical chain alone leaves', () => {
  it('without finality, at depths up to 64 (70 histories)', () => {
    const runs = seeds(1, 70).map((seed) => compare({ seed, finality: 0, depth: seed % 7 === 0 ? 64 : 16 }))
    expect(Math.max(...runs.map(({ deepest }) => deepest))).toBe(64)
    expect(runs.reduce((sum, { removals }) => sum + removals, 0)).toBeGreaterThan(1_000)
    expect(runs.filter(({ standing }) => standing > 0).length).toBeGreaterThan(60)
  }, 120_000)
})
