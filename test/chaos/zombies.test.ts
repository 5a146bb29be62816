/** Workers that freeze or die at the worst moment, and writers that write again, change nothing; without the guard against it they do. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { timescalePatterns } from '../../sinks/timescale-patterns.ts'
import { topics } from '../../schemas/topics.ts'
import type { MarketTrade, PatternMatch } from '../../schemas/types.ts'
import { timescaleTrades } from '../../sinks/timescale-trades.ts'
import { buildCandles } from '../../workers/build-candles.ts'
import type { Step } from '../../workers/runtime/definitions.ts'
import { Partitioner } from '../../workers/runtime/kafka/client.ts'
import type { Guard } from '../../workers/runtime/test-switches.ts'
import { match } from '../sinks/records.ts'
import { noon, second, trade } from '../workers/records.ts'
import { eventually } from '../support/servers.ts'
import { Line } from './line.ts'

interface Scenario {
  readonly what: string
  readonly step: Step
  /** That which keeps it from doing harm. */
  readonly guard: Guard
  /** What is found without it. */
  readonly harm: RegExp
  readonly play: (line: Line) => Promise<void>
}

const symbols = Array.from({ length: 40 }, (_, index) => `C${String.fromCharCode(65 + (index % 26))}${index}-USDT`)
const venue = 'binance-spot:'
const partitioner = new Partitioner(topics.marketTrades)
const [first = ''] = symbols
/** Of the same partition: one slot holds both. */
const other = symbols.find((symbol) => symbol !== first && partitioner.of(venue + symbol) === partitioner.of(venue + first)) ?? '' // prettier-ignore

let made = 0
/** Trades of a symbol, ten a second, from a second of event time on. */
const trades = (symbol: string, from: number, count: number): MarketTrade[] =>
  Array.from({ length: count }, (_, index) =>
    trade(++made, noon + from * second + index * 100_000, 100 + (index % 7), { symbol, id: `${symbol}:${made}` }),
  )
const pattern = (id: string, rest: Partial<PatternMatch> = {}): PatternMatch => ({ ...match, id, removed: false, revision: 0, ...rest }) // prettier-ignore

