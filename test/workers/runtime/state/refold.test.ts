/** An input at which the step throws while it is folded again costs a letter of its own, and what it had led to; nothing else. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../../schemas/topics.ts'
import type { ChainTransfer } from '../../../../schemas/types.ts'
import { defineProcessor, type Processor } from '../../../../workers/runtime/definitions.ts'
import { noon, second } from '../../records.ts'
import { ChainSlot, matchOf } from './chain-slot.ts'

interface Balance {
  left: number
}

interface Variant {
  /** An amount at which it throws. */
  readonly refused?: string
  /** The time of a match, where so much is left. */
  readonly time?: (left: number) => number | undefined
}

/** Pays in and, amounts below ten thousand, out again; throws where there is not enough, once it has told of the payment. */
const balanceOf = ({ refused, time = () => undefined }: Variant = {}) =>
  defineProcessor<ChainTransfer, Balance>({
    name: 'balance',
    module: import.meta.url,
    inputs: [topics.chainTransfers],
    outputs: [topics.patternsMatches],
    state: { version: 1, empty: () => ({ left: 0 }) },
    process({ id, ts, amount }, state, emit, at) {
      if (amount === refused) throw new Error(`not ${amount}`)
      state.left += Number(amount) >= 10_000 ? Number(amount) : -Number(amount)
      emit(topics.patternsMatches, matchOf(id, at, time(state.left) ?? ts, state.left))
      if (state.left < 0) throw new Error(`${state.left} are left`)
    },
  })
const balance = balanceOf()

const faultsOf = ({ faults }: ChainSlot) => faults.map(({ offset, reason, code, refold }) => ({ offset, reason, code, id: refold?.id })) // prettier-ignore

describe('an input at which the step throws while it is folded again', () => {
  const filled = (step: Processor = balance): ChainSlot => {
    const slot = new ChainSlot(step)
    slot.send(1, 10_000)
    slot.send(2, 20_000)
    slot.send(1, 4_000)
    slot.send(1, 9_000)
    slot.send(1, 8_000)
    slot.send(1, 1_000)
    slot.news()
    return slot
  }

  it('is a fault of its own, at the removal; what it led to is taken back, and the rest is folded on', () => {
    const slot = filled()
    slot.remove(2, 20_000)
    expect(slot.news()).toEqual([
      '-1-1000 @2 r0 8000',
      '-1-8000 @2 r0 9000',
      '-1-9000 @2 r0 17000',
      '-1-4000 @2 r0 26000',
      '-2-20000 @2 r0 30000',
      '+1-4000 @1 r1 6000',
      '+1-1000 @1 r1 5000',
    ])
    const fault = { offset: 6, reason: 'poison', code: 'refold' }
    expect(faultsOf(slot)).toEqual([{ ...fault, id: '1-9000' }, { ...fault, id: '1-8000' }]) // prettier-ignore
    expect(slot.faults[0]?.refold).toEqual({ key: `1:${'0x'.padEnd(40, '0')}70`, id: '1-9000', index: 0 })
    expect(slot.faults[0]?.error).toMatch(
      /^1-9000 of 1:0x0+70 \(chain\.transfers\.v1 at offset 3\), folded again: -3000 are left$/,
    )
  })

  it('is told once: it is not there any more', () => {
    const slot = filled()
    slot.remove(2, 20_000)
    slot.restart()
    slot.news()
    slot.remove(1, 9_000)
    slot.remove(1, 4_000)
    slot.restart()
    slot.send(1, 2_000)
    expect(slot.faults).toHaveLength(2)
    expect(slot.news()).toEqual([
      '-1-1000 @1 r1 5000',
      '-1-4000 @1 r1 6000',
      '+1-1000 @1 r2 9000',
      '+1-2000 @1 r0 7000',
    ])
    slot.mark(9, 8)
    slot.checkpoint()
    expect([...slot.stored.keys()].filter((field) => field.startsWith('i:'))).toEqual([])
  })

  it.each([
    ['is not finite', Number.NaN, /^1-4000 .* folded again: patterns.matches.v1.ts is NaN, which state cannot hold$/],
    [
      'does not fit the schema',
      0.5,
      /^1-4000 .* folded again: a record does not fit the schema of patterns.matches.v1/,
    ],
  ])('may be one that leads to what cannot be published: a number that %s', (_, ts, error) => {
    const slot = filled(balanceOf({ time: (left) => (left === 6_000 ? ts : undefined) }))
    slot.remove(2, 20_000)
    expect(slot.faults[0]?.error).toMatch(error)
    expect(faultsOf(slot).map(({ id, code }) => `${code} ${id}`)).toEqual(['refold 1-4000', 'refold 1-8000'])
    expect(slot.news().slice(5)).toEqual(['+1-9000 @1 r1 1000', '+1-1000 @1 r1 0'])
  })
})

