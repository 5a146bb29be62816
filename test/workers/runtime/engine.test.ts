/** State, stream time and retraction of the keyed engine, through encoded records. */
import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { topics } from '../../../schemas/topics.ts'
import type { ChainTransfer, PatternMatch } from '../../../schemas/types.ts'
import { defineProcessor, type Processor } from '../../../workers/runtime/definitions.ts'
import type { Mark } from '../../../workers/runtime/state/engine.ts'
import { Engine } from '../../../workers/runtime/state/engine.ts'

const second = 1_000_000

interface Sum {
  total: number
  blocks: number[]
}

/** Emits the running total with every transfer, and how many transfers each block had once its time has passed. */
const sumTransfers = defineProcessor<ChainTransfer, Sum>({
  name: 'sum-transfers',
  module: import.meta.url,
  inputs: [topics.chainTransfers],
  outputs: [topics.patternsMatches],
  state: { version: 1, empty: () => ({ total: 0, blocks: [] }) },
  process(transfer, state, emit, at) {
    state.total += Number(transfer.amount)
    state.blocks.push(transfer.block)
    emit(topics.patternsMatches, match(`sum:${transfer.id}`, at.key, transfer.ts, { total: String(state.total) }))
    at.wakeAt(transfer.ts)
  },
  onTime(time, state, emit, at) {
    emit(
      topics.patternsMatches,
      match(`closed:${at.key}:${time}`, at.key, time, { count: String(state.blocks.length) }),
    )
    state.blocks = []
  },
})

const match = (id: string, subject: string, ts: number, facts: Record<string, string>) => ({
  id,
  pattern: 'test',
  subject,
  ts,
  start: ts,
  confidence: 1,
  summary: '',
  venue: null,
  symbol: null,
  chainId: 1,
  wallets: [],
  evidence: [],
  facts,
})

const origin = 'decode-block:chain.blocks.v1:0'

interface Block {
  readonly number: number
  readonly hash: string
  readonly transfers: readonly { readonly token: string; readonly amount: number }[]
}

/** A chain as a step behind decode-block sees it. */
class ChainFeed {
  readonly published: PatternMatch[] = []
  readonly blocks: Block[] = []
  #engine: Engine
  #stored = new Map<string, string>()
  readonly #finality: number
  readonly #step: Processor

  constructor(step: Processor, finality: number) {
    this.#step = step
    this.#finality = finality
    this.#engine = this.#open()
  }

  add(block: Block): void {
    for (const [index, transfer] of block.transfers.entries()) this.#send(block, index, transfer, false)
    this.blocks.push(block)
    this.#mark({ time: block.number * second, block: block.number, finalized: this.#finalized(block), removed: false })
  }

  remove(): void {
    const block = this.blocks.pop()
    if (block === undefined) return
    for (const [index, transfer] of [...block.transfers.entries()].toReversed())
      this.#send(block, index, transfer, true)
    const time = (block.number - 1) * second
    this.#mark({ time, block: block.number - 1, finalized: this.#finalized(block), removed: true })
  }

  /** Stores, throws the memory away and reads it again. */
  restart(): void {
    this.checkpoint()
    this.#engine = this.#open()
  }

  checkpoint(): void {
    for (const [field, text] of this.#engine.changes()) {
      if (text === null) this.#stored.delete(field)
      else this.#stored.set(field, text)
    }
  }

  standing(): string[] {
    const standing = new Map<string, string>()
    for (const record of this.published) {
      if (record.removed) expect(standing.delete(record.id), `${record.id} removed without standing`).toBe(true)
      else {
        expect(standing.has(record.id), `${record.id} stands already`).toBe(false)
        standing.set(record.id, JSON.stringify([record.facts, record.ts, record.block]))
      }
    }
    return [...standing].map(([id, text]) => `${id} ${text}`).toSorted()
  }

  #finalized(block: Block): number {
    return Math.max(0, block.number - this.#finality)
  }

