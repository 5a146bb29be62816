import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffMs, Bell, SlidingLimit } from '../../../connectors/market/waiting.ts'

const never = new AbortController().signal

describe('backoffMs', () => {
  it('grows from half its base to its cap, with jitter in the upper half', () => {
    const backoff = { baseMs: 500, capMs: 30_000 }
    expect(backoffMs(0, backoff, () => 0)).toBe(250)
    expect(backoffMs(3, backoff, () => 1)).toBe(4_000)
    fc.assert(
      fc.property(fc.nat(1_000), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const ceiling = Math.min(30_000, 500 * 2 ** attempt)
        const wait = backoffMs(attempt, backoff, () => random)
        expect(wait).toBeGreaterThanOrEqual(ceiling / 2)
        expect(wait).toBeLessThanOrEqual(ceiling)
      }),
    )
  })
})

describe('a bell', () => {
  it('wakes who waits, and who comes just after', async () => {
    const bell = new Bell()
    const waiting = bell.wait(3_600_000, never)
    bell.ring()
    await waiting
    bell.ring()
    await bell.wait(3_600_000, never)
  })
})

describe('a sliding limit', () => {
  it('admits no more than its count in any window', async () => {
    let time = 0
    const limit = new SlidingLimit(3, 1, () => (time += 10))
    const admitted: number[] = []
    for (let index = 0; index < 12; index++) {
      await limit.admit(never)
      admitted.push(time)
    }
    for (const [index, at] of admitted.entries()) {
      expect(admitted.filter((other) => other > at - 1_000 && other <= at).length, String(index)).toBeLessThanOrEqual(3)
    }
  })

  it('lets go when the work is called off', async () => {
    const limit = new SlidingLimit(1, 3_600_000, () => 0)
    await limit.admit(never)
    await limit.admit(AbortSignal.timeout(10))
  })
})
