/** What the values of each topic's records must be. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { BlockTransaction, ChainLog } from '../../schemas/types.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import * as sample from '../sinks/records.ts'
import { activity, candle, noon, swap, trade, transfer } from '../workers/records.ts'

const { logIndex, txHash, txIndex, chainId, block: height, blockHash, ts, finalized } = swap(1, 0)
const log: ChainLog = { id: 'l', chainId, block: height, blockHash, ts, txHash, txIndex, logIndex, address: '0x1', topics: [], data: '0x', finalized, removed: false, revision: 0 } // prettier-ignore
const call: BlockTransaction = { hash: '0x1', index: 0, from: '0x2', to: null, value: '0', nonce: 1, type: 2, input: '0x', gas: '21000', gasUsed: '21000', effectiveGasPrice: '7', success: true, contractAddress: null, logs: [] } // prettier-ignore
const block = { ...sample.block, transactions: [call] }

/** A good record of each topic that has a check. */
const good: readonly (readonly [Topic, object])[] = [
  [topics.marketTrades, trade(1, noon, '100.5')],
  [topics.marketQuotes, sample.quote],
  [topics.marketCandles, candle(noon, 100)],
  [topics.chainBlocks, block],
  [topics.chainTransactions, sample.transaction],
  [topics.chainTransfers, transfer(1, 0)],
  [topics.chainSwaps, swap(1, 0)],
  [topics.chainLogs, log],
  [topics.walletsActivity, activity(1, 0)],
  [topics.feedsStatus, sample.feedStatus],
  [topics.riskMarkets, sample.marketRisk],
  [topics.riskWallets, sample.walletRisk],
  [topics.patternsMatches, sample.match],
  [topics.signalsTrades, sample.signal],
  [topics.alertsFired, sample.alert],
]
const faultOf = (topic: Topic, changed: object): string | undefined =>
  topic.check?.({ ...good.find(([one]) => one === topic)?.[1], ...changed })

it('stand beside all topics but those of the runtime itself', () => {
  const without = Object.values<Topic>(topics).filter(({ check }) => check === undefined)
  expect(without).toEqual([topics.feedsCursors, topics.stateSnapshots, topics.deadLetters])
  expect(good.map(([{ name }]) => name)).toEqual(Object.values<Topic>(topics).flatMap(({ check, name }) => (check ? [name] : []))) // prettier-ignore
  for (const [topic, record] of good) expect(topic.check?.(record), topic.name).toBeUndefined()
})

const prices: [Topic, string][] = [
  [topics.marketTrades, 'price'],
  [topics.marketQuotes, 'bidPrice'],
  [topics.marketQuotes, 'askPrice'],
  ...['open', 'high', 'low', 'close'].map((field): [Topic, string] => [topics.marketCandles, field]),
  [topics.riskMarkets, 'price'],
  [topics.signalsTrades, 'price'],
]
const sizes: [Topic, string][] = [
  [topics.marketTrades, 'size'],
  [topics.marketQuotes, 'bidSize'],
  [topics.marketQuotes, 'askSize'],
]
const none = ['', ' ', ' 1', '1 ', '1\n', '-1', '-5', '+1', '-0', '0', '0.0', '00', '0.', '.5', '5.', '1.2.3', '01', '00.5', '1e5', '1e400', '1e-400', 'NaN', 'Infinity', '-Infinity', '0x10', '0b1', '1_000', '1,5', '１', '٣', 'null', '9'.repeat(400), '9'.repeat(81), `0.${'0'.repeat(80)}1`, '\u0000', '\ud800'] // prettier-ignore
const some = ['1', '0.5', '61837.63', '100.50', '0.00000001', '9'.repeat(80), `0.${'0'.repeat(77)}1`]

describe.each([...prices, ...sizes])('$name %s', ({ check, name }, field) => {
  const topic = { ...topics.marketTrades, check, name }
  const base = good.find(([one]) => one.name === topic.name)?.[1]

  it.each(none)('is none: %j', (text) => {
    const fault = check?.({ ...base, [field]: text })
    expect(fault).toMatch(new RegExp(`^${field}: ".*" is no (price|size)$`))
    expect(fault?.length).toBeLessThan(200)
    expect(fault?.isWellFormed()).toBe(true)
  })

  it.each(some)('is one: %s', (text) => {
    expect(check?.({ ...base, [field]: text })).toBeUndefined()
  })
})

it('is a plain decimal above zero and finite as a double, or no price', () => {
  const digits = fc.string({ unit: fc.constantFrom(...'0123456789..--e+ x'.split('')), maxLength: 90 })
  fc.assert(
    fc.property(digits, (text) => {
      const isPrice = /^(0|[1-9]\d*)(\.\d+)?$/.test(text) && text.length <= 80 && /[1-9]/.test(text)
      expect(faultOf(topics.marketTrades, { price: text }) === undefined).toBe(isPrice)
      if (isPrice) expect(Number(text)).toSatisfy((price: number) => price > 0 && Number.isFinite(price))
    }),
    { numRuns: 2_000 },
  )
})

