/** Versions of state: what a slot says of them, and how a group of two versions shares its partitions. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../../../schemas/topics.ts'
import { Encoder, schemaText } from '../../../../workers/runtime/codec.ts'
import { defineProcessor } from '../../../../workers/runtime/definitions.ts'
import { distribute, type Claimant } from '../../../../workers/runtime/kafka/sticky-assigner.ts'
import { FrameWriter } from '../../../../workers/runtime/packing.ts'
import { packRecord, SlotTask } from '../../../../workers/runtime/slot-task.ts'
import { assertReadable, storedVersion } from '../../../../workers/runtime/state/version.ts'
import { noon, trade } from '../../records.ts'

const stepOf = (version: number) =>
  defineProcessor<object, object>({
    name: 'counter',
    module: import.meta.url,
    inputs: [topics.marketTrades],
    outputs: [topics.signalsTrades],
    state: { version, empty: () => ({}), migrate: (old) => ({ ...Object(old) }) },
    process() {},
  })

/** What a slot stores that has seen one trade. */
function stored(version: number, before: readonly (readonly [string, string])[] = []): [string, string][] {
  const name = topics.marketTrades.name
  const slot = new SlotTask({ processor: stepOf(version), topic: topics.marketTrades, settings: undefined, schemaIds: new Map(), stored: before }) // prettier-ignore
  slot.learn([[1, schemaText(name)]])
  const frames = new FrameWriter()
  const value = new Encoder(new Map([[name, 1]])).encode(topics.marketTrades, trade(1, noon, 1))
  packRecord(frames, 0, 0, noon, Buffer.from('a'), value)
  slot.run(frames.finish(), ['o'])
  const fields = new Map(before)
  for (const [field, text] of slot.changes()) if (text !== null) fields.set(field, text)
  expect(slot.changes()).toEqual([])
  return [...fields]
}

describe('the version of a slot', () => {
  it('is that of the step that has written it last', () => {
    expect(storedVersion([])).toBe(0)
    const first = stored(1)
    expect(storedVersion(first)).toBe(1)
    expect(storedVersion(stored(2, first))).toBe(2)
  })

  it('bars older steps with a clear word, no others', () => {
    const fields = stored(2)
    expect(() => assertReadable(stepOf(1), fields)).toThrow('state of version 2, and this counter knows 1')
    expect(() => assertReadable(stepOf(2), fields)).not.toThrow()
    expect(() => assertReadable(stepOf(3), fields)).not.toThrow()
  })
})

describe('while replicas of two versions share a group', () => {
  const member = (id: string, version: number, held: number[]): Claimant => ({
    id,
    topics: ['a'],
    claim: { generation: 1, version, partitions: { a: held } },
  })
  const share = (...members: Claimant[]) =>
    Object.fromEntries(
      [...distribute({ a: [0, 1, 2, 3] }, members)].map(([id, { a = [] }]) => [id, a.toSorted((x, y) => x - y)]),
    )

  it('the newer takes its part of the older', () => {
    expect(share(member('old1', 1, [0, 1]), member('old2', 1, [2, 3]), member('new', 2, []))).toEqual({
      old1: [0, 1],
      old2: [2],
      new: [3],
    })
  })

  it('what nobody holds goes to the newer, though it has more then', () => {
    expect(share(member('old', 1, [2]), member('new', 2, [3]))).toEqual({ old: [2], new: [0, 1, 3] })
  })

  it('the newer ones share evenly', () => {
    expect(share(member('old', 1, [2]), member('new1', 2, [0, 1, 3]), member('new2', 2, []))).toEqual({
      old: [2],
      new1: [0, 1],
      new2: [3],
    })
  })
})
