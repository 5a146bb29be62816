/** Address poisoning: bait from look-alikes of those whom the wallet pays. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { WalletActivity } from '../../schemas/types.ts'
import { detectAddressPoisoning } from '../../workers/detect-address-poisoning.ts'
import { createDriver } from '../support/driver.ts'
import { activity, address, watchOf } from './records.ts'

const payee = `0xabcd${'0'.repeat(32)}1234`
const lookAlike = `0xabcd${'f'.repeat(32)}1234`
const pays = (rest: Partial<WalletActivity> = {}): WalletActivity =>
  activity(1, 0, { direction: 'out', counterparty: payee, amount: '50000000', ...rest })
const bait = (rest: Partial<WalletActivity> = {}): WalletActivity =>
  activity(2, 0, { counterparty: lookAlike, amount: '10000', ...rest })

function matchesOf(...activities: WalletActivity[]) {
  const driver = createDriver({ steps: [detectAddressPoisoning], watch: watchOf() })
  for (const one of activities) driver.send(topics.walletsActivity, one)
  return driver.read(topics.patternsMatches)
}

describe('detect-address-poisoning', () => {
  it('tells dust from a look-alike of a payee, with who is who', () => {
    expect(matchesOf(pays(), bait())).toMatchObject([
      {
        pattern: 'address-poisoning',
        subject: `1:${address(1)}`,
        wallets: [address(1), lookAlike, payee],
        facts: { victim: address(1), lookAlike, imitated: payee, usd: '0.01', token: 'USDC', txHash: '0xt2-0' },
      },
    ])
  })

  it('tells a forged transfer of nothing to a look-alike, and one of a token that nobody knows', () => {
    expect(matchesOf(pays(), bait({ direction: 'out', amount: '0' }))).toHaveLength(1)
    expect(matchesOf(pays(), bait({ token: address(0x71), amount: '50000000' }))).toHaveLength(1)
  })

  it('tells each look-alike once', () => {
    expect(matchesOf(pays(), bait(), activity(3, 0, { counterparty: lookAlike, amount: '10000' }))).toHaveLength(1)
  })

  it('passes over strangers, real payments, and look-alikes of those whom the wallet never paid', () => {
    const stranger = `0xab${'f'.repeat(36)}34`
    expect(matchesOf(pays(), bait({ counterparty: stranger }))).toEqual([])
    expect(matchesOf(pays(), bait({ amount: '50000000' }))).toEqual([])
    expect(matchesOf(bait())).toEqual([])
    expect(matchesOf(pays({ direction: 'in' }), bait())).toEqual([])
    expect(matchesOf(pays({ token: address(0x71) }), bait())).toEqual([])
    expect(matchesOf(pays(), activity(2, 0, { counterparty: payee, amount: '1' }))).toEqual([])
  })

  it('does not take a payee for a look-alike of another that it resembles', () => {
    expect(matchesOf(pays(), pays({ id: 'b', counterparty: lookAlike }), bait({ counterparty: payee }))).toEqual([])
  })
})
