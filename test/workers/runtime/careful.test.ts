/** Where calls into a step that throw are undone, what threw might as well not have been in the log. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import type { ChainTransfer, MarketTrade, PatternMatch } from '../../../schemas/types.ts'
import { defineProcessor, type Draft, type Processor } from '../../../workers/runtime/definitions.ts'
import type { Sourced } from '../../../workers/runtime/state/cell.ts'
import { Engine, type Mark } from '../../../workers/runtime/state/engine.ts'
import { noon, second, trade, transfer } from '../records.ts'

interface Tally {
  begun: number
  ids: string[]
}

const match = (id: string, subject: string, ts: number, facts: Record<string, string>): Draft<PatternMatch> => ({ id, pattern: 'test', subject, ts, start: ts, confidence: 1, summary: '', venue: null, symbol: null, chainId: null, wallets: [], evidence: [], facts }) // prettier-ignore

/** Tells of every record, and each second of all since; a record may throw when it has done its work, and a wake-up too. */
const tallyOf = <In extends MarketTrade | ChainTransfer>(
  input: Processor<In>['inputs'][number],
  throws: (record: In) => boolean,
  stuck: (ids: readonly string[]) => boolean = () => false,
) =>
  defineProcessor<In, Tally>({
    name: 'tally',
    module: import.meta.url,
    inputs: [input],
    outputs: [topics.patternsMatches],
    state: { version: 1, empty: () => ({ begun: 0, ids: [] }) },
    process(record, state, emit, at) {
      state.begun++
      emit(topics.patternsMatches, match(record.id, at.key, record.ts, { begun: String(state.begun) }))
      state.ids.push(record.id)
      at.wakeAt(Math.ceil((record.ts + 1) / second) * second)
      if (throws(record)) throw new Error('of the record')
    },
    onTime(time, state, emit, at) {
      emit(topics.patternsMatches, match(`${at.key}:${time}`, at.key, time, { ids: state.ids.join() }))
      const { ids } = state
      state.ids = []
      if (stuck(ids)) throw new Error('of the wake-up')
    },
  })

/** An engine that is stored and opened again now and then. */
class Slot {
  readonly published: object[] = []
  readonly thrown: [key: string, wake: number | undefined][] = []
  readonly stored = new Map<string, string>()
  #kept = 0
  #step: Processor
  #engine: Engine

  constructor(step: Processor) {
    this.#step = step
    this.#engine = this.#open()
  }

  record({ key }: { key: string }, origin: string, record: Sourced): void {
    const [topic] = this.#step.inputs
    this.#engine.record(topic?.name ?? '', key, origin, record)
  }

  mark(mark: Partial<Mark> & Pick<Mark, 'origin' | 'time'>): void {
    this.#engine.mark({ block: null, finalized: null, removed: false, ...mark })
  }

  restart(step = this.#step): void {
    this.#step = step
    for (const [field, text] of this.#engine.changes()) {
      if (text === null) this.stored.delete(field)
      else this.stored.set(field, text)
    }
    this.#engine = this.#open()
  }