const scenarios: readonly Scenario[] = [
  {
    what: 'a worker frozen inside a checkpoint',
    step: buildCandles,
    guard: 'fence',
    harm: /market\.candles\.v1:\d by build-candles/,
    // The late checkpoint would put back the candles of one symbol, while another symbol's trades move the slot on.
    play: async (line) => {
      const zombie = await line.fleet.add('zombie')
      await line.feed(topics.marketTrades, trades(first, 0, 20))
      await line.done()
      const hold = line.redis.hold('append-time')
      await line.feed(topics.marketTrades, trades(first, 2, 5))
      await hold.reached
      line.fleet.freeze(zombie)
      await line.fleet.add('successor')
      await line.feed(topics.marketTrades, [...trades(first, 2.5, 5), ...trades(other, 2.5, 5)])
      await line.done()
      hold.release()
      await line.feed(topics.marketTrades, trades(other, 3, 5))
      await line.done()
      // Thawed, a worker without the fence goes on where it was, and mends by chance what it has put back.
      if (line.without === undefined) line.fleet.thaw(zombie)
      else await line.fleet.discard(zombie)
      await sleep(1_000)
      for (const group of ['zombie', 'successor'])
        for (const replica of line.fleet.running(group)) await line.fleet.remove(replica)
      await line.fleet.add('successor')
      await line.feed(topics.marketTrades, [...trades(first, 10, 5), ...trades(other, 10, 5)])
    },
  },
  {
    what: 'a worker frozen before a transaction',
    step: timescalePatterns,
    guard: 'compare-and-set',
    harm: /pattern_matches holds 1 rows too many/,
    // The late transaction would bring back a row that was removed, while the successor moves the slot on.
    play: async (line) => {
      const zombie = await line.fleet.add('zombie')
      await line.feed(topics.patternsMatches, [pattern('a')])
      await line.done()
      const hold = line.postgres.hold('BEGIN')
      await line.feed(topics.patternsMatches, [pattern('b')])
      await hold.reached
      line.fleet.freeze(zombie)
      await line.fleet.add('successor')
      await line.feed(topics.patternsMatches, [pattern('b', { removed: true })])
      await line.done()
      hold.release()
      line.fleet.thaw(zombie)
      let turn = 0
      const moveOn = async (): Promise<void> => {
        await line.feed(topics.patternsMatches, [pattern(`c${++turn}`)])
        await sleep(50)
      }
      // A worker without the guard would read again, and mend what it has put back.
      if (line.without !== undefined) {
        while ((await line.count("pattern_matches WHERE id = 'b'")) === 0) await moveOn()
        await line.fleet.discard(zombie)
      }
      for (const until = turn + 40; turn < until;) await moveOn()
    },
  },
  {
    what: 'a writer that writes again',
    step: buildCandles,
    guard: 'position-rule',
    harm: /market\.candles\.v1:\d by build-candles/,
    play: async (line) => {
      await line.fleet.add('successor')
      await line.feed(topics.marketTrades, trades(first, 0, 15), 2)
      await line.feed(topics.marketTrades, trades(first, 10, 1))
    },
  },
  {
    what: 'a worker that dies between a send and its acknowledgement',
    step: buildCandles,
    guard: 'acknowledgement',
    harm: /market\.candles\.v1:\d by build-candles.*: 0 messages/,
    play: async (line) => {
      const worker = await line.fleet.add('successor')
      await line.lose(topics.marketCandles)
      await line.feed(topics.marketTrades, [...trades(first, 0, 20), ...trades(first, 10, 1)])
      // With the guard no checkpoint comes; several would have been due.
      await (line.without === undefined ? sleep(3_000) : line.done())
      line.fleet.kill(worker)
      await line.restore()
    },
  },
  {
    what: 'a task that failed',
    step: timescaleTrades,
    guard: 'ownership',
    harm: /trades lacks 20 rows/,
    // A batch that is not written, and those behind it, which are.
    play: async (line) => {
      await line.fleet.add('successor')
      line.errors.write({ places: { copy: { share: 1, sort: 'unknown' } } })
      await line.errors.seen()
      await line.feed(topics.marketTrades, trades(first, 0, 20))
      await eventually(() => expect(line.errors.thrown().get('copy')).toBeGreaterThan(0), { timeoutMs: 40_000 })
      line.errors.write({})
      await line.errors.seen()
      await line.feed(topics.marketTrades, trades(first, 10, 20))
    },
  },
]

/** Several lines start their processes at once. */
const timeout = 240_000

describe.concurrent.each(scenarios)('$what', { timeout }, ({ guard, harm, step, play }) => {
  it('changes nothing', async ({ onTestFinished }) => {
    const line = await Line.create([step])
    onTestFinished(() => line.close())
    await play(line)
    await line.done()
    expect(await line.differences()).toEqual([])
    expect(line.fleet.faults).toEqual([])
  })

  it(`is found where the ${guard} is off`, async ({ onTestFinished }) => {
    const line = await Line.create([step], guard)
    onTestFinished(() => line.close())
    await play(line)
    await line.done()
    expect((await line.differences()).join('\n')).toMatch(harm)
  })
})

describe.concurrent('a worker frozen inside a transaction', { timeout }, () => {
  it('changes nothing and does not hang its successor', async ({ onTestFinished }) => {
    const line = await Line.create([timescalePatterns])
    onTestFinished(() => line.close())
    const zombie = await line.fleet.add('zombie')
    await line.feed(topics.patternsMatches, [pattern('a')])
    await line.done()
    const hold = line.postgres.hold('COMMIT')
    await line.feed(topics.patternsMatches, [pattern('b')])
    await hold.reached
    line.fleet.freeze(zombie)
    const successor = await line.fleet.add('successor')
    await line.feed(topics.patternsMatches, [pattern('b', { removed: true })])
    await line.done()
    // It did not wait until the server gave the idle transaction up.
    expect(line.fleet.log(successor)).toContain("ended a former owner's open transaction")
    hold.release()
    line.fleet.thaw(zombie)
    await line.feed(topics.patternsMatches, [pattern('c')])
    await line.done()
    expect(await line.differences()).toEqual([])
    expect(line.fleet.faults).toEqual([])
  })
})
