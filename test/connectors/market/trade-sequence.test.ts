import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TradeSequence } from '../../../connectors/market/trade-sequence.ts'

interface Trade {
  readonly id: number
}

const PAGE = 5

/** A sequence over a venue that has traded ids 1 to `traded`, whose history has all of them. */
function venue({ hold = 8 }: { hold?: number } = {}) {
  const sent: number[] = []
  const fetched: number[] = []
  const sequence = new TradeSequence<Trade>({ emit: ({ id }) => sent.push(id), hold })
  const state = { traded: 0, now: 0 }
  const history = (from: number, upTo = state.traded) =>
    Array.from({ length: Math.max(0, Math.min(PAGE, upTo - from + 1)) }, (_, index) => ({ id: from + index }))
  /** One page of history, where one is wanted. */
  const fetchOnce = (): boolean => {
    const from = sequence.fetchFrom(state.now)
    if (from === undefined) return false
    fetched.push(from)
    const trades = history(from)
    sequence.page(trades, trades.length < PAGE ? 'end' : 'more', state.now)
    return true
  }
  const fetchAll = () => {
    for (let pages = 0; fetchOnce(); pages++) if (pages > 1_000) throw new Error('history is asked for without end')
  }
  return { sent, fetched, sequence, state, history, fetchOnce, fetchAll }
}

const ids = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

describe('a trade sequence', () => {
  it('passes live trades on at once and drops what it has sent', () => {
    const { sequence, sent } = venue()
    sequence.begin()
    const verdicts = [7, 8, 8, 7, 9].map((id) => sequence.live({ id }))
    expect(sent).toEqual([7, 8, 9])
    expect(verdicts).toEqual(['new', 'new', 'old', 'old', 'new'])
    expect(sequence.settled).toBe(true)
  })

  it('holds what comes after a gap until history has filled it', () => {
    const { sequence, sent, state, fetchAll } = venue()
    sequence.begin()
    for (const id of [1, 2, 5, 6]) sequence.live({ id })
    expect(sent).toEqual([1, 2])
    expect(sequence.fetchFrom(0)).toBe(3)
    expect(sequence.settled).toBe(false)
    state.traded = 6
    fetchAll()
    expect(sent).toEqual(ids(1, 6))
    expect(sequence.settled).toBe(true)
  })

  it('needs no history where frames were only swapped', () => {
    const { sequence, sent } = venue()
    sequence.begin(1)
    for (const id of [1, 3, 2, 4]) sequence.live({ id })
    expect(sent).toEqual([1, 2, 3, 4])
    expect(sequence.fetchFrom(0)).toBeUndefined()
  })

  it('remembers only the range of what exceeds the bound, and fetches it', () => {
    const { sequence, sent, fetched, state, fetchAll } = venue({ hold: 3 })
    sequence.begin(1)
    for (const id of ids(5, 19)) sequence.live({ id })
    state.traded = 19
    fetchAll()
    expect(sent).toEqual(ids(1, 19))
    // 17 to 19 were held.
    expect(fetched).toEqual([1, 6, 11, 16])
  })

  it('asks for no more where the trades that it holds go on behind a page', () => {
    const { sequence, fetched, state, fetchAll } = venue()
    sequence.begin(1)
    sequence.doubt(100)
    for (const id of ids(6, 9)) sequence.live({ id })
    state.traded = 9
    fetchAll()
    expect(fetched).toEqual([1])
    expect(sequence.settled).toBe(true)
  })

  it('takes ids that only history has shown for missing', () => {
    const { sequence } = venue()
    sequence.begin(5)
    sequence.doubt(0)
    sequence.page([{ id: 8 }, { id: 9 }], 'end', 0)
    expect(sequence.missing).toBe(true)
    expect(sequence.abandon()).toEqual({ from: 5, to: 7 })
    expect(sequence.fetchFrom(0)).toBe(8)
  })

  it('fetches what it skipped before anything later goes out', () => {
    const { sequence, sent, state, fetchAll } = venue()
    sequence.begin(1)
    sequence.live({ id: 1 })
    for (const id of [2, 3, 4]) sequence.skip(id)
    sequence.live({ id: 5 })
    expect(sent).toEqual([1])
    state.traded = 5
    fetchAll()
    expect(sent).toEqual(ids(1, 5))
  })

  it('begins behind its cursor by history, even where nothing is live', () => {
    const { sequence, sent, state, fetchAll } = venue()
    sequence.begin(4)
    expect(sequence.settled).toBe(false)
    state.traded = 12
    sequence.doubt(100)
    state.now = 99
    expect(sequence.fetchFrom(state.now)).toBeUndefined()
    state.now = 100
    fetchAll()
    expect(sent).toEqual(ids(4, 12))
    expect(sequence.settled).toBe(true)
  })

  it('holds live trades until the lookback is known', () => {
    const { sequence, sent, state, fetchAll } = venue()
    for (const id of [10, 11]) sequence.live({ id })
    expect(sent).toEqual([])
    sequence.begin(6)
    state.traded = 11
    fetchAll()
    expect(sent).toEqual(ids(6, 11))
  })

  it('begins with what was live where the lookback finds nothing', () => {
    const { sequence, sent } = venue()
    for (const id of [11, 10, 12]) sequence.live({ id })
    sequence.begin()
    expect(sent).toEqual([10, 11, 12])
  })

  it('is not sure after a reconnect until a live trade or a later page proves it', () => {
    const { sequence, sent, state, history } = venue()
    sequence.begin(1)
    sequence.live({ id: 1 })
    sequence.doubt(Infinity)
    sequence.doubt(50)
    // This answer may be older than the reconnect.
    sequence.page(history(2), 'end', 10)
    expect(sequence.settled).toBe(false)
    sequence.live({ id: 2 })
    expect(sequence.settled).toBe(true)
    expect(sequence.fetchFrom(60)).toBeUndefined()
    sequence.doubt(70)
    state.traded = 2
    expect(sequence.fetchFrom(70)).toBe(3)
    sequence.page([], 'end', 70)
    expect(sequence.settled).toBe(true)
    expect(sent).toEqual([1, 2])
  })

  it('gives up exactly what history lacks', () => {
    const { sequence, sent } = venue()
    sequence.begin(1)
    for (const id of [1, 6]) sequence.live({ id })
    sequence.page([{ id: 4 }, { id: 5 }, { id: 6 }], 'end', 0)
    expect(sequence.fetchFrom(0)).toBe(2)
    expect(sequence.abandon()).toEqual({ from: 2, to: 3 })
    expect(sequence.fetchFrom(0)).toBe(4)
    sequence.page([{ id: 4 }, { id: 5 }, { id: 6 }], 'end', 0)
    expect(sent).toEqual([1, 4, 5, 6])
    expect(sequence.settled).toBe(true)
    expect(sequence.abandon()).toBeUndefined()
  })

  it('gives up to the trades that it holds where history has nothing at all', () => {
    const { sequence, sent } = venue()
    sequence.begin(1)
    for (const id of [1, 5, 6]) sequence.live({ id })
    sequence.page([], 'end', 0)
    expect(sequence.abandon()).toEqual({ from: 2, to: 4 })
    expect(sent).toEqual([1, 5, 6])
  })
})

