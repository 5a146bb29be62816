/** Whale transfers: by value in dollars, between different owners only. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { ChainTransfer } from '../../schemas/types.ts'
import { detectWhaleTransfers } from '../../workers/detect-whale-transfers.ts'
import { zeroAddress } from '../../workers/watched.ts'
import { createDriver } from '../support/driver.ts'
import { address, transfer, watchOf } from './records.ts'

const [hot, cold, other, usdc] = [address(0xe1), address(0xe2), address(0xe3), address(0x70)]
const watch = watchOf({
  wallets: [
    { address: hot, label: 'Hot', kind: 'exchange', owner: 'kraken' },
    { address: cold, label: 'Cold', kind: 'exchange', owner: 'kraken' },
    { address: other, label: 'Other', kind: 'exchange', owner: 'binance' },
  ],
})
const million = '1000000000000'

function whalesOf(rest: Partial<ChainTransfer>) {
  const driver = createDriver({ steps: [detectWhaleTransfers], watch })
  driver.send(topics.chainTransfers, transfer(5, 0, { amount: million, ...rest }))
  return driver.read(topics.patternsMatches)
}

describe('detect-whale-transfers', () => {
  it('tells a transfer from the threshold on, with its figures', () => {
    expect(whalesOf({ amount: '2500000500000', from: hot })[0]).toMatchObject({
      pattern: 'whale-transfer',
      subject: `1:${usdc}`,
      chainId: 1,
      block: 5,
      summary: '2500000.5 USDC ($2,500,001) moved from Hot to 0x0000…0002.',
      facts: { usd: '2500000.50', amount: '2500000.5', token: 'USDC', txHash: '0xt5-0' },
    })
    expect(whalesOf({})).toHaveLength(1)
    expect(whalesOf({ amount: '999999999999' })).toEqual([])
  })

  it('knows the native coin, and no token that is not listed', () => {
    expect(whalesOf({ standard: 'native', token: 'native', amount: `400${'0'.repeat(18)}` })).toHaveLength(1)
    expect(whalesOf({ token: address(0x71), amount: `9${'0'.repeat(40)}` })).toEqual([])
    expect(whalesOf({ standard: 'erc721', amount: million, tokenId: '1' })).toEqual([])
  })

  it('lets an owner move any size among own wallets, and nobody else', () => {
    expect(whalesOf({ from: hot, to: cold })).toEqual([])
    expect(whalesOf({ from: hot, to: other })).toHaveLength(1)
    expect(whalesOf({ from: hot })).toHaveLength(1)
  })

  it('passes over mints, burns, wrapping and transfers to oneself', () => {
    for (const rest of [{ from: zeroAddress }, { to: zeroAddress }, { to: usdc }, { from: usdc }, { to: address(1) }]) {
      expect(whalesOf(rest)).toEqual([])
    }
  })
})