describe('code that throws at what the code before has processed', () => {
  const strict = balanceOf({ refused: '4000' })

  it.each([
    ['a mark', (slot: ChainSlot) => slot.mark(3)],
    ['a record of another key', (slot: ChainSlot) => slot.send(3, 10_000, { token: '0xother' })],
  ])('is told with the next message, %s, and what followed is taken back', (_, next) => {
    const slot = new ChainSlot(balance)
    slot.send(1, 10_000)
    slot.send(1, 4_000)
    slot.send(1, 3_000)
    slot.restart()
    slot.news()
    slot.restart({ step: strict })
    expect(slot.faults).toEqual([])
    next(slot)
    expect(slot.news().slice(0, 3)).toEqual(['-1-3000 @1 r0 3000', '-1-4000 @1 r0 6000', '+1-3000 @1 r1 7000'])
    expect(faultsOf(slot)).toEqual([{ offset: 3, reason: 'poison', code: 'refold', id: '1-4000' }])
    slot.restart()
    slot.send(1, 1_000)
    expect(slot.news()).toEqual(['+1-1000 @1 r0 6000'])
    expect(slot.faults).toHaveLength(1)
  })
})

describe('a timer that throws when it is called again', () => {
  /** Tells at the end of each second how many there were; throws where there is but one. */
  const counting = (isMended: boolean) =>
    defineProcessor<ChainTransfer, { count: number }>({
      name: 'counting',
      module: import.meta.url,
      inputs: [topics.chainTransfers],
      outputs: [topics.patternsMatches],
      state: { version: 1, empty: () => ({ count: 0 }) },
      process({ ts }, state, _, at) {
        state.count++
        at.wakeAt(ts + second / 2)
      },
      onTime(time, state, emit, at) {
        emit(topics.patternsMatches, matchOf(`${(time - noon) / second}`, at, time, state.count))
        if (state.count === 1 && !isMended) throw new Error('only one')
      },
    })

  it('is a fault once, and what it had led to is taken back until the step is mended', () => {
    const slot = new ChainSlot(counting(false), undefined, { careful: true })
    slot.send(1, 1)
    slot.send(1, 2)
    slot.mark(2)
    expect(slot.news()).toEqual(['+1.5 @2 r0 2'])
    slot.remove(1, 2)
    expect(slot.news()).toEqual(['-1.5 @2 r0 2'])
    expect(slot.faults.map(({ code, offset }) => [code, offset])).toEqual([['wake-up', 3]])
    slot.restart()
    slot.mark(3)
    expect(slot.news()).toEqual([])
    expect(slot.faults).toHaveLength(1)
    slot.restart({ step: counting(true) })
    slot.mark(4)
    expect(slot.news()).toEqual(['+1.5 @2 r1 1'])
    expect(slot.faults).toHaveLength(1)
  })
})

describe('whatever is removed, and whatever the step throws at', () => {
  it('what stands follows from what was not left out, each told and taken back in turn, opened again anywhere', () => {
    const amount = fc.constantFrom(1_000, 3_000, 9_000, 10_000, 15_000)
    const Step = fc.record({
      amounts: fc.array(amount, { minLength: 1, maxLength: 4 }),
      removes: fc.integer({ min: -2, max: 6 }),
      restart: fc.boolean(),
    })
    let refolds = 0
    const run = (steps: readonly { amounts: number[]; removes: number; restart: boolean }[]): void => {
      const slot = new ChainSlot(balance, undefined, { careful: true })
      let inputs: { block: number; amount: number; id: string }[] = []
      const lost = new Set<string>()
      /** Sends a record or its removal. @returns whether the step threw at the record */
      const threw = (send: () => void): boolean => {
        const before = slot.faults.length
        send()
        for (const { refold } of slot.faults.slice(before)) if (refold !== undefined) lost.add(refold.id)
        inputs = inputs.filter(({ id }) => !lost.has(id))
        return slot.faults.slice(before).some(({ code }) => code === 'unprocessable')
      }
      for (const [at, { amounts, removes, restart }] of steps.entries()) {
        const block = at + 1
        for (let count = 0; count < removes; count++) {
          // Where several detectors are read, what is removed need not be what came last.
          for (const { block: of, amount: size, id } of inputs.splice((count * 7) % Math.max(1, inputs.length), 1))
            threw(() => slot.remove(of, size, { id }))
        }
        for (const [index, size] of amounts.entries()) {
          const one = { block, amount: size, id: `${block}:${index}` }
          if (!threw(() => slot.send(block, size, { id: one.id }))) inputs.push(one)
        }
        if (restart) slot.restart()
      }
      const standing = new Map<string, string>()
      for (const { id, removed, revision, facts } of slot.published) {
        const told = `r${revision} ${facts['fact']}`
        expect(standing.get(id)).toBe(removed ? told : undefined)
        if (removed) standing.delete(id)
        else standing.set(id, told)
      }
      let left = 0
      const expected = inputs.map(({ id, amount: size }) => `${id} ${(left += size >= 10_000 ? size : -size)}`)
      expect([...standing].map(([id, told]) => `${id} ${told.split(' ')[1]}`).toSorted()).toEqual(expected.toSorted())
      expect(lost.size).toBe(slot.faults.filter(({ code }) => code === 'refold').length)
      refolds += lost.size
    }
    fc.assert(fc.property(fc.array(Step, { minLength: 1, maxLength: 12 }), run), { numRuns: 200 })
    expect(refolds).toBeGreaterThan(50)
  })
})
