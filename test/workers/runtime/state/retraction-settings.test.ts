/** A removal takes back what was emitted, under whatever settings and code that was. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../../schemas/topics.ts'
import type { ChainTransfer } from '../../../../schemas/types.ts'
import { defineProcessor } from '../../../../workers/runtime/definitions.ts'
import { address, noon, second } from '../../records.ts'
import { ChainSlot, matchOf } from './chain-slot.ts'

interface Settings {
  readonly atLeast: number
}

/** Tells of every transfer of some size, with the sum of those told; and at the end of its second what the bound was. */
const largeOf = (fact?: string) =>
  defineProcessor<ChainTransfer, { sum: number }, Settings>({
    name: 'large',
    module: import.meta.url,
    inputs: [topics.chainTransfers],
    outputs: [topics.patternsMatches],
    state: { version: 1, empty: () => ({ sum: 0 }) },
    process({ id, ts, amount }, state, emit, at) {
      if (Number(amount) < at.settings.atLeast) return
      state.sum += Number(amount)
      emit(topics.patternsMatches, matchOf(id, at, ts, fact ?? state.sum))
      at.wakeAt(ts + second / 2)
    },
    onTime(time, { sum }, emit, at) {
      emit(topics.patternsMatches, matchOf(`${(time - noon) / second}`, at, time, `${sum} of ${at.settings.atLeast}`))
    },
  })
const large = largeOf()
const low = { atLeast: 2 }
const high = { atLeast: 6 }
/** Ways to come from one bound to the other. */
const ways: readonly (readonly [string, (slot: ChainSlot, settings: Settings) => void])[] = [
  ['with the removal right behind it', (slot, settings) => slot.restart({ settings })],
  [
    'with another restart in between',
    (slot, settings) => {
      slot.restart({ settings })
      slot.restart()
    },
  ],
  [
    'with another block in between',
    (slot, settings) => {
      slot.restart({ settings })
      slot.mark(7)
      slot.mark(6, 0, true)
    },
  ],
]

describe.each(ways)('a bound that changes between a block and its removal, %s', (_, change) => {
  it('raised: the removal takes back what was told below it', () => {
    const slot = new ChainSlot(large, low)
    slot.send(1, 9)
    slot.send(2, 3)
    expect(slot.news()).toEqual(['+1-9 @1 r0 9', '+1.5 @2 r0 9 of 2', '+2-3 @2 r0 12'])
    change(slot, high)
    slot.news()
    slot.remove(2, 3)
    expect(slot.news()).toContain('-2-3 @2 r0 12')
    expect(slot.news()).toEqual([])
  })

  it('lowered: nothing is taken back that was not told', () => {
    const slot = new ChainSlot(large, high)
    slot.send(1, 9)
    slot.send(2, 3)
    slot.mark(2)
    expect(slot.news()).toEqual(['+1-9 @1 r0 9', '+1.5 @2 r0 9 of 6'])
    change(slot, low)
    slot.remove(2, 3)
    slot.mark(1, 0, true)
    expect(slot.news()).toEqual(['-1.5 @2 r0 9 of 6'])
    slot.remove(1, 9)
    expect(slot.news()).toEqual(['-1-9 @1 r0 9'])
  })

  it('leaves what earlier inputs have led to as it is', () => {
    const slot = new ChainSlot(large, low)
    for (const block of [1, 2, 3, 4]) slot.send(block, block + 1)
    slot.news()
    change(slot, high)
    slot.news()
    slot.send(6, 7)
    slot.news()
    slot.remove(6, 7)
    expect(slot.news()).toEqual(['-6-7 @6 r0 21'])
    slot.mark(4, 0, true)
    slot.news()
    slot.remove(4, 5)
    expect(slot.news()).toEqual(['-4-5 @4 r0 14'])
  })

  it('folds later inputs again under the settings of their time', () => {
    const slot = new ChainSlot(large, low)
    slot.send(1, 3)
    slot.send(1, 4)
    slot.send(1, 5)
    change(slot, high)
    slot.send(1, 8)
    slot.send(1, 2)
    expect(slot.news().filter((text) => text.includes('1-'))).toEqual([
      '+1-3 @1 r0 3',
      '+1-4 @1 r0 7',
      '+1-5 @1 r0 12',
      '+1-8 @1 r0 20',
    ])
    slot.remove(1, 4)
    expect(slot.news().filter((text) => text.includes('1-'))).toEqual([
      '-1-8 @1 r0 20',
      '-1-5 @1 r0 12',
      '-1-4 @1 r0 7',
      '+1-5 @1 r1 8',
      '+1-8 @1 r1 16',
    ])
  })
})

