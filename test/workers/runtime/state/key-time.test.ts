/** Time of keys that several origins write, and the timers that wait for it. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../../schemas/topics.ts'
import type { MarketTrade } from '../../../../schemas/types.ts'
import { defineProcessor, type Micros } from '../../../../workers/runtime/definitions.ts'
import { Engine } from '../../../../workers/runtime/state/engine.ts'
import { trade } from '../../records.ts'

const second = 1_000_000

interface Told {
  readonly what: 'record' | 'timer'
  readonly key: string
  /** Of the record or timer. */
  readonly ts: Micros
  /** Stream time. */
  readonly time: Micros
  readonly late: boolean
}

/** Sets a timer half a second after each record, and a second after each of its timers as long as records wait for one. */
const watchTime = (tell: (told: Told) => void) =>
  defineProcessor<MarketTrade, { due: Micros[] }>({
    name: 'watch-time',
    module: import.meta.url,
    inputs: [topics.marketTrades],
    outputs: [],
    state: { version: 1, empty: () => ({ due: [] }) },
    process({ ts }, state, _emit, at) {
      const late = ts < at.time
      tell({ what: 'record', key: at.key, ts, time: at.time, late })
      if (late) return at.late()
      state.due = [...state.due, ts + second / 2, ts + 4 * second].toSorted((a, b) => a - b)
      at.wakeAt(state.due[0] ?? 0)
    },
    onTime(ts, state, _emit, at) {
      tell({ what: 'timer', key: at.key, ts, time: at.time, late: false })
      state.due = state.due.filter((due) => due > ts)
      const [next] = state.due
      if (next !== undefined) at.wakeAt(next)
    },
  })

/** An engine that can be stored and opened again. */
class Task {
  readonly told: Told[] = []
  readonly #stored = new Map<string, string>()
  #engine = this.#open()

  /** Times in seconds. */
  record(key: string, origin: string, ts: number, appended = Infinity): void {
    const record = trade(1, Math.round(ts * second), 1)
    this.#engine.record(topics.marketTrades.name, key, origin, record, appended * second)
  }

  mark(origin: string, time: number, appended = Infinity): void {
    const mark = { origin, time: Math.round(time * second), block: null, finalized: null, removed: false }
    this.#engine.mark(mark, appended * second)
  }

  restart(): void {
    for (const [field, text] of this.#engine.changes()) {
      if (text === null) this.#stored.delete(field)
      else this.#stored.set(field, text)
    }
    this.#engine = this.#open()
  }

  /** Timers so far, `key at seconds`. */
  get timers(): string[] {
    return this.told.flatMap(({ what, key, ts }) => (what === 'timer' ? [`${key} ${ts / second}`] : []))
  }

  get last(): Told | undefined {
    return this.told.findLast(({ what }) => what === 'record')
  }