type Event = 'deliver' | 'drop' | 'double' | 'swap' | 'skip' | 'fetch' | 'fetch late' | 'reconnect'

describe('a trade sequence whose history has everything', () => {
  it('sends each id exactly once, in order, whatever happens to the frames', () => {
    const event = fc.constantFrom<Event>(
      ...([
        'deliver',
        'deliver',
        'deliver',
        'drop',
        'double',
        'swap',
        'skip',
        'fetch',
        'fetch late',
        'reconnect',
      ] as const),
    )
    fc.assert(fc.property(fc.array(event, { maxLength: 120 }), fc.integer({ min: 1, max: 6 }), fc.boolean(), play), {
      numRuns: 2_000,
    })
  })
})

/** Plays the events against a venue, then lets the feed catch up. */
function play(events: readonly Event[], hold: number, cursor: boolean): void {
  const { sent, sequence, state, history, fetchOnce, fetchAll } = venue({ hold })
  // With a cursor ids from 3 on are owed; without one those from the first that is seen.
  state.traded = cursor ? 6 : 0
  sequence.begin(cursor ? 3 : undefined)
  let first: number | undefined = cursor ? 3 : undefined
  const seen = (id: number) => (first ??= id)
  let late: (() => void) | undefined
  for (const event of events) {
    state.now++
    switch (event) {
      case 'fetch':
        fetchOnce()
        break
      case 'fetch late': {
        // An answer that is under way while other things happen, of which it knows nothing.
        const from = sequence.fetchFrom(state.now)
        const askedAt = state.now
        const trades = from === undefined ? [] : history(from)
        late?.()
        late =
          from === undefined ? undefined : () => sequence.page(trades, trades.length < PAGE ? 'end' : 'more', askedAt)
        break
      }
      case 'reconnect':
        state.traded += 2
        sequence.doubt(state.now + 3)
        break
      default:
        for (const id of frames(event, state)) {
          seen(id)
          if (event === 'skip') sequence.skip(id)
          else sequence.live({ id })
        }
    }
    // Nothing is ever sent twice, left out or out of order.
    expect(sent).toEqual(sent.map((_, index) => (first ?? 0) + index))
  }
  late?.()
  sequence.doubt(state.now)
  fetchAll()
  expect(sequence.settled).toBe(true)
  expect(sent).toEqual(first === undefined ? [] : ids(first, state.traded))
}

/** The ids that arrive when the venue trades on; 'swap' trades twice. */
function frames(event: Exclude<Event, 'fetch' | 'fetch late' | 'reconnect'>, state: { traded: number }): number[] {
  const id = ++state.traded
  switch (event) {
    case 'drop':
      return []
    case 'double':
      return [id, id]
    case 'swap':
      state.traded++
      return [id + 1, id]
    case 'deliver':
    case 'skip':
      return [id]
  }
}
