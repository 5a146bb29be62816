/** A short run with a fixed seed and count; `npm run fuzz` runs longer ones. */
import { describe, expect, it } from 'vitest'
import { exiting, filling, looping, pairing, throwing } from './broken-kind.ts'
import { runFuzz, type FuzzReport } from './fuzz.ts'
import type { Kind } from './kind.ts'
import { kinds } from './kinds.ts'

const run = (chosen: readonly Kind[], inputs: number, seed = 'test'): Promise<FuzzReport> =>
  runFuzz({
    seed,
    kinds: chosen,
    inputs,
    minutes: Infinity,
    stallMs: 1_000,
    recordings: false,
    jobs: 1,
    onProgress: () => {},
  })

describe('hostile input breaks nothing', () => {
  it.each(kinds.map((kind) => [kind.name, kind, kind.name === 'http' ? 1_000 : 10_000] as const))(
    '%s',
    { timeout: 240_000 },
    async (name, kind, inputs) => {
      const report = await run([kind], inputs)
      expect(report.faults).toEqual([])
      expect(report.tallies[name]?.inputs).toBe(inputs)
      expect(report.ok).toBe(true)
    },
  )
})

describe('what an input breaks is told with the input, made small', () => {
  it.each([
    ['an endless loop', looping, 'loop', 'stalled'],
    ['an exit', exiting, 'exit', 'ended the process'],
    ['an error that nobody catches', throwing, 'throw', 'ended the process'],
    ['memory without end', filling, 'memory', 'took memory'],
  ] as const)('%s', { timeout: 120_000 }, async (_, kind, edit, what) => {
    const { ok, faults, tallies } = await run([kind], 40)
    expect(ok).toBe(false)
    const fault = faults.find((one) => one.what === what)
    expect(fault).toMatchObject({ edits: [edit], kind: kind.name, seed: 'test' })
    expect(fault?.indexes).toHaveLength(1)
    const tally = tallies[kind.name]
    // The rest of the batch has been run.
    expect(tally?.passed).toBeGreaterThan(0)
    expect((tally?.passed ?? 0) + (tally?.inputs ?? 0)).toBe(40)
  })

  it('to its harmful bytes, and counts the others', { timeout: 120_000 }, async () => {
    const { faults } = await run([looping], 40)
    const fault = faults.find((one) => one.what === 'wrong')
    expect(fault).toMatchObject({ edits: ['wrong'], hex: { bytes: 'bd' } })
    expect(fault?.indexes).toHaveLength(1)
  })

  it('two that only break together', { timeout: 120_000 }, async () => {
    const { faults } = await run([pairing], 40)
    expect(faults.find((one) => one.what === 'two together')?.indexes).toHaveLength(2)
  })
})

it('does the same under the same seed', { timeout: 120_000 }, async () => {
  const [first, again, other] = [await run([exiting], 40), await run([exiting], 40), await run([exiting], 40, 'other')]
  expect(again).toEqual({ ...first, tallies: again.tallies })
  expect(other.faults.map(({ indexes }) => indexes)).not.toEqual(first.faults.map(({ indexes }) => indexes))
})