describe('volumes', () => {
  it('may be nothing, and as long as sums of products are', () => {
    for (const volume of ['0', '0.5', '1.50', '9'.repeat(200)])
      expect(faultOf(topics.marketCandles, { volume, quoteVolume: volume, buyVolume: volume })).toBeUndefined()
  })

  it.each(['volume', 'quoteVolume', 'buyVolume'])('are no other texts: %s', (field) => {
    for (const text of ['-1', 'NaN', '', '1e5', '9'.repeat(201)])
      expect(faultOf(topics.marketCandles, { [field]: text })).toMatch(`${field}: `)
  })
})

const largest = 2n ** 256n - 1n
describe('amounts of chains', () => {
  const fields: [Topic, string][] = [
    [topics.chainTransfers, 'amount'],
    [topics.chainTransfers, 'tokenId'],
    [topics.walletsActivity, 'amount'],
    [topics.walletsActivity, 'tokenId'],
    [topics.chainTransactions, 'value'],
    [topics.chainTransactions, 'gasUsed'],
    [topics.chainTransactions, 'effectiveGasPrice'],
    [topics.chainBlocks, 'gasLimit'],
    [topics.chainBlocks, 'gasUsed'],
    [topics.chainBlocks, 'baseFeePerGas'],
  ]
  it.each(fields)('are whole numbers of 256 bits: %o %s', (topic, field) => {
    for (const text of ['0', '1', String(largest)]) expect(faultOf(topic, { [field]: text })).toBeUndefined()
    for (const text of ['', '-1', '1.5', '01', '0x1', 'NaN', '1e18', String(largest + 1n), '9'.repeat(79)])
      expect(faultOf(topic, { [field]: text })).toMatch(`${field}: `)
  })

  it.each(['amount0', 'amount1'])('have a sign where a pool tells them: %s', (field) => {
    for (const text of ['0', '-1', String(largest), String(-largest)])
      expect(faultOf(topics.chainSwaps, { [field]: text })).toBeUndefined()
    for (const text of ['', '-', '--1', '+1', '1.5', String(-largest - 1n)])
      expect(faultOf(topics.chainSwaps, { [field]: text })).toMatch(`${field}: `)
  })

  it.each(['value', 'gas', 'gasUsed', 'effectiveGasPrice'])('are told of a block’s transactions: %s', (field) => {
    expect(faultOf(topics.chainBlocks, { transactions: [call, { ...call, [field]: '-1' }] })).toMatch(
      `transactions[].${field}: "-1"`,
    )
  })
})

describe.each(good)('$name', ({ name, check }, record) => {
  it.each([
    ['seconds', noon / 1e6],
    ['milliseconds', noon / 1e3],
    ['nanoseconds', noon * 1e3],
    ['zero', 0],
    ['below zero', -noon],
    ['a part', noon + 0.5],
    ['NaN', NaN],
  ])('has no time that is impossible: %s', (_what, ts) => {
    expect(check?.({ ...record, ts })).toMatch(`ts: ${ts} is no time in microseconds since the epoch`)
  })

  it('has an id of a bounded length', () => {
    expect(check?.({ ...record, id: 'x'.repeat(3_000) })).toBeUndefined()
    expect(check?.({ ...record, id: 'x'.repeat(17_000) }), name).toMatch(/^id: "x{40}…" has more than \d+ characters$/)
  })
})

it('allows a chain’s first block to have no time', () => {
  expect(faultOf(topics.chainBlocks, { block: 0, ts: 0 })).toBeUndefined()
  expect(faultOf(topics.chainBlocks, { block: -1 })).toBe('block: -1 is no block')
})

it.each([
  [topics.marketTrades, ['venue', 'symbol']],
  [topics.marketQuotes, ['venue', 'symbol']],
  [topics.marketCandles, ['venue', 'symbol']],
  [topics.chainTransfers, ['from', 'to', 'token', 'txHash']],
  [topics.walletsActivity, ['wallet', 'counterparty', 'token', 'txHash']],
  [topics.chainSwaps, ['pool', 'trader', 'sender', 'txHash']],
  [topics.chainTransactions, ['from', 'to']],
] as const)('bounds the names that steps remember: %o', (topic: Topic, fields) => {
  for (const field of fields) {
    expect(faultOf(topic, { [field]: '币'.repeat(256) })).toBeUndefined()
    expect(faultOf(topic, { [field]: 'x'.repeat(257) })).toBe(
      `${field}: "${'x'.repeat(40)}…" has more than 256 characters`,
    )
  }
})

it('takes no candle that contradicts itself', () => {
  expect(faultOf(topics.marketCandles, { buyVolume: '2.1' })).toBe('buyVolume: "2.1" is more than the volume')
  for (const trades of [0, -1]) expect(faultOf(topics.marketCandles, { trades })).toMatch('trades: ')
})

it('says what is beyond its range', () => {
  expect(faultOf(topics.patternsMatches, { confidence: 1.1 })).toBe('confidence: 1.1 is not from 0 to 1')
  expect(faultOf(topics.signalsTrades, { strength: -0.1 })).toBe('strength: -0.1 is not from 0 to 1')
  expect(faultOf(topics.riskWallets, { score: 101 })).toBe('score: 101 is not from 0 to 100')
})
