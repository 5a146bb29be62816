/** What a slot publishes and stores depends on the log alone: revisions, order, finality, and the cost of a busy key. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { ChainTransfer, PatternMatch } from '../../schemas/types.ts'
import { evaluateAlerts } from '../../workers/evaluate-alerts.ts'
import { defineProcessor, type Processor } from '../../workers/runtime/definitions.ts'
import { Engine, type Mark } from '../../workers/runtime/state/engine.ts'
import { WatchSchema } from '../../workers/runtime/watch.ts'
import { address, noon, second, transfer } from '../workers/records.ts'
import { madeUpWatch } from './made-up-chain.ts'

const origin = 'decode-block:chain.blocks.v1:0'

interface Sum {
  total: number
}

let calls = 0
/** Tells the sum with every transfer and, a block's time after the newest, once more. */
const sum = defineProcessor<ChainTransfer, Sum>({
  name: 'sum',
  module: import.meta.url,
  inputs: [topics.chainTransfers],
  outputs: [topics.riskWallets],
  state: { version: 1, empty: () => ({ total: 0 }), expiresAfter: 3_600 * second },
  process({ id, ts, amount }, state, emit, at) {
    calls++
    state.total += Number(amount)
    emit(topics.riskWallets, { id, chainId: 1, wallet: at.key, ts, score: state.total, level: 'low', factors: [] })
    at.wakeAt(ts + second / 2)
  },
  onTime(ts, { total: score }, emit, { key: wallet }) {
    emit(topics.riskWallets, { id: `${wallet}:${ts}`, chainId: 1, wallet, ts, score, level: 'low', factors: [] })
  },
})

class Slot {
  readonly published: string[] = []
  readonly marks: Mark[] = []
  readonly stored = new Map<string, string>()
  engine: Engine
  readonly #step: Processor

  constructor(step: Processor = sum) {
    this.#step = step
    this.engine = this.#open()
  }

  transfer(block: number, token: string, rest: Partial<ChainTransfer> = {}): void {
    const record = transfer(block, 0, { token, amount: '1', ...rest, id: `${block}${rest.blockHash ?? ''}${token}` })
    this.engine.record('chain.transfers.v1', `${record.chainId}:${token}`, origin, record)
  }

  mark(block: number, finalized = 0, rest: Partial<Mark> = {}): void {
    this.engine.mark({ origin, chainId: 1, time: noon + block * second, block, finalized, removed: false, ...rest })
  }

  /** @returns the fields that were written or deleted */
  checkpoint(): readonly (readonly [string, string | null])[] {
    const changes = this.engine.changes()
    for (const [field, text] of changes) {
      if (text === null) this.stored.delete(field)
      else this.stored.set(field, text)
    }
    return changes
  }

  restart(): void {
    this.checkpoint()
    this.engine = this.#open()
  }

  #open(): Engine {
    const publish = (_: unknown, record: object): void => {
      const { id, block, finalized, removed, revision } = record as PatternMatch
      this.published.push([id, `@${block}/${finalized}`, ...(removed ? ['removed'] : []), `r${revision}`].join(' '))
    }
    const settings = this.#step.settings?.(WatchSchema.parse(madeUpWatch))
    return new Engine(this.#step, settings, { publish, mark: (mark) => void this.marks.push(mark) }, [...this.stored].toReversed()) // prettier-ignore
  }
}

/** Two runs of the same messages: one that is never stored, one that is stored and opened again after each. */
function bothWays(...messages: ((slot: Slot) => void)[]): string[] {
  const [plain, cut] = [new Slot(), new Slot()]
  for (const message of messages) {
    message(plain)
    message(cut)
    cut.restart()
  }
  expect(cut.published).toEqual(plain.published)
  return plain.published
}

// prettier-ignore
const finding = (detector: string, block: number, finalized: number): [string, PatternMatch] => [
  `${detector}:chain.transfers.v1:0`,
  {
    id: `${detector}:${block}`, pattern: detector, subject: '1:a', ts: noon + block * second, start: noon,
    confidence: 1, summary: '', venue: null, symbol: null, chainId: 1, wallets: [address(1)], evidence: [],
    facts: {}, block, finalized, removed: false, revision: 0,
  },
]
describe('what is published', () => {
  it('counts revisions although all of a key was removed when the slot was stored', () => {
    const published = bothWays(
      (slot) => slot.transfer(1, 'a'),
      (slot) => slot.transfer(1, 'a', { removed: true }),
      (slot) => slot.mark(0, 0, { removed: true }),
      (slot) => slot.transfer(1, 'a', { revision: 1 }),
    )
    expect(published).toEqual(['1a @1/0 r0', '1a @1/0 removed r0', '1a @1/0 r1'])
  })

  it('takes back wake-ups in the order of keys, whatever the order in store', () => {
    const published = bothWays(
      (slot) => ['c', 'a', 'b'].forEach((token) => slot.transfer(1, token)),
      (slot) => slot.mark(1),
      (slot) => slot.mark(2),
      (slot) => slot.mark(1, 0, { removed: true }),
    )
    const wake = noon + 1.5 * second
    const keys = ['1:a', '1:b', '1:c']
    expect(published.slice(3)).toEqual([
      ...keys.map((key) => `${key}:${wake} @2/0 r0`),
      ...keys.map((key) => `${key}:${wake} @2/0 removed r0`),
    ])
  })

  it("rests a wake-up on the block whose record made it due, before that block's mark", () => {
    const published = bothWays(
      (slot) => slot.transfer(1, 'a'),
      (slot) => slot.mark(1),
      (slot) => slot.transfer(2, 'b'),
    )
    expect(published).toEqual(['1a @1/0 r0', `1:a:${noon + 1.5 * second} @2/0 r0`, '2b @2/0 r0'])
  })

  it('says the same of a final wake-up whether or not the slot was stored in between', () => {
    bothWays(
      (slot) => slot.transfer(1, 'a'),
      (slot) => slot.mark(1),
      (slot) => slot.mark(4, 4),
      (slot) => slot.transfer(5, 'a', { finalized: 5 }),
      (slot) => slot.mark(5, 5),
      (slot) => slot.mark(6, 6),
    )
  })

  it('rests on what is pending alone, where detectors are at different heights', () => {
    const [ahead, behind] = [finding('ahead', 100, 36), finding('behind', 98, 36)]
    const [, published] = [1, 2].map((way) => {
      const slot = new Slot(evaluateAlerts)
      slot.engine.record('patterns.matches.v1', '1:a', ...ahead)
      slot.engine.mark({ origin: ahead[0], chainId: 1, time: noon, block: 200, finalized: 150, removed: false })
      if (way === 2) slot.restart()
      slot.engine.record('patterns.matches.v1', '1:a', ...behind)
      slot.engine.record('patterns.matches.v1', '1:a', behind[0], { ...behind[1], removed: true })
      const texts = slot.published.filter((text) => text.includes('behind'))
      expect(texts.every((text) => text.includes('@98/36'))).toBe(true)
      return texts
    })
    expect(published?.length).toBeGreaterThanOrEqual(2)
  })

  it('keeps chains apart that share a partition', () => {
    const slot = new Slot()
    slot.transfer(100, 'a')
    slot.transfer(50_000_000, 'b', { chainId: 137, finalized: 49_999_900 })
    slot.mark(50_000_000, 49_999_900, { chainId: 137 })
    slot.restart()
    slot.transfer(100, 'a', { removed: true })
    expect(slot.published.at(-1)).toBe('100a @100/0 removed r0')
  })
})