describe('what is stored', () => {
  const versions = (slot: ChainSlot): string[] =>
    [...slot.stored].flatMap(([field, text]) => (field.startsWith('v:') ? [text] : []))

  it('are the settings of unfinalized inputs, once each, until these are final', () => {
    const slot = new ChainSlot(large, low)
    for (const block of [1, 2, 3]) slot.send(block, 5)
    slot.restart({ settings: high })
    expect(versions(slot)).toEqual(['{"v":1,"s":{"atLeast":2}}'])
    for (const block of [4, 5]) slot.send(block, 7)
    slot.checkpoint()
    expect(versions(slot)).toHaveLength(2)
    // The timers after the newest final input are its settings' too.
    slot.mark(9, 4)
    slot.checkpoint()
    expect(versions(slot)).toEqual(['{"v":1,"s":{"atLeast":6}}'])
    slot.mark(20, 15)
    slot.checkpoint()
    expect(versions(slot)).toEqual([])
    expect([...slot.stored.keys()].filter((field) => !/^[ck]:|^state-version$/.test(field))).toEqual([])
  })

  it('grows with each checkpoint by what is new alone', () => {
    const slot = new ChainSlot(large, low)
    for (let block = 1; block <= 50; block++) slot.send(block, 5)
    slot.checkpoint()
    slot.send(51, 5)
    const [clock, key] = ['c:decode-block:chain.blocks.v1:0#1', `1:${address(0x70)}`]
    expect(slot.checkpoint().toSorted()).toEqual([clock, `i:50:${key}`, `k:${key}`])
    slot.restart()
    slot.mark(51)
    expect(slot.checkpoint()).toEqual([clock])
  })

  it('is nothing where nothing is pending', () => {
    const slot = new ChainSlot(large, low)
    for (let block = 1; block <= 5; block++) slot.send(block, 5, { finalized: block })
    slot.checkpoint()
    expect(versions(slot)).toEqual([])
  })
})

describe('code that changes between a block and its removal', () => {
  it('leaves what it was told before, and takes back just that', () => {
    const slot = new ChainSlot(large, low)
    slot.send(1, 3)
    slot.send(1, 4)
    slot.send(1, 5)
    slot.news()
    slot.restart({ step: largeOf('doubled') })
    slot.send(1, 6)
    expect(slot.news()).toEqual(['+1-6 @1 r0 doubled'])
    slot.remove(1, 6)
    slot.remove(1, 5)
    expect(slot.news()).toEqual(['-1-6 @1 r0 doubled', '-1-5 @1 r0 12'])
    slot.remove(1, 3)
    expect(slot.news()).toEqual(['-1-4 @1 r0 7', '-1-3 @1 r0 3', '+1-4 @1 r1 doubled'])
  })
})

describe('whatever blocks are removed, and whenever the settings change', () => {
  interface Block {
    readonly number: number
    readonly name: string
    readonly amounts: readonly number[]
    readonly settings: Settings
  }
  const tokenOf = (amount: number): string => `0x${amount % 3}`

  /** A chain as a slot sees it. */
  class Feed {
    readonly slot = new ChainSlot(large, low)
    readonly blocks: Block[] = []
    #settings: Settings = low

    settings(settings: Settings): void {
      if (settings !== this.#settings) this.slot.restart({ settings })
      this.#settings = settings
    }

    add(block: Block): void {
      this.settings(block.settings)
      for (const [index, amount] of block.amounts.entries()) this.#send(block, index, amount, false)
      this.blocks.push(block)
      this.slot.mark(block.number, this.#finalized(block.number))
    }

    remove(): void {
      const block = this.blocks.pop()
      if (block === undefined) return
      for (const [index, amount] of [...block.amounts.entries()].toReversed()) this.#send(block, index, amount, true)
      this.slot.mark(block.number - 1, this.#finalized(block.number), true)
    }

    /** @throws Error where something is told twice, or taken back otherwise than it was told */
    standing(): string[] {
      const standing = new Map<string, string>()
      for (const { id: own, subject, block, revision, removed, facts } of this.slot.published) {
        const [id, told] = [`${subject} ${own}`, `@${block} ${facts['fact']} r${revision}`]
        expect(standing.get(id), id).toBe(removed ? told : undefined)
        if (removed) standing.delete(id)
        else standing.set(id, told)
      }
      return [...standing].map(([id, told]) => `${id} ${told.replace(/ r\d+$/, '')}`).toSorted()
    }

    #finalized = (number: number): number => Math.max(0, number - 6)

    #send({ number, name }: Block, index: number, amount: number, removed: boolean): void {
      const [id, finalized] = [`${name}-${index}`, this.#finalized(number)]
      this.slot.send(number, amount, { id, token: tokenOf(amount), finalized, removed })
    }
  }

  it('what stands is what the blocks that are left lead to, each under the settings of its time', () => {
    const Step = fc.record({
      depth: fc.integer({ min: 0, max: 5 }),
      settings: fc.constantFrom(low, high, { atLeast: 4 }),
      blocks: fc.array(fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }), { minLength: 1, maxLength: 6 }),
      next: fc.constantFrom('nothing', 'checkpoint', 'restart'),
    })
    fc.assert(
      fc.property(fc.array(Step, { minLength: 1, maxLength: 10 }), (history) => {
        const forked = new Feed()
        let [serial, highest] = [0, 0]
        for (const { depth, settings, blocks, next } of history) {
          forked.settings(settings)
          for (let n = 0; n < depth && (forked.blocks.at(-1)?.number ?? 0) > Math.max(1, highest - 5); n++)
            forked.remove()
          for (const amounts of blocks) {
            const number = (forked.blocks.at(-1)?.number ?? 0) + 1
            highest = Math.max(highest, number)
            forked.add({ number, name: `b${serial++}`, amounts, settings })
          }
          if (next === 'checkpoint') forked.slot.checkpoint()
          if (next === 'restart') forked.slot.restart()
        }
        const straight = new Feed()
        for (const block of forked.blocks) straight.add(block)
        expect(forked.standing()).toEqual(straight.standing())
      }),
      { numRuns: 100 },
    )
  }, 60_000)
})
