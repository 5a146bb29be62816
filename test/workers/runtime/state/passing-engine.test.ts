/** Steps that see removals themselves: what was left out is not taken back, and a removal that fails is not left out. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../../../schemas/topics.ts'
import type { ChainBlock } from '../../../../schemas/types.ts'
import { Encoder, schemaText, typeOf } from '../../../../workers/runtime/codec.ts'
import { defineProcessor, type Processor } from '../../../../workers/runtime/definitions.ts'
import { FrameWriter } from '../../../../workers/runtime/packing.ts'
import { packRecord, readOutputs, SlotTask, type TaskResult } from '../../../../workers/runtime/slot-task.ts'
import { emptyBlock } from '../../../connectors/evm/recordings.ts'
import { schemaIds } from '../../../support/driver.ts'
import { noon } from '../../records.ts'
import { matchOf } from './chain-slot.ts'

interface Variant {
  readonly throwsAt?: (block: ChainBlock) => boolean
  readonly version?: number
}

/** Tells each block's hash, with what it is set to say, and takes it back. */
const tellOf = ({ throwsAt = () => false, version = 1 }: Variant = {}) =>
  defineProcessor<ChainBlock, object, { word: string }>({
    name: 'tell',
    module: import.meta.url,
    inputs: [topics.chainBlocks],
    outputs: [topics.patternsMatches],
    state: { version, empty: () => ({}), migrate: () => ({}) },
    removals: 'passed',
    process(block, _, emit, at) {
      const { finalized, removed, revision } = block
      const provenance = { block: block.block, finalized, removed, revision }
      emit(topics.patternsMatches, { ...matchOf(block.blockHash, at, block.ts, at.settings.word), ...provenance })
      if (throwsAt(block)) throw new Error('of the block')
    },
  })

const encoder = new Encoder(schemaIds)

class Slot {
  readonly stored = new Map<string, string>()
  #step: Processor
  #word: string
  #task: SlotTask
  #offset = 0

  constructor(step: Processor, word = 'a') {
    this.#step = step
    this.#word = word
    this.#task = this.#open()
  }

  /** @returns what was published: +: told, -: taken back, @: a mark of the newest block; or the fault. */
  send(number: number, { hash = `0x${number}`, removed = false, finalized = 0, origin = 'evm:1' } = {}): string[] {
    const result = this.run(number, { hash, removed, finalized, origin })
    if (result.crash !== undefined) throw new Error(result.crash.error)
    const outputs = [...readOutputs(result.outputs)].map(({ value, mark }) => {
      if (value === null) return `@${mark?.block}${mark?.removed ? '-' : '+'}`
      const record = typeOf(topics.patternsMatches.name).fromBuffer(value.subarray(5))
      return `${record.removed ? '-' : '+'}${record.id} ${record.facts.fact}`
    })
    return [...outputs, ...result.faults.map(({ code }) => code)]
  }

  run(number: number, { hash = `0x${number}`, removed = false, finalized = 0, origin = 'evm:1' }): TaskResult {
    const id = `1:${hash}`
    const record = emptyBlock({ id, block: number, blockHash: hash, ts: noon + number * 1_000_000, removed, finalized })
    const frames = new FrameWriter()
    packRecord(
      frames,
      this.#offset++,
      0,
      noon + number * 1_000_000,
      Buffer.from('1'),
      encoder.encode(topics.chainBlocks, record),
    )
    return this.#task.run(frames.finish(), [origin])
  }