  #open(): Engine {
    return new Engine(
      this.#step,
      undefined,
      { publish: (_topic, record) => void this.published.push(record), mark: () => {} },
      this.stored,
      {
        begin: () => (this.#kept = this.published.length),
        rollBack: () => (this.published.length = this.#kept),
        thrown: (key, wake) => void this.thrown.push([key, wake]),
      },
    )
  }
}

const bad = (record: MarketTrade | ChainTransfer): boolean => record.id.endsWith('bad')
const Step = fc.record({
  key: fc.nat(2),
  after: fc.integer({ min: 1, max: second }),
  isBad: fc.integer({ min: 1, max: 4 }).map((side) => side === 1),
  restart: fc.integer({ min: 1, max: 20 }).map((side) => side === 1),
})

describe('a record that throws when it has changed state and emitted', () => {
  it('leaves a market slot as if it had only moved time', () => {
    const market = tallyOf<MarketTrade>(topics.marketTrades, bad)
    fc.assert(
      fc.property(fc.array(Step, { minLength: 1, maxLength: 300 }), (steps) => {
        const [slot, clean] = [new Slot(market), new Slot(market)]
        let ts = noon
        for (const [index, { key: number, after, isBad, restart }] of steps.entries()) {
          ts += after
          const key = `venue:${number}`
          const record = trade(index, ts, '1', { id: `${index}${isBad ? 'bad' : ''}` })
          slot.record({ key }, 'feed', record)
          if (isBad) clean.mark({ origin: 'feed', time: ts - 1 })
          else clean.record({ key }, 'feed', record)
          if (restart) slot.restart()
        }
        for (const one of [slot, clean]) one.restart()
        expect(slot.published).toEqual(clean.published)
        expect(slot.stored).toEqual(clean.stored)
        expect(slot.thrown).toHaveLength(steps.filter(({ isBad }) => isBad).length)
      }),
    )
  })

  it('is not there when blocks are removed, added and become final', () => {
    const chain = tallyOf<ChainTransfer>(topics.chainTransfers, bad)
    const origin = 'decode-block:chain.blocks.v1:0'
    const Block = fc.record({ transfers: fc.array(Step, { maxLength: 6 }), removes: fc.nat(3), restart: fc.boolean() })
    fc.assert(
      fc.property(fc.array(Block, { minLength: 1, maxLength: 30 }), (history) => {
        const [slot, clean] = [new Slot(chain), new Slot(chain)]
        const standing: ChainTransfer[][] = []
        const send = (record: ChainTransfer): void => {
          const place = { key: `1:${record.token}` }
          slot.record(place, origin, record)
          if (!bad(record)) clean.record(place, origin, record)
        }
        const mark = (time: number, rest: Partial<Mark>): void => {
          for (const one of [slot, clean]) one.mark({ origin, chainId: 1, time, ...rest })
        }
        for (const [round, { transfers, removes, restart }] of history.entries()) {
          const finalized = Math.max(0, standing.length - 4)
          // What a record says besides its transfer counts, whether it throws or not.
          mark(-1, { finalized })
          for (let left = Math.min(removes, standing.length - finalized); left > 0; left--) {
            const number = standing.length
            for (const record of standing.pop()?.toReversed() ?? []) send({ ...record, finalized, removed: true })
            mark(noon + (number - 1) * second, { block: number - 1, finalized, removed: true })
          }
          const number = standing.length + 1
          const block = transfers.map(({ key, isBad }, index) =>
            transfer(number, index, { id: `${round}-${index}${isBad ? 'bad' : ''}`, token: `0x${key}`, finalized }),
          )
          for (const record of block) send(record)
          standing.push(block)
          mark(noon + number * second, { block: number, finalized })
          if (restart) slot.restart()
        }
        for (const one of [slot, clean]) one.restart()
        expect(slot.published).toEqual(clean.published)
      }),
    )
  })
})

describe('a wake-up that throws', () => {
  it('is reported, condemns no record, and is made up for once the step is mended', () => {
    const broken = tallyOf<MarketTrade>(topics.marketTrades, bad, (ids) => ids.includes('0'))
    const mended = tallyOf<MarketTrade>(topics.marketTrades, bad)
    const [slot, clean] = [new Slot(broken), new Slot(mended)]
    const send = (to: Slot, from: number, count: number): void => {
      for (let index = from; index < from + count; index++)
        to.record({ key: `venue:${index % 2}` }, 'feed', trade(index, noon + index * 400_000, '1', { id: String(index) })) // prettier-ignore
    }
    send(slot, 0, 10)
    slot.restart()
    send(slot, 10, 10)
    send(clean, 0, 20)
    const reported = slot.thrown.map(([, wake]) => wake)
    expect(reported).toHaveLength(new Set(reported).size)
    expect(reported).toContain(noon + second)
    expect(new Set(slot.thrown.map(([key]) => key))).toEqual(new Set(['venue:0']))
    const ofOther = (one: object): boolean => 'subject' in one && one.subject === 'venue:1'
    expect(slot.published.filter(ofOther)).toEqual(clean.published.filter(ofOther))
    const records = (one: object): boolean => 'id' in one && !String(one.id).startsWith('venue')
    expect(slot.published.filter(records)).toEqual(clean.published.filter(records))
    slot.restart(mended)
    slot.mark({ origin: 'feed', time: noon + 9 * second })
    const told = slot.published.flatMap((one) => ('facts' in one ? Object.values(one.facts ?? {}) : [])).join()
    for (let index = 0; index < 20; index += 2) expect(told.split(',')).toContain(String(index))
  })
})
