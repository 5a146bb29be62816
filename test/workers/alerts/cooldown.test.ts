/** How long a rule keeps a group quiet: as a plain search over what was told says, in bounded memory. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { emptyCooldowns, mayTell, type Cooldowns } from '../../../workers/alerts/cooldown.ts'
import { noon, second } from '../records.ts'

const every = 10 * second
const everyOf = (name: string): number | undefined => (name === 'r' ? every : name === 'all' ? 0 : undefined)
const stored = (state: Cooldowns): Cooldowns => JSON.parse(JSON.stringify(state))

describe('a group that was told', () => {
  it('is quiet for the length of time, in the order of event time, over restarts', () => {
    const steps = fc.array(fc.record({ group: fc.nat(3), after: fc.nat(6 * second), restart: fc.boolean() }))
    fc.assert(
      fc.property(steps, (records) => {
        let [state, ts] = [emptyCooldowns(), noon]
        const last = new Map<number, number>()
        for (const { group, after, restart } of records) {
          ts += after
          const quiet = ts - (last.get(group) ?? -Infinity) < every
          expect(mayTell(state, 'r', String(group), ts, everyOf)).toBe(!quiet)
          if (!quiet) last.set(group, ts)
          if (restart) state = stored(state)
        }
      }),
    )
  })

  it('is not held back by what lies in its future, and what was told before that still holds', () => {
    const state = emptyCooldowns()
    const told = (seconds: number): boolean => mayTell(state, 'r', 'g', noon + seconds * second, everyOf)
    const ahead = 10 * 365 * 86_400
    expect([told(0), told(5), told(ahead), told(6), told(9)]).toEqual([true, false, true, false, false])
    expect([told(10), told(15), told(20), told(ahead)]).toEqual([true, false, true, true])
    expect([told(21), told(30), told(39), told(40)]).toEqual([false, true, false, true])
  })

  it('is quiet for stragglers too', () => {
    const state = emptyCooldowns()
    expect(mayTell(state, 'r', 'g', noon, everyOf)).toBe(true)
    expect(mayTell(state, 'r', 'g', noon - 400_000, everyOf)).toBe(false)
    expect(mayTell(state, 'r', 'g', noon - 600_000, everyOf)).toBe(true)
  })
})

describe('what is remembered', () => {
  it('is bounded, and is what was told last', () => {
    const state = emptyCooldowns()
    for (let group = 0; group < 20_000; group++) {
      expect(mayTell(state, 'r', String(group), noon + group, everyOf)).toBe(true)
      if (group % 1_000 === 0) expect(Object.keys(state.told).length).toBe(state.count)
    }
    expect(state.count).toBeLessThanOrEqual(4_097)
    for (let group = 18_000; group < 20_000; group++)
      expect(mayTell(state, 'r', String(group), noon + 20_000, everyOf)).toBe(false)
  })

  it('is looked through seldom: each record pays for a few', () => {
    const state = emptyCooldowns()
    let looked = 0
    const counting = (name: string): number | undefined => {
      looked++
      return everyOf(name)
    }
    for (let group = 0; group < 20_000; group++) mayTell(state, 'r', String(group), noon + group, counting)
    expect(looked).toBeLessThan(5 * 20_000)
  })

  it('is forgotten when it is over, or its rule is gone', () => {
    const state = emptyCooldowns()
    for (let group = 0; group < 60; group++) mayTell(state, 'r', String(group), noon, everyOf)
    for (let group = 0; group < 60; group++) mayTell(state, 'r', `later ${group}`, noon + 3 * every, everyOf)
    expect(state.count).toBeLessThan(70)
    expect(mayTell(state, 'gone', 'g', noon, everyOf)).toBe(true)
    expect(mayTell(state, 'all', 'g', noon, everyOf)).toBe(true)
    expect(Object.keys(state.told).some((key) => !key.startsWith('r '))).toBe(false)
  })
})
