import { describe, expect, it } from 'vitest'
import type { Market, MarketSink } from '../../../ops/local/exchange/market.ts'
import { MarketModel } from '../../../ops/local/exchange/model.ts'
import type { ModelOptions } from '../../../ops/local/exchange/model.ts'
import type { PlantTimes } from '../../../ops/local/exchange/plants.ts'

const START = 1_723_161_600_000

interface Print {
  readonly time: number
  readonly price: number
}

/** Everything a model publishes: a text of all events, and the trades of each symbol. */
class Recorder implements MarketSink {
  readonly events: string[] = []
  readonly prints = new Map<string, Print[]>()
  readonly lastTouched = new Map<string, number>()

  trade: MarketSink['trade'] = (market, trade, at) => {
    this.note(market, `trade ${JSON.stringify(trade)} ${at}`)
    const prints = this.prints.get(market.info.pair) ?? []
    this.prints.set(market.info.pair, prints)
    prints.push({ time: trade.time, price: trade.price })
  }
  aggregate: MarketSink['aggregate'] = (market, trade, at) =>
    this.note(market, `aggregate ${JSON.stringify(trade)} ${at}`)
  quote: MarketSink['quote'] = (market, quote) => {
    const [bid, ask] = [market.book.bids[0], market.book.asks[0]]
    expect(quote).toEqual({
      updateId: market.book.updateId,
      bid: bid?.price,
      bidQuantity: bid?.quantity,
      ask: ask?.price,
      askQuantity: ask?.quantity,
    })
    expect(quote.bid).toBeLessThan(quote.ask)
    this.note(market, `quote ${JSON.stringify(quote)}`)
  }
  depth: MarketSink['depth'] = (market, diff, speed, at) =>
    this.note(market, `depth ${speed} ${JSON.stringify(diff)} ${at}`)

  private note(market: Market, event: string): void {
    this.events.push(`${market.info.symbol} ${event}`)
  }
}

const silentSink: MarketSink = { trade() {}, aggregate() {}, quote() {}, depth() {} }

function run(options: Partial<ModelOptions>, seconds: number, plants?: PlantTimes) {
  const model = new MarketModel({ seed: 1, startMs: START, ...options })
  const recorder = new Recorder()
  if (plants) model.arm(plants)
  model.advance(START + seconds * 1_000, recorder)
  return { model, recorder }
}

/** The largest move of trade prices within a window, as a fraction: falls only, or both ways. */
function largestMove(prints: readonly Print[], windowMs: number, direction: 'fall' | 'any'): number {
  let largest = 0
  let first = 0
  prints.forEach((print, index) => {
    while ((prints[first]?.time ?? print.time) < print.time - windowMs) first++
    for (const before of prints.slice(first, index)) {
      const move = print.price / before.price - 1
      largest = Math.max(largest, direction === 'fall' ? -move : Math.abs(move))
    }
  })
  return largest
}

describe('the market model', () => {
  it('publishes the same events for the same seed, however its time is sliced', () => {
    const options = { seed: 'a', symbols: ['BTCUSDT', 'SOLUSDT', 'ADAUSDT'], historyS: 60 }
    const whole = run(options, 20)
    const sliced = new MarketModel({ ...options, startMs: START })
    const recorder = new Recorder()
    for (let at = START; at <= START + 20_000; at += 37) sliced.advance(at, recorder)
    sliced.advance(START + 20_000, recorder)
    expect(recorder.events.length).toBeGreaterThan(1_000)
    expect(recorder.events).toEqual(whole.recorder.events)
    expect(run({ ...options, seed: 'b' }, 20).recorder.events).not.toEqual(whole.recorder.events)
  })

  it('depends on the start only in its times', () => {
    const prices = (startMs: number) => {
      const model = new MarketModel({ seed: 3, startMs, historyS: 30 })
      model.advance(startMs + 5_000, silentSink)
      return Array.from(model.markets.values(), ({ log }) => [log.totals(), log.get(log.lastId)?.price])
    }
    expect(prices(START)).toEqual(prices(START + 86_400_123))
  })

  it('trades at about the rate that was asked for, with contiguous ids and growing times', () => {
    for (const tradesPerSecond of [150, 1_000]) {
      const { recorder, model } = run({ tradesPerSecond, historyS: 0 }, 30)
      const count = [...recorder.prints.values()].reduce((sum, prints) => sum + prints.length, 0)
      expect(count / 30 / tradesPerSecond).toBeGreaterThan(0.85)
      expect(count / 30 / tradesPerSecond).toBeLessThan(1.15)
      for (const { log, info } of model.markets.values()) {
        const { firstId, lastId } = log.totals()
        const trades = log.from(firstId, Infinity)
        expect(trades.map(({ id }) => id)).toEqual(Array.from(trades, (_, index) => firstId + index))
        expect(lastId - firstId + 1).toBe(recorder.prints.get(info.pair)?.length ?? 0)
        expect(trades.every(({ time }, index) => time >= (trades[index - 1]?.time ?? 0))).toBe(true)
      }
    }
  })

  it('keeps at least 20 levels a side and sends depth windows without a hole', () => {
    const model = new MarketModel({ seed: 5, startMs: START, historyS: 0 })
    const last = new Map<string, number>()
    let diffs = 0
    model.arm({ flashCrashAtS: 2 })
    model.advance(START + 15_000, {
      ...silentSink,
      depth(market, diff, speed) {
        const key = `${market.info.symbol} ${speed}`
        const before = last.get(key)
        if (before !== undefined) expect(diff.firstUpdateId).toBe(before + 1)
        expect(diff.lastUpdateId).toBe(market.book.updateId)
        expect(Math.min(market.book.bids.length, market.book.asks.length)).toBeGreaterThanOrEqual(20)
        last.set(key, diff.lastUpdateId)
        diffs++
      },
    })
    expect(diffs).toBeGreaterThan(1_000)
  })

  it('has a history of lower rate that the totals include', () => {
    const { model } = run({ historyS: 300 }, 0)
    for (const { log } of model.markets.values()) {
      const { firstId, count } = log.totals()
      const first = log.get(firstId)?.time ?? 0
      expect(count).toBeGreaterThan(20)
      expect(first).toBeGreaterThanOrEqual(START - 300_000)
      expect(log.get(log.lastId)?.time).toBeLessThan(START)
    }
  })

  it('stops trades alone, or everything', () => {
    const { model } = run({ historyS: 0 }, 2)
    const tail = new Recorder()
    model.pause('trades')
    model.advance(START + 4_000, tail)
    expect(tail.prints.size).toBe(0)
    expect(tail.events.some((event) => event.includes(' quote '))).toBe(true)
    model.pause('all')
    const nothing = new Recorder()
    model.advance(START + 6_000, nothing)
    expect(nothing.events).toEqual([])
    model.resume()
    model.advance(START + 8_000, tail)
    expect(tail.prints.size).toBeGreaterThan(0)
  })
})

