/** What a step remembers of a key is bounded, whatever comes, and so is the work for a record. */
import { expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import { buildCandles } from '../../workers/build-candles.ts'
import { detectAddressPoisoning } from '../../workers/detect-address-poisoning.ts'
import { detectPriceShocks } from '../../workers/detect-price-shocks.ts'
import { detectSandwiches } from '../../workers/detect-sandwiches.ts'
import { detectWashRings } from '../../workers/detect-wash-rings.ts'
import { detectWhaleTransfers } from '../../workers/detect-whale-transfers.ts'
import { evaluateAlerts } from '../../workers/evaluate-alerts.ts'
import { generateSignals } from '../../workers/generate-signals.ts'
import { measureMarketRisk } from '../../workers/measure-market-risk.ts'
import { toPrice } from '../../workers/decimal.ts'
import type { Processor, Topic } from '../../workers/runtime/definitions.ts'
import { scoreWalletRisk } from '../../workers/score-wallet-risk.ts'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { marketRisk } from '../sinks/records.ts'
import { createDriver } from '../support/driver.ts'
import { activity, address, candle, minute, noon, second, swap, trade, transfer, watchOf } from './records.ts'

const count = 6_000
const mostBytes = 1_000_000
const final = { finalized: 1_000_000 }
const hook = { kind: 'webhook', url: 'https://example.org', secretFrom: 'SECRET' }
const rule = { name: 'r', topic: 'risk.markets.v1', severity: 'info', title: 't', group: '{id}', every: '7d', channels: ['hook'] } // prettier-ignore
const watch = watchOf({}, { alerts: [rule], channels: { hook } })
/** In a second, each below the one before; behind the first, which keeps a ring busy, each with somebody else. */
const falling = (at: number) => trade(at, noon + at, 2 * count - at)
const payee = (at: number) => address(1_000 + at)

/** Records that make a step remember as much as it can. */
const streams: readonly (readonly [Processor, Topic, string, (at: number) => object])[] = [
  [detectPriceShocks, topics.marketTrades, 'a price that falls with every trade', falling],
  [measureMarketRisk, topics.marketTrades, 'a price that falls with every trade', falling],
  [buildCandles, topics.marketTrades, 'a price that falls with every trade', falling],
  [generateSignals, topics.marketCandles, 'candles a microsecond apart', (at) => candle(noon + at, 100)],
  [detectWashRings, topics.chainTransfers, 'times that go back', (at) => transfer(1, at, { ...final, ts: noon - at * minute })], // prettier-ignore
  [detectWashRings, topics.chainTransfers, 'busy wallets, and others each time', (at) => transfer(1, at, { ...final, from: address(1 + Math.floor(at / 20)), to: payee(at) })], // prettier-ignore
  [detectSandwiches, topics.chainSwaps, 'one block', (at) => swap(1, at, { ...final, trader: payee(at) })],
  [detectAddressPoisoning, topics.walletsActivity, 'payees', (at) => activity(1, at, { ...final, direction: 'out', counterparty: payee(at), amount: '9000000' })], // prettier-ignore
  [scoreWalletRisk, topics.walletsActivity, 'peers', (at) => activity(1, at, { ...final, counterparty: payee(at), amount: '90000000000' })], // prettier-ignore
  [detectWhaleTransfers, topics.chainTransfers, 'transfers', (at) => transfer(1, at, { ...final, amount: '9000000000000' })], // prettier-ignore
  [evaluateAlerts, topics.riskMarkets, 'groups', (at) => ({ ...marketRisk, id: `g${at}`, ts: noon + at * second })],
]

it('is tried of every step that keeps state of keys', () => {
  const processors = cryptoIntel.steps.flatMap((step) => (step.kind === 'processor' ? [step.name] : []))
  // Its state is a number.
  const others = processors.filter((name) => name !== 'decode-block')
  expect(others.filter((name) => !streams.some(([step]) => step.name === name))).toEqual([])
})

it.each(streams)('$name, %o: %s', (step, topic, _what, make) => {
  const driver = createDriver({ steps: [step], watch })
  for (let at = 0; at < count; at++) driver.append(topic, make(at), { origin: 'o' })
  driver.run()
  expect(driver.faults.filter(({ code }) => code !== 'late')).toEqual([])
  const sizes = [...driver.state(step).values()].map((text) => text.length)
  expect(sizes.length).toBeGreaterThan(0)
  expect(Math.max(...sizes)).toBeLessThan(mostBytes)
})

it('passes over the years between two trades of a symbol at once', () => {
  let wakes = 0
  const counted: typeof measureMarketRisk = {
    ...measureMarketRisk,
    onTime(...args) {
      wakes++
      measureMarketRisk.onTime?.(...args)
    },
  }
  const [driver, fresh] = [counted, measureMarketRisk].map((step) => createDriver({ steps: [step] }))
  const years = 50 * 365 * 24 * 60 * minute
  const later = [0, 1, 2, 200, 201].map((at) => trade(10 + at, noon + at * minute, 100 + at))
  for (const one of [trade(1, noon - years, 7), ...later]) driver?.append(topics.marketTrades, one)
  for (const one of later) fresh?.append(topics.marketTrades, one)
  const origin = 'binance-spot:BTC-USDT'
  for (const one of [driver, fresh]) one?.mark(topics.marketTrades, origin, origin, noon + 210 * minute)
  const figures = driver?.read(topics.riskMarkets).filter(({ ts }) => ts >= noon)
  const closes = fresh?.read(topics.riskMarkets)
  expect(figures?.map(({ ts, price }) => [ts, price])).toEqual(closes?.map(({ ts, price }) => [ts, price]))
  expect(figures?.length).toBeGreaterThan(60)
  expect(wakes).toBeLessThan(400)
})

it.each(['0', '-5', '-0', '', 'NaN', 'Infinity', '-Infinity', '9'.repeat(400), '1e400', '1e-400', 'x'])(
  'takes no price of %j as a number to reckon with',
  (text) => {
    expect(() => toPrice(text)).toThrow('not a price')
  },
)
