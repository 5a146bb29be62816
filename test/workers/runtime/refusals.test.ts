/** A bad record is told from a bad system by how many come in a row, and of whom. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mostInARow, Refusals, type Outcome } from '../../../workers/runtime/refusals.ts'

const task = { step: 'step', topic: 'market.trades.v1', partition: 3 }
const bad = { code: 'unprocessable', error: 'it throws' }
const made = (count: number, refused: Outcome['refused'], origin = 'feed', from = 0): Outcome[] =>
  Array.from({ length: count }, (_, index) => ({ offset: from + index, origin, refused }))
const fresh = (stored?: string, origins: string[] = ['feed'], until?: number): Refusals =>
  new Refusals(task, stored, origins, until)

describe('records that are refused', () => {
  it('in a row, of an origin whose records used to be taken, mean that the step is broken', () => {
    const refusals = fresh()
    refusals.judge(made(mostInARow - 1, bad))
    expect(() => refusals.judge(made(1, bad, 'feed', 99))).toThrow(
      /^step refuses one record after the other, 100 in a row up to market.trades.v1:3, offset 99; the last: unprocessable: it throws$/,
    )
  })

  it('of origins of which none was ever taken are bad records, however many', () => {
    const refusals = fresh(undefined, [])
    refusals.judge(made(1_000, bad, 'stranger'))
    const again = fresh(refusals.changes(), ['stranger'])
    expect(() => again.judge(made(1_000, bad, 'stranger'))).not.toThrow()
    // One record of theirs that is taken makes them known.
    again.judge(made(1, undefined, 'stranger'))
    expect(() => again.judge(made(mostInARow, bad, 'stranger'))).toThrow('refuses one record after the other')
  })

  it('are counted on over a restart, or a task that is tried again would leave out more each time', () => {
    const refusals = fresh()
    refusals.judge(made(60, bad))
    const again = fresh(refusals.changes())
    expect(() => again.judge(made(40, bad))).toThrow('100 in a row')
  })

  it('are forgotten with one that is taken', () => {
    const refusals = fresh()
    for (let round = 0; round < 10; round++) {
      refusals.judge(made(mostInARow - 1, bad))
      refusals.allTaken(['feed'], 1)
    }
    expect(fresh(refusals.changes()).changes()).toBeUndefined()
  })

  it('before an offset that a person has named are rightly refused', () => {
    const refusals = fresh(undefined, ['feed'], 500)
    refusals.judge(made(500, bad))
    expect(() => refusals.judge(made(mostInARow, bad, 'feed', 500))).toThrow('100 in a row')
  })

  it('blame the clock of the broker where most of a partition is ahead of it', () => {
    const ahead = { code: 'ahead', error: 'it is 61 s later' }
    const refusals = fresh()
    const mixed = Array.from({ length: 300 }, (_, offset): Outcome => ({ offset, origin: 'feed', refused: offset % 3 === 0 ? undefined : ahead })) // prettier-ignore
    expect(() => refusals.judge(mixed)).toThrow("are later than the broker's clock")
    const few = Array.from({ length: 3_000 }, (_, offset): Outcome => ({ offset, origin: 'feed', refused: offset % 3 === 0 ? ahead : undefined })) // prettier-ignore
    expect(() => fresh().judge(few)).not.toThrow()
  })

  it('break a task at the same record wherever batches and restarts fall', () => {
    const outcome = fc.record({ taken: fc.boolean(), origin: fc.constantFrom('feed', 'stranger') })
    const runs = fc.array(fc.record({ outcome, count: fc.integer({ min: 1, max: 150 }) }), { maxLength: 8 })
    fc.assert(
      fc.property(runs, fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (parts, cuts) => {
        const all = parts
          .flatMap(({ outcome: { taken, origin }, count }) => made(count, taken ? undefined : bad, origin))
          .map((one, offset) => ({ ...one, offset }))
        expect(brokenAt(all, cuts)).toBe(brokenAt(all, [all.length + 1]))
      }),
    )
  })
})

/** Judges outcomes in batches, with a restart after each. @returns the message of what broke the task */
function brokenAt(all: readonly Outcome[], cuts: readonly number[]): string | undefined {
  const seen = new Set(['feed'])
  let stored: string | undefined
  for (let at = 0, cut = 0; at < all.length; cut++) {
    const batch = all.slice(at, at + (cuts[cut % cuts.length] ?? 1))
    at += batch.length
    const refusals = new Refusals(task, stored, seen)
    for (const { origin } of batch) seen.add(origin)
    try {
      refusals.judge(batch)
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
    stored = refusals.changes() ?? stored
  }
  return undefined
}