  #send(block: Block, index: number, { token, amount }: { token: string; amount: number }, removed: boolean): void {
    const record: ChainTransfer = {
      id: `${block.hash}:${index}`,
      chainId: 1,
      block: block.number,
      blockHash: block.hash,
      ts: block.number * second,
      txHash: '0x',
      txIndex: index,
      logIndex: index,
      standard: 'erc20',
      token,
      from: 'a',
      to: 'b',
      amount: String(amount),
      tokenId: null,
      finalized: this.#finalized(block),
      removed,
      revision: 0,
    }
    this.#engine.record('chain.transfers.v1', token, origin, record)
  }

  #mark(mark: Omit<Mark, 'origin'>): void {
    this.#engine.mark({ ...mark, origin, chainId: 1 })
  }

  #open(): Engine {
    const publish = (_: unknown, record: object): void => void this.published.push(record as PatternMatch)
    return new Engine(this.#step, undefined, { publish, mark: () => {} }, this.#stored)
  }
}

describe('retraction', () => {
  it('takes back what followed from a removed block and says what follows instead', () => {
    const feed = new ChainFeed(sumTransfers, 10)
    feed.add({ number: 1, hash: 'a', transfers: [{ token: 'x', amount: 5 }] })
    feed.add({ number: 2, hash: 'b', transfers: [{ token: 'x', amount: 7 }] })
    feed.remove()
    feed.add({ number: 2, hash: 'c', transfers: [{ token: 'x', amount: 1 }] })
    expect(
      feed.published.map(({ id, removed, revision, facts }) => [id, removed, revision, facts.total ?? facts.count]),
    ).toEqual([
      ['sum:a:0', false, 0, '5'],
      ['closed:x:1000000', false, 0, '1'],
      ['sum:b:0', false, 0, '12'],
      ['closed:x:2000000', false, 0, '1'],
      ['closed:x:2000000', true, 0, '1'],
      ['sum:b:0', true, 0, '12'],
      ['sum:c:0', false, 0, '6'],
      ['closed:x:2000000', false, 1, '1'],
    ])
  })

  it('counts a revision when a chain flips back', () => {
    const feed = new ChainFeed(sumTransfers, 10)
    const block = { number: 1, hash: 'a', transfers: [{ token: 'x', amount: 5 }] }
    feed.add(block)
    feed.remove()
    feed.add(block)
    expect(
      feed.published.filter(({ id }) => id === 'sum:a:0').map(({ removed, revision }) => [removed, revision]),
    ).toEqual([
      [false, 0],
      [true, 0],
      [false, 1],
    ])
  })

  it('ignores the removal of what is not there', () => {
    const feed = new ChainFeed(sumTransfers, 10)
    feed.blocks.push({ number: 1, hash: 'never', transfers: [{ token: 'x', amount: 5 }] })
    feed.remove()
    expect(feed.published).toEqual([])
  })

  it('leaves the standing outputs of the canonical chain alone, whatever the history, checkpoints and restarts', () => {
    const transfer = fc.record({ token: fc.constantFrom('x', 'y', 'z'), amount: fc.integer({ min: 1, max: 9 }) })
    const step = fc.record({
      depth: fc.integer({ min: 0, max: 6 }),
      blocks: fc.array(fc.array(transfer, { maxLength: 3 }), { minLength: 1, maxLength: 8 }),
      next: fc.constantFrom('nothing', 'checkpoint', 'restart'),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (history) => {
        const forked = new ChainFeed(sumTransfers, 8)
        let serial = 0
        let highest = 0
        for (const { depth, blocks, next } of history) {
          const floor = Math.max(0, highest - 8)
          for (let n = 0; n < depth && (forked.blocks.at(-1)?.number ?? 0) > floor; n++) forked.remove()
          for (const transfers of blocks) {
            const number = (forked.blocks.at(-1)?.number ?? 0) + 1
            highest = Math.max(highest, number)
            forked.add({ number, hash: `h${serial++}`, transfers })
          }
          if (next === 'checkpoint') forked.checkpoint()
          if (next === 'restart') forked.restart()
        }
        const straight = new ChainFeed(sumTransfers, 8)
        for (const block of forked.blocks) straight.add(block)
        expect(forked.standing()).toEqual(straight.standing())
      }),
      { numRuns: 300 },
    )
  })
})