  restart({ word = this.#word, step = this.#step } = {}): void {
    for (const [field, text] of this.#task.changes()) {
      if (text === null) this.stored.delete(field)
      else this.stored.set(field, text)
    }
    this.#word = word
    this.#step = step
    this.#task = this.#open()
  }

  #open(): SlotTask {
    const task = new SlotTask({
      processor: this.#step,
      topic: topics.chainBlocks,
      settings: { word: this.#word },
      schemaIds,
      stored: [...this.stored].toReversed(),
      careful: true,
    })
    task.learn([[schemaIds.get(topics.chainBlocks.name) ?? 0, schemaText(topics.chainBlocks.name)]])
    return task
  }
}

describe('a block', () => {
  it('is taken back as it was told, whatever the settings are by then', () => {
    const slot = new Slot(tellOf())
    expect(slot.send(1)).toEqual(['+0x1 a', '@1+'])
    slot.restart({ word: 'b' })
    expect(slot.send(2)).toEqual(['+0x2 b', '@2+'])
    slot.restart({ word: 'c' })
    slot.restart({ word: 'd' })
    expect(slot.send(2, { removed: true })).toEqual(['-0x2 b', '@1-'])
    expect(slot.send(1, { removed: true })).toEqual(['-0x1 a', '@0-'])
    expect(slot.send(1, { hash: '0xother' })).toEqual(['+0xother d', '@1+'])
    slot.restart()
    expect([...slot.stored.keys()].filter((field) => field.startsWith('v:'))).toHaveLength(1)
  })

  it('from before the state is taken back as the settings are now', () => {
    expect(new Slot(tellOf(), 'now').send(7, { removed: true })).toEqual(['-0x7 now', '@6-'])
  })

  it('that another version of the state has processed is taken back as the settings are now', () => {
    const slot = new Slot(tellOf())
    slot.send(1)
    slot.send(2)
    slot.restart({ step: tellOf({ version: 2 }), word: 'new' })
    expect(slot.send(2, { removed: true })).toEqual(['-0x2 new', '@1-'])
    slot.restart({ word: 'newer' })
    expect(slot.send(1, { removed: true })).toEqual(['-0x1 new', '@0-'])
  })

  it.each([
    ['at which the step threw', (slot: Slot) => void slot.send(2, { hash: '0xbad' })],
    ['that never came to the step', () => {}],
  ])('%s is not taken back', (_, leaveOut) => {
    const slot = new Slot(tellOf({ throwsAt: ({ blockHash, removed }) => blockHash === '0xbad' && !removed }))
    slot.send(1)
    leaveOut(slot)
    slot.restart()
    expect(slot.send(3)).toEqual(['+0x3 a', '@3+'])
    expect(slot.send(3, { removed: true })).toEqual(['-0x3 a', '@1-'])
    expect(slot.send(2, { hash: '0xbad', removed: true })).toEqual([])
    expect(slot.send(1, { removed: true })).toEqual(['-0x1 a', '@0-'])
  })

  it('that is sent again once the step is mended is taken back as it was told then', () => {
    const slot = new Slot(tellOf({ throwsAt: ({ block }) => block === 2 }))
    slot.send(1)
    expect(slot.send(2)).toEqual(['unprocessable'])
    slot.restart({ step: tellOf(), word: 'b' })
    expect(slot.send(2, { origin: 'dlq:0:1' })).toEqual(['+0x2 b'])
    slot.restart({ word: 'c' })
    expect(slot.send(2, { removed: true })).toEqual(['-0x2 b', '@1-'])
  })

  it('is remembered until it is final', () => {
    const slot = new Slot(tellOf())
    for (let number = 1; number <= 9; number++) slot.send(number, { finalized: Math.max(0, number - 3) })
    slot.restart()
    expect([...slot.stored.keys()].filter((field) => field.startsWith('b:')).toSorted()).toEqual(['b:6:1', 'b:7:1', 'b:8:1', 'b:9:1']) // prettier-ignore
  })
})

describe('a removal at which the step throws', () => {
  it('is not left out: it crashes the task as one that is required', () => {
    const slot = new Slot(tellOf({ throwsAt: ({ removed }) => removed }))
    slot.send(1)
    const { crash, faults } = slot.run(1, { removed: true })
    expect(faults).toEqual([])
    expect(crash).toMatchObject({ required: true, error: 'taking 1:0x1 back: of the block' })
  })
})