describe.each(['1', '2', '3', '4', '5', '6', '7', '8', '9', 'demo'])('plants and decoys at seed %s', (seed) => {
  const { model, recorder } = run({ seed }, 90, { flashCrashAtS: 20, silenceAtS: 30 })
  const prints = (symbol: string) => recorder.prints.get(symbol) ?? []
  const planted = (what: string) => {
    const found = model.planted().find((plant) => plant.what === what)
    if (!found) throw new Error(`${what} was not planted`)
    return found
  }

  it('lets one busy symbol fall by 8 % or more within 5 s and recover in part', () => {
    const crash = planted('flash-crash')
    const at = crash.at / 1_000
    const around = prints(crash.symbol).filter(({ time }) => time >= at - 1_000 && time <= at + 4_000)
    expect(largestMove(around, 5_000, 'fall')).toBeGreaterThanOrEqual(0.08)
    const before = prints(crash.symbol).findLast(({ time }) => time < at)?.price ?? NaN
    const after = prints(crash.symbol).at(-1)?.price ?? NaN
    expect(after / before - 1).toBeLessThan(-0.02)
    expect(after / before - 1).toBeGreaterThan(-0.08)
  })

  it('lets another busy symbol be quiet for 15 s, by REST too', () => {
    const silence = planted('silent-feed')
    expect(silence.symbol).not.toBe(planted('flash-crash').symbol)
    const [from, until] = [silence.at / 1_000, silence.until / 1_000]
    expect(until - from).toBe(15_000)
    const times = prints(silence.symbol).map(({ time }) => time)
    expect(times.filter((time) => time >= from && time < until)).toEqual([])
    expect(times.filter((time) => time < from).length / 30).toBeGreaterThan(2)
    expect(times.filter((time) => time >= until).length / 45).toBeGreaterThan(2)
    const log = model.markets.get(silence.symbol.replace('-', ''))?.log
    const kept = log?.aggregatesFrom(log.aggregateAt(from), Infinity) ?? []
    expect(kept[0]?.time).toBeGreaterThanOrEqual(until)
  })

  it('moves no other symbol by 3 % within 10 s, nor leaves it quiet for as long', () => {
    for (const [symbol, trades] of recorder.prints) {
      if (symbol === planted('flash-crash').symbol) continue
      expect(largestMove(trades, 10_000, 'any'), symbol).toBeLessThan(0.03)
      if (symbol === planted('silent-feed').symbol) continue
      const gaps = trades.map(({ time }, index) => time - (trades[index - 1]?.time ?? START))
      expect(Math.max(...gaps), symbol).toBeLessThan(5_000)
    }
  })

  it('drifts one symbol by about 2 % and lets one trade every 2 to 3 s', () => {
    const [drift, slow] = ['drift', 'slow-trading'].map((what) => model.decoys.find((decoy) => decoy.what === what))
    const drifting = prints(drift?.symbol ?? '')
    const move = Math.abs((drifting.at(-1)?.price ?? NaN) / (drifting[0]?.price ?? NaN) - 1)
    expect(move).toBeGreaterThan(0.01)
    expect(move).toBeLessThan(0.03)
    const orders = [...new Set(prints(slow?.symbol ?? '').map(({ time }) => time))]
    const gaps = orders.slice(1).map((time, index) => time - (orders[index] ?? NaN))
    expect(Math.min(...gaps)).toBeGreaterThan(1_900)
    expect(Math.max(...gaps)).toBeLessThan(3_100)
  })

  it('plants nothing that it was not asked for', () => {
    expect(run({ seed, historyS: 0 }, 1, {}).model.planted()).toEqual([])
  })
})
