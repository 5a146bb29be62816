/** One trade with a wrong time among good ones: what follows from the others is what it would be without it. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { MarketTrade } from '../../schemas/types.ts'
import { buildCandles } from '../../workers/build-candles.ts'
import { detectPriceShocks } from '../../workers/detect-price-shocks.ts'
import { generateSignals } from '../../workers/generate-signals.ts'
import { measureMarketRisk } from '../../workers/measure-market-risk.ts'
import type { Micros } from '../../workers/runtime/definitions.ts'
import { sequencePosition } from '../../workers/runtime/position.ts'
import { windowStart } from '../../workers/windows.ts'
import { createDriver, type Driver } from '../support/driver.ts'
import { minute, noon, second, trade } from '../workers/records.ts'

const steps = [buildCandles, measureMarketRisk, detectPriceShocks, generateSignals]
const [btc, eth] = ['binance-spot:BTC-USDT', 'binance-spot:ETH-USDT']
/** In the middle of a minute. */
const begin = noon + 30 * second
const latency = 80_000
const maxAhead = 60 * second
const count = 400

/** Two symbols, a trade a second each for minutes, waves that cross averages, and a crash. */
const good = (index: number): MarketTrade => {
  const ts = begin + index * second
  const wave = 100 + 2 * Math.sin(index / 15) + ((index * 7919) % 13) / 50
  const price = index > 300 && index < 340 ? wave * 0.85 : wave
  const rest = index % 2 === 0 ? {} : { symbol: 'ETH-USDT', id: `${eth}:${index}` }
  const side = (index * 31) % 5 > 1 ? 'buy' : 'sell'
  return trade(index, ts, price.toFixed(2), { receivedAt: ts + latency, side, size: String(1 + (index % 3)), ...rest })
}

interface Wrong {
  /** Before which of the good ones it comes. */
  readonly at: number
  readonly ts: Micros
}

const appendTimeOf = ({ at }: Wrong): Micros => begin + at * second + latency
const isAhead = (wrong: Wrong): boolean => wrong.ts > appendTimeOf(wrong) + maxAhead

function run(wrong: Wrong | undefined, batch = 2_000, restartEvery = 0): Driver {
  const driver = createDriver({ steps, batch, restartEvery })
  for (let index = 0; index < count; index++) {
    if (wrong?.at === index) {
      const receivedAt = appendTimeOf(wrong)
      driver.append(topics.marketTrades, trade(9_999_999, wrong.ts, 100, { receivedAt, size: '0.001' }), {
        origin: `${btc}:trades`,
        position: sequencePosition(2 * index),
      })
    }
    const one = good(index)
    const key = topics.marketTrades.key(one)
    driver.append(topics.marketTrades, one, { origin: `${key}:trades`, position: sequencePosition(2 * index + 1) })
  }
  driver.run()
  for (const key of [btc, eth]) driver.mark(topics.marketTrades, key, `${key}:trades`, noon + 10 * minute)
  return driver
}

const outputs = [topics.marketCandles, topics.riskMarkets, topics.patternsMatches, topics.signalsTrades]
const recordsOf = (driver: Driver): string[][] =>
  outputs.map((topic) => driver.read<object>(topic).map((record) => JSON.stringify(record)))
/** Where time comes sooner, the order of keys may be another. */
const bySymbol = <T extends { symbol: string }>(records: readonly T[]) => Map.groupBy(records, ({ symbol }) => symbol)
const without = run(undefined)
const expected = recordsOf(without)

/** Anywhere from before time to the end of numbers, and near what is right. */
const wrongTime = fc
  .record({
    at: fc.integer({ min: 2, max: count - 1 }),
    far: fc.option(fc.integer({ min: -(2 ** 45), max: Number.MAX_SAFE_INTEGER }), { freq: 1 }),
    near: fc.integer({ min: -200 * second, max: 130 * second }),
  })
  .map(({ at, far, near }): Wrong => ({ at, ts: far ?? appendTimeOf({ at, ts: 0 }) + near }))

describe('a trade with a wrong time', () => {
  it('is among others from which something follows for each step', () => {
    for (const texts of expected) expect(texts.length).toBeGreaterThan(0)
    expect(without.faults).toEqual([])
  })

  it('that is ahead goes to the DLQ once for each step that reads it, and nothing else changes', () => {
    const ahead = wrongTime.filter(isAhead)
    fc.assert(
      fc.property(ahead, fc.constantFrom(1, 7, 2_000), fc.constantFrom(0, 3), (wrong, batch, restartEvery) => {
        const driver = run(wrong, batch, restartEvery)
        expect(recordsOf(driver)).toEqual(expected)
        expect(driver.faults.map(({ step, offset, code }) => `${step} ${offset} ${code}`).toSorted()).toEqual(
          ['build-candles', 'detect-price-shocks', 'measure-market-risk'].map((step) => `${step} ${wrong.at} ahead`),
        )
      }),
      { numRuns: 30 },
    )
  })

  it('that is not makes no other late, and changes the windows that it falls into alone', () => {
    fc.assert(
      fc.property(
        wrongTime.filter((wrong) => !isAhead(wrong)),
        (wrong) => {
          const driver = run(wrong)
          for (const { offset, code } of driver.faults) expect([offset, code]).toEqual([wrong.at, 'late'])
          const isTouched = ({
            start,
            interval,
            symbol,
          }: {
            start: Micros
            interval: string
            symbol: string
          }): boolean => symbol === 'BTC-USDT' && start === windowStart(wrong.ts, interval === '1m' ? minute : second)
          const untouched = (from: Driver) => bySymbol(from.read(topics.marketCandles).filter((one) => !isTouched(one)))
          expect(untouched(driver)).toEqual(untouched(without))
          const touched = driver.read(topics.marketCandles).filter(isTouched)
          expect(touched.length).toBeLessThanOrEqual(2)
          const risksOf = (from: Driver) =>
            bySymbol(from.read(topics.riskMarkets).filter(({ symbol, ts }) => symbol === 'ETH-USDT' || ts <= wrong.ts))
          expect(risksOf(driver)).toEqual(risksOf(without))
          const ethOf = (from: Driver) =>
          [...from.read(topics.patternsMatches), ...from.read(topics.signalsTrades)].filter(({ symbol }) => symbol === 'ETH-USDT') // prettier-ignore
          expect(ethOf(driver)).toEqual(ethOf(without))
        },
      ),
      { numRuns: 60 },
    )
  })

  it('59 seconds ahead of its append makes none of those late that follow, as the first of its symbol too', () => {
    for (const at of [0, 1, 120]) {
      const driver = run({ at, ts: appendTimeOf({ at, ts: 0 }) + 59 * second })
      expect(driver.faults).toEqual([])
      const minutesOf = (from: Driver) => from.read(topics.marketCandles).filter(({ interval }) => interval === '1m')
      expect(minutesOf(driver)).toHaveLength(minutesOf(without).length)
    }
  })

  it('moves time no further than to its append where it is a mark', () => {
    const driver = createDriver({ steps })
    driver.send(topics.marketTrades, good(0))
    driver.mark(topics.marketTrades, btc, btc, begin + 60 * minute, begin + 3 * second)
    expect(driver.read(topics.marketCandles).map(({ interval }) => interval)).toEqual(['1s'])
    for (let index = 4; index < 200; index += 2) driver.append(topics.marketTrades, good(index))
    driver.run()
    expect(driver.faults).toEqual([])
  })
})
