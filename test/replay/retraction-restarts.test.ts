/** Forks leave what the canonical chain alone leaves, also where slots are stored, cut off and opened again. */
import { describe, it } from 'vitest'
import { compare } from './compare-histories.ts'

const seeds = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index)

describe('a history of forks leaves what the canonical chain alone leaves', () => {
  it('with checkpoints and restarts anywhere (75 histories)', () => {
    for (const seed of seeds(2_001, 75))
      compare({ seed, finality: [0, 6, 20][seed % 3] ?? 0, depth: 20, restarts: true })
  }, 120_000)

  it('with market records in between, checkpoints and restarts (75 histories)', () => {
    for (const seed of seeds(3_001, 75))
      compare({ seed, finality: [0, 5, 12][seed % 3] ?? 0, depth: 12, restarts: true, markets: true })
  }, 120_000)
})
