/** Alert rules: conditions, placeholders, groups and how often a group is told. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { MarketRisk, PatternMatch, TradeSignal, WalletRisk } from '../../schemas/types.ts'
import { evaluateAlerts } from '../../workers/evaluate-alerts.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { createDriver } from '../support/driver.ts'
import { address, minute, noon, watchOf } from './records.ts'

const origin = { block: null, finalized: null, removed: false, revision: 0 }
const match = (rest: Partial<PatternMatch> = {}): PatternMatch => {
  const place = { subject: '1:native', ts: noon, start: noon, venue: null, symbol: null, chainId: 1 }
  const words = { confidence: 0.9, summary: 'A whale.', wallets: [address(1), address(2)], evidence: [] }
  return { id: 'm1', pattern: 'whale-transfer', ...place, ...words, facts: { usd: '2500000.00' }, ...origin, ...rest }
}
const risk = (rest: Partial<MarketRisk> = {}): MarketRisk => {
  const place = { id: 'r1', venue: 'binance-spot', symbol: 'BTC-USDT', ts: noon, price: '100', observations: 60 }
  const sizes = { volatility: 0.0123456789, annualVolatility: 9, drawdown: 0.2, maxDrawdown: 0.3 }
  return { ...place, ...sizes, valueAtRisk: 0.03, historicalValueAtRisk: null, ...rest }
}
const rule = (rest: object = {}): object => ({
  name: 'rule',
  topic: 'patterns.matches.v1',
  severity: 'warning',
  title: 'title',
  channels: ['hook'],
  ...rest,
})
const driverOf = (...alerts: object[]) => {
  const hook = { kind: 'webhook', url: 'https://example.org', secretFrom: 'SECRET' }
  return createDriver({ steps: [evaluateAlerts], watch: watchOf({}, { alerts, channels: { hook } }) })
}
function alertsOf<T extends object>(alerts: object[], topic: Topic<T>, ...records: T[]) {
  const driver = driverOf(...alerts)
  for (const record of records) driver.send(topic, record)
  return driver.read(topics.alertsFired)
}
const fires = (where: object[], record: PatternMatch = match()): boolean =>
  alertsOf([rule({ where })], topics.patternsMatches, record).length === 1

describe('evaluate-alerts', () => {
  it('fires with the words of the rule and the figures of the record', () => {
    const texts = {
      title: 'Whale on {chainId}: {facts.usd} USD',
      text: '{summary} {wallets} {venue} {nothing}',
      group: '{rule} {subject}',
    }
    expect(alertsOf([rule(texts)], topics.patternsMatches, match())).toEqual([
      {
        ...origin,
        id: 'rule:m1',
        rule: 'rule',
        severity: 'warning',
        group: 'rule 1:native',
        ts: noon,
        title: 'Whale on 1: 2500000.00 USD',
        text: `A whale. ${address(1)}, ${address(2)} n/a n/a`,
        channels: ['hook'],
        sourceTopic: 'patterns.matches.v1',
        sourceId: 'm1',
        labels: { pattern: 'whale-transfer', subject: '1:native', chainId: '1' },
      },
    ])
    const [alert] = alertsOf(
      [rule({ topic: 'risk.markets.v1', title: '{symbol} {volatility}' })],
      topics.riskMarkets,
      risk(),
    )
    expect([alert?.title, alert?.group]).toEqual(['BTC-USDT 0.0123457', 'rule'])
  })

  it('holds conditions on texts, numbers and numbers written as text', () => {
    expect(fires([])).toBe(true)
    expect(
      fires([
        { field: 'pattern', is: 'whale-transfer' },
        { field: 'facts.usd', atLeast: 2_500_000 },
      ]),
    ).toBe(true)
    expect(
      fires([
        { field: 'pattern', is: 'whale-transfer' },
        { field: 'facts.usd', atLeast: 2_500_001 },
      ]),
    ).toBe(false)
    expect(fires([{ field: 'pattern', in: ['sandwich', 'whale-transfer'] }])).toBe(true)
    expect(fires([{ field: 'pattern', in: ['sandwich'] }])).toBe(false)
    expect(
      fires([
        { field: 'chainId', is: 1 },
        { field: 'confidence', atMost: 0.9 },
      ]),
    ).toBe(true)
    expect(fires([{ field: 'facts.usd', is: 2_500_000 }])).toBe(true)
    expect(fires([{ field: 'chainId', is: '1' }])).toBe(false)
  })

  it('holds no condition on what is not there or no number', () => {
    for (const field of [
      'facts.none',
      'none.usd',
      'venue',
      'summary',
      'facts',
      'constructor',
      'facts.toString.length',
    ]) {
      expect([field, fires([{ field, atLeast: 0 }]), fires([{ field, atMost: 9 }])]).toEqual([field, false, false])
    }
  })

  it('reads each topic with its own rules', () => {
    const driver = driverOf(
      ...['patterns.matches.v1', 'risk.markets.v1', 'risk.wallets.v1', 'signals.trades.v1'].map((topic) =>
        rule({ name: topic.replaceAll('.', '-'), topic }),
      ),
    )
    const wallet: WalletRisk = { ...origin, id: 'w1', chainId: 1, wallet: address(1), ts: noon, score: 80, level: 'critical', factors: [] } // prettier-ignore
    const signal: TradeSignal = { id: 's1', strategy: 'ema-cross', venue: 'v', symbol: 'A-B', ts: noon, direction: 'long', strength: 1, horizonS: 60, price: '1', reason: '' } // prettier-ignore
    driver.send(topics.signalsTrades, signal)
    driver.send(topics.riskWallets, wallet)
    driver.send(topics.riskMarkets, risk())
    driver.send(topics.patternsMatches, match())
    expect(driver.read(topics.alertsFired).map(({ id }) => id)).toEqual([
      'signals-trades-v1:s1',
      'risk-wallets-v1:w1',
      'risk-markets-v1:r1',
      'patterns-matches-v1:m1',
    ])
  })

  it('tells a group once in the length of time that the rule says, by event time', () => {
    const at = (minutes: number, id: string, rest: Partial<MarketRisk> = {}) =>
      risk({ id, ts: noon + minutes * minute, ...rest })
    const records = [at(0, 'a'), at(4, 'b'), at(5, 'c'), at(9, 'd'), at(3, 'late'), at(10, 'e')]
    const limited = rule({ topic: 'risk.markets.v1', every: '5m' })
    const ids = (rest: object, ...more: MarketRisk[]) =>
      alertsOf([{ ...limited, ...rest }], topics.riskMarkets, ...records, ...more).map(({ sourceId }) => sourceId)
    expect(ids({})).toEqual(['a', 'c', 'e'])
    expect(ids({ group: '{price}' }, at(10, 'f', { price: '7' }))).toEqual(['a', 'c', 'e', 'f'])
    expect(ids({ every: '0s' })).toHaveLength(6)
  })

  it('is not muted by a record that is dated weeks ahead', () => {
    const at = (id: string, ts: number) => risk({ id, ts })
    const records = [
      at('a', noon),
      at('ahead', noon + 20 * 24 * 60 * minute),
      at('b', noon + 1),
      at('c', noon + 6 * minute),
    ]
    const limited = rule({ topic: 'risk.markets.v1', every: '5m' })
    for (const restarts of [0, 1]) {
      const driver = driverOf(limited)
      for (const record of records) {
        driver.send(topics.riskMarkets, record)
        if (restarts > 0) driver.cut('restart')
      }
      expect(driver.read(topics.alertsFired).map(({ sourceId }) => sourceId)).toEqual(['a', 'ahead', 'c'])
    }
  })

  it('fills in no NUL, which no table takes, and no number that is none', () => {
    const texts = { title: '{summary}', text: 'of {pattern}', group: '{pattern}', every: '1m' }
    const record = match({ summary: 'a\0b', pattern: '\0p', facts: { usd: 'Infinity', eur: '1e400' } })
    expect(alertsOf([rule(texts)], topics.patternsMatches, record)).toMatchObject([
      { title: 'ab', text: 'of p', group: 'p', labels: { pattern: 'p' } },
    ])
    for (const field of ['facts.usd', 'facts.eur']) expect(fires([{ field, atLeast: 1 }], record)).toBe(false)
  })

  it('retracts an alert whose cause was orphaned, and tells what it had held back', () => {
    const driver = driverOf(rule({ every: '5m' }))
    const onChain = (id: string, block: number) => match({ id, block, finalized: 1, ts: noon + block })
    driver.send(topics.patternsMatches, onChain('a', 5))
    driver.send(topics.patternsMatches, onChain('b', 4))
    expect(driver.standing(topics.alertsFired).map(({ sourceId }) => sourceId)).toEqual(['a'])
    driver.send(topics.patternsMatches, { ...onChain('a', 5), removed: true })
    expect(driver.standing(topics.alertsFired).map(({ sourceId }) => sourceId)).toEqual(['b'])
    expect(driver.read(topics.alertsFired).map(({ sourceId, removed }) => [sourceId, removed])).toEqual([
      ['a', false],
      ['a', true],
      ['b', false],
    ])
  })
})