describe('what is stored', () => {
  it('forgets a key of which everything was removed, once that is final', () => {
    const slot = new Slot()
    slot.transfer(1, 'a')
    slot.transfer(1, 'a', { removed: true })
    slot.mark(0, 0, { removed: true })
    slot.restart()
    slot.mark(1)
    slot.mark(9, 3)
    slot.checkpoint()
    expect([...slot.stored.keys()]).toEqual([`c:${origin}#1`])
  })

  it('is the final state alone once all is final, although the key was not touched again', () => {
    const slot = new Slot()
    for (const block of [1, 2, 3]) slot.transfer(block, 'a')
    slot.checkpoint()
    expect([...slot.stored.keys()].filter((field) => field.startsWith('i:'))).toHaveLength(3)
    slot.mark(3)
    slot.mark(10, 2)
    slot.checkpoint()
    expect([...slot.stored.keys()].filter((field) => field.startsWith('i:'))).toHaveLength(1)
    slot.mark(11, 9)
    slot.checkpoint()
    expect([...slot.stored.keys()].toSorted()).toEqual([`c:${origin}#1`, 'k:1:a'])
  })

  const pendingOf = (slot: Slot): number => {
    slot.checkpoint()
    return [...slot.stored.keys()].filter((field) => field.startsWith('i:')).length
  }

  it('is bounded where a detector has fallen silent: its finality is passed on by marks', () => {
    const slot = new Slot(evaluateAlerts)
    slot.engine.record('patterns.matches.v1', '1:a', ...finding('silent', 100, 36))
    for (let block = 101; block <= 400; block++)
      slot.engine.record('patterns.matches.v1', '1:a', ...finding('busy', block, block - 64))
    expect(pendingOf(slot)).toBe(301)
    slot.engine.mark({ origin: 'silent:chain.transfers.v1:0', chainId: 1, time: noon, block: 400, finalized: 336, removed: false }) // prettier-ignore
    expect(pendingOf(slot)).toBe(64)
  })

  it('has each step pass on finality every 32 blocks', () => {
    const slot = new Slot()
    for (let block = 1; block <= 200; block++) slot.mark(block, Math.max(0, block - 64))
    expect(slot.marks.map(({ finalized }) => finalized)).toEqual([0, 32, 64, 96, 128])
  })
})

describe('a key with 12,800 pending inputs', () => {
  const slot = new Slot()
  const send = (block: number, index: number, rest: Partial<ChainTransfer> = {}): void =>
    slot.transfer(block, 'busy', { blockHash: `:${index}`, ...rest })
  for (let block = 1; block <= 128; block++) {
    for (let index = 0; index < 100; index++) send(block, index)
    slot.mark(block)
  }

  it('is written once: the next checkpoint holds only what is new', () => {
    expect(slot.checkpoint()).toHaveLength(12_800 + 2)
    send(129, 0)
    const fields = slot.checkpoint().map(([field]) => field)
    expect(fields.toSorted()).toEqual([`c:${origin}#1`, 'i:12800:1:busy', 'k:1:busy'])
  })

  it('costs a removal a small part of them', () => {
    calls = 0
    send(129, 0, { removed: true })
    for (let block = 128; block > 64; block--) {
      for (let index = 99; index >= 0; index--) send(block, index, { removed: true })
      slot.mark(block - 1, 0, { removed: true })
    }
    expect(calls / 6_401).toBeLessThan(64)
  })

  it('comes back from store as it was', () => {
    const before = slot.published.length
    slot.restart()
    send(65, 500)
    const wake = noon + 64.5 * second
    expect(slot.published.slice(before)).toEqual([`1:busy:${wake} @65/0 r1`, '65:500busy @65/0 r0'])
    expect(slot.engine.changes().find(([field]) => field === 'k:1:busy')?.[1]).toContain('"total":0')
  })
})
