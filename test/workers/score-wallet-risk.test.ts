/** Wallet risk: what raises a score and what does not, and how often it is told. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { WalletActivity, WalletRisk } from '../../schemas/types.ts'
import { scoreWalletRisk } from '../../workers/score-wallet-risk.ts'
import { createDriver } from '../support/driver.ts'
import { activity, address, watchOf } from './records.ts'

const [sanctioned, mixer, exchange] = [address(0xbad), address(0x313), address(0xe4)]
const watch = watchOf({
  wallets: [
    { address: sanctioned, label: 'listed', kind: 'sanctioned' },
    { address: mixer, label: 'mixer', kind: 'mixer' },
    { address: exchange, label: 'hot', kind: 'exchange', owner: 'exchange' },
  ],
})
const usdc = (dollars: number): string => String(Math.round(dollars * 1e6))

function risksOf(activities: readonly WalletActivity[]): WalletRisk[] {
  const driver = createDriver({ steps: [scoreWalletRisk], watch })
  for (const one of activities) driver.append(topics.walletsActivity, one)
  driver.run()
  return driver.read(topics.riskWallets)
}
const contribution = (risk: WalletRisk | undefined, name: string): number =>
  risk?.factors.find((factor) => factor.name === name)?.contribution ?? NaN

describe('score-wallet-risk', () => {
  it('is silent about ordinary traffic', () => {
    const ordinary = Array.from({ length: 40 }, (_, index) =>
      activity(index, 0, {
        direction: index % 2 ? 'in' : 'out',
        counterparty: address(10 + (index % 7)),
        amount: usdc(50),
      }),
    )
    expect(risksOf(ordinary)).toEqual([])
  })

  it('weighs dealings with sanctioned wallets most, by their share', () => {
    const [all] = risksOf([activity(1, 0, { direction: 'out', counterparty: sanctioned, amount: usdc(500) })])
    expect([all?.score, all?.level]).toEqual([75, 'critical'])
    const [part] = risksOf([
      activity(1, 0, { counterparty: address(5), amount: usdc(900) }),
      activity(2, 0, { counterparty: sanctioned, amount: usdc(100) }),
    ])
    expect([part?.score, part?.level]).toEqual([41.25, 'medium'])
    const [mixed] = risksOf([activity(1, 0, { counterparty: mixer, amount: usdc(500) })])
    expect([mixed?.score, mixed?.level]).toEqual([45, 'medium'])
  })

  it('does not blame a wallet for dust that it was sent', () => {
    expect(risksOf([activity(1, 0, { counterparty: sanctioned, amount: usdc(9) })])).toEqual([])
  })

  it('adds up its contributions to the score, at most 100', () => {
    const busy = Array.from({ length: 60 }, (_, index) => [
      activity(2 * index, 0, { counterparty: index % 2 ? sanctioned : mixer, amount: usdc(5_000) }),
      activity(2 * index + 1, 0, { direction: 'out', counterparty: address(100 + index), amount: usdc(4_990) }),
    ]).flat()
    const risks = risksOf(busy)
    for (const { score, factors } of risks) {
      expect(factors.reduce((sum, factor) => sum + factor.contribution, 0)).toBeCloseTo(score, 9)
      for (const { contribution, weight } of factors) expect(contribution).toBeLessThanOrEqual(weight)
    }
    expect(risks.at(-1)?.score).toBe(100)
  })

  it('sees money that is handed on soon in like amounts, and not what goes back', () => {
    const handedOn = (back: string) =>
      Array.from({ length: 4 }, (_, index) => [
        activity(2 * index, 0, { counterparty: address(7), amount: usdc(2_000) }),
        activity(2 * index + 1, 0, { direction: 'out', counterparty: back, amount: usdc(1_950) }),
      ]).flat()
    expect(contribution(risksOf(handedOn(address(8))).at(-1), 'pass-through')).toBe(15)
    expect(risksOf(handedOn(address(7)))).toEqual([])
  })

  it('measures a burst of transfers against the pace of the hours before', () => {
    const hours = (hour: number, count: number): WalletActivity[] =>
      Array.from({ length: count }, (_, index) => activity(hour * 3_600 + index, 0, { counterparty: address(9) }))
    const calm = Array.from({ length: 8 }, (_, hour) => hours(hour, 3)).flat()
    const burst = risksOf([...calm, ...hours(8, 30)])
    expect(contribution(burst.at(-1), 'velocity')).toBeGreaterThanOrEqual(5)
    expect(risksOf([...calm, ...hours(8, 6)])).toEqual([])
  })

  it('sees a wallet that pays out to many', () => {
    const payouts = Array.from({ length: 30 }, (_, index) =>
      activity(index, 0, { direction: 'out', counterparty: address(50 + index), amount: usdc(20) }),
    )
    expect(contribution(risksOf(payouts).at(-1), 'counterparty-fan')).toBeGreaterThanOrEqual(5)
  })

  it('tells a score again only when it has moved by five points or risen a level', () => {
    const shrinking = [
      activity(0, 0, { counterparty: sanctioned, amount: usdc(100) }),
      ...Array.from({ length: 50 }, (_, index) =>
        activity(index + 1, 0, { counterparty: address(5), amount: usdc(100) }),
      ),
    ]
    const scores = risksOf(shrinking).map(({ score }) => score)
    expect(scores.length).toBeLessThan(10)
    scores.slice(1).forEach((score, index) => expect(Math.abs(score - (scores[index] ?? 0))).toBeGreaterThanOrEqual(5))
  })

  it('does not score what moves for customers', () => {
    expect(risksOf([activity(1, 0, { wallet: exchange, counterparty: sanctioned, amount: usdc(1e6) })])).toEqual([])
  })
})