  #open(): Engine {
    const step = watchTime((told) => this.told.push(told))
    return new Engine(step, undefined, { publish: () => {}, mark: () => {} }, [...this.#stored].toReversed())
  }
}

describe('a record or mark', () => {
  it('moves time to its append time at most, whatever its own', () => {
    const task = new Task()
    task.record('k', 'a', 100, 101)
    task.record('k', 'a', 160, 102)
    expect(task.last).toMatchObject({ time: 102 * second, late: false })
    task.mark('a', 1_000, 103)
    task.record('k', 'a', 102.9, 104)
    expect(task.last).toMatchObject({ time: 103 * second, late: true })
    task.record('k', 'a', 103.5, 104)
    expect(task.last).toMatchObject({ time: 103.5 * second, late: false })
    expect(task.timers).toEqual(['k 100.5'])
    task.mark('a', 170, 171)
    expect(task.timers.slice(1)).toEqual(['k 104', 'k 107.5', 'k 160.5', 'k 164'])
  })
})

describe('a key that two origins write', () => {
  it('has the least of their times, and keeps its timers', () => {
    const task = new Task()
    task.record('k', 'a', 10)
    task.record('k', 'b', 10.1)
    task.mark('a', 14.5)
    expect(task.timers).toEqual([])
    task.mark('b', 10.4)
    expect(task.timers).toEqual([])
    task.mark('b', 12)
    expect(task.timers).toEqual(['k 10.5', 'k 10.6'])
    task.record('k', 'a', 12.5)
    expect(task.last).toMatchObject({ time: 12 * second, late: false })
    task.mark('b', 20)
    expect(task.timers.slice(2)).toEqual(['k 13', 'k 14', 'k 14.1'])
  })

  it("closes by the other's time once one has stood still for ten seconds of it", () => {
    const task = new Task()
    task.record('k', 'a', 10)
    task.record('k', 'b', 10)
    task.mark('b', 12)
    task.mark('a', 21.999999)
    expect(task.timers).toEqual(['k 10.5'])
    task.mark('a', 22)
    expect(task.timers).toEqual(['k 10.5', 'k 14'])
  })

  it('takes what an idle origin then brings below its time as late, and what is above as usual', () => {
    const task = new Task()
    task.record('k', 'a', 10)
    task.record('k', 'b', 10)
    task.mark('a', 40)
    task.record('k', 'b', 39)
    expect(task.last).toMatchObject({ time: 40 * second, late: true })
    task.restart()
    task.record('k', 'b', 40.5)
    expect(task.last).toMatchObject({ time: 40 * second, late: false })
    // It counts again.
    task.mark('a', 50.4)
    expect(task.timers.at(-1)).toBe('k 14')
    task.mark('b', 41)
    expect(task.timers.at(-1)).toBe('k 41')
  })

  it('is not held back by an origin that goes on sending records of one time', () => {
    const task = new Task()
    task.record('k', 'a', 10)
    task.record('k', 'b', 10)
    for (let time = 11; time <= 30; time++) {
      task.mark('a', time)
      task.record('k', 'b', 10)
    }
    expect(task.timers).toContain('k 14')
  })

  it('goes by the new origin alone where one has taken the place of another', () => {
    const task = new Task()
    task.record('k', 'old', 10)
    for (let time = 11; time < 60; time++) task.record('k', 'new', time)
    expect(task.last).toMatchObject({ time: 59 * second, late: false })
    expect(task.timers).toContain('k 58.5')
  })

  it('leaves the keys of one origin alone', () => {
    const task = new Task()
    task.record('k', 'a', 10)
    task.record('l', 'a', 10)
    task.record('k', 'b', 10)
    task.mark('a', 15)
    expect(task.timers).toEqual(['l 10.5', 'l 14'])
  })

  it('runs what is due before the record of an origin beside which the others are idle from the first', () => {
    const task = new Task()
    task.record('k', 'a', 10)
    task.record('l', 'a', 10)
    task.record('l', 'b', 10)
    task.mark('b', 30)
    task.record('k', 'b', 31)
    expect(task.told.slice(-3).map(({ what, key: of, ts }) => `${what} ${of} ${ts / second}`)).toEqual(['timer k 10.5', 'timer k 14', 'record k 31']) // prettier-ignore
  })

  it('runs timers that become due together in the order of (time, key), the new ones among them', () => {
    const task = new Task()
    for (const key of ['k', 'l', 'm']) {
      task.record(key, 'a', 10)
      task.record(key, 'b', 10 + (key === 'l' ? 0.2 : 0))
    }
    task.mark('a', 60)
    expect(task.timers).toEqual(['k 10.5', 'l 10.5', 'm 10.5', 'l 10.7', 'k 14', 'l 14', 'm 14', 'l 14.2'])
  })
})

describe('timers', () => {
  const origin = fc.constantFrom('a', 'b', 'c')
  const key = fc.constantFrom('k', 'l', 'm')
  /** How far an origin's time goes on, in tenths of seconds. */
  const gap = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0, max: 30 }) }, fc.integer({ min: -20, max: 400 }))
  const event = fc.record({ origin, key, gap, kind: fc.constantFrom('record', 'record', 'mark') })
  const history = fc.array(event, { minLength: 1, maxLength: 60 })

  function run(
    events: readonly (typeof event extends fc.Arbitrary<infer T> ? T : never)[],
    restartEvery: number,
  ): Task {
    const task = new Task()
    const times = new Map([
      ['a', 1_000],
      ['b', 1_000],
      ['c', 1_000],
    ])
    for (const [at, { origin: by, key: of, gap: on, kind }] of events.entries()) {
      const time = (times.get(by) ?? 0) + on
      times.set(by, Math.max(time, times.get(by) ?? 0))
      if (kind === 'record') task.record(of, by, time / 10)
      else task.mark(by, time / 10)
      if (restartEvery > 0 && at % restartEvery === 0) task.restart()
    }
    return task
  }

  it('come at the same events in the same order wherever the task is stored and opened again', () => {
    fc.assert(
      fc.property(history, fc.integer({ min: 1, max: 7 }), (events, restartEvery) => {
        expect(run(events, restartEvery).told).toEqual(run(events, 0).told)
      }),
      { numRuns: 500 },
    )
  })

  it('come once each, in the order of time for their key, and the time of a key never goes back', () => {
    fc.assert(
      fc.property(history, (events) => {
        const task = run(events, 0)
        for (const of of ['k', 'l', 'm']) {
          const told = task.told.filter((one) => one.key === of)
          const timers = told.filter(({ what }) => what === 'timer').map(({ ts }) => ts)
          expect(new Set(timers).size).toBe(timers.length)
          let reached = 0
          for (const { what, ts, time } of told) {
            // A timer that was due has run before the record.
            if (what === 'timer') expect(ts).toBeGreaterThanOrEqual(reached)
            else reached = Math.max(reached, time)
          }
          // Of a record's own origin time counts the record, of the others it stands a microsecond before their last.
          const records = told.filter(({ what }) => what === 'record')
          for (const [at, { time }] of records.entries())
            expect(time).toBeGreaterThanOrEqual((records[at - 1]?.time ?? 0) - 1)
        }
        // Long after, when all origins have gone on, nothing waits any more.
        for (const by of ['a', 'b', 'c']) task.mark(by, 10_000)
        for (const by of ['a', 'b', 'c']) task.mark(by, 20_000)
        const asked = task.told.filter(({ what, late }) => what === 'record' && !late)
        for (const { key: of, ts } of asked) expect(task.timers).toContain(`${of} ${ts / second + 4}`)
      }),
      { numRuns: 500 },
    )
  })

  it('are those of one origin where one brings all, in the order of (time, key)', () => {
    const one = fc.array(fc.record({ origin: fc.constant('a'), key, gap: fc.nat({ max: 200 }), kind: fc.constantFrom('record', 'mark') }), { minLength: 1, maxLength: 40 }) // prettier-ignore
    fc.assert(
      fc.property(one, (events) => {
        const task = run(events, 0)
        const timers = task.told.filter(({ what }) => what === 'timer')
        const sorted = timers.toSorted((a, b) => a.ts - b.ts || (a.key < b.key ? -1 : 1))
        expect(timers).toEqual(sorted)
      }),
      { numRuns: 300 },
    )
  })
})
