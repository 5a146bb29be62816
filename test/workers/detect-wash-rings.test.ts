/** Wash rings: tokens that really go round, and what only looks so. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { ChainTransfer, PatternMatch } from '../../schemas/types.ts'
import { detectWashRings } from '../../workers/detect-wash-rings.ts'
import { createDriver } from '../support/driver.ts'
import { address, transfer, watchOf } from './records.ts'

const ring = [1, 2, 3, 4, 5, 6].map(address)
/** [from, to, amount] one a block, or the fields of a transfer. */
type Move = readonly [from: number, to: number, amount?: number | undefined, rest?: Partial<ChainTransfer>]

function matchesOf(moves: readonly Move[], options: { watch?: object; batch?: number; restartEvery?: number } = {}) {
  const driver = createDriver({ steps: [detectWashRings], watch: watchOf(), ...options })
  moves.forEach(([from, to, amount = 100, rest], index) => {
    const parties = { from: address(from), to: address(to), amount: String(Math.round(amount * 1e6)) }
    driver.append(topics.chainTransfers, transfer(index, 0, { ...parties, ...rest }))
  })
  driver.run()
  return driver.read(topics.patternsMatches)
}
/** Passes an amount round among the first so many wallets. */
const turns = (members: number, rounds: number, amount = 100): Move[] =>
  Array.from({ length: members * rounds }, (_, hop) => [
    (hop % members) + 1,
    ((hop + 1) % members) + 1,
    amount * (1 + 0.02 * Math.sin(hop)),
  ])
/** Unrelated transfers among many. */
const market = (count: number, amount: number): Move[] =>
  Array.from({ length: count }, (_, index) => [100 + ((index * 7) % 40), 100 + ((index * 11 + 1) % 40), amount])

describe('detect-wash-rings', () => {
  it('finds rings of two to five wallets with the second round', () => {
    for (const members of [2, 3, 4, 5]) {
      const matches = matchesOf(turns(members, 2))
      expect(matches).toHaveLength(1)
      expect(matches[0]).toMatchObject({ pattern: 'wash-ring', facts: { members: String(members), rounds: '2' } })
      expect(matches[0]?.wallets.toSorted()).toEqual(ring.slice(0, members))
      expect(matches[0]?.evidence).toHaveLength(2 * members)
    }
    expect(matchesOf(turns(6, 3))).toEqual([])
  })

  it('finds a ring amid a market that it makes up a fifth of, not below', () => {
    const amid = (noise: number): PatternMatch[] =>
      matchesOf([
        ...market(30, noise),
        ...turns(3, 2, 200).flatMap((move, index): Move[] => [move, ...market(index, noise)]),
      ])
    expect(amid(80)).toHaveLength(1)
    expect(amid(200)).toEqual([])
  })

  it('tells a ring that goes on turning once a window', () => {
    expect(matchesOf(turns(3, 20))).toHaveLength(1)
    const long = turns(2, 200).map((move, index): Move => [move[0], move[1], move[2], { ts: 1e15 + index * 4e6 }])
    expect(matchesOf(long)).toHaveLength(3)
  })

  it('takes no mutual trade, no single round and no unlike amounts for a ring', () => {
    expect(matchesOf([[1, 2], [2, 1]])).toEqual([]) // prettier-ignore
    expect(matchesOf(turns(4, 1))).toEqual([])
    expect(matchesOf([[1, 2, 100], [2, 1, 60], [1, 2, 100], [2, 1, 60]])).toEqual([]) // prettier-ignore
  })

  it('takes no pool for a member, though a trader buys and sells alike there', () => {
    const [trader, pool] = [1, 50]
    const there: Move[] = [[trader, pool], [pool, trader], [trader, pool], [pool, trader]] // prettier-ignore
    const customers = there.flatMap((move, index): Move[] => [move, [60 + index, pool, 30], [pool, 70 + index, 20]])
    expect(matchesOf(customers)).toEqual([])
    const contract = { wallets: [{ address: address(pool), label: 'pool', kind: 'contract' }] }
    expect(matchesOf(there, { watch: watchOf(contract) })).toEqual([])
    expect(matchesOf(there)).toHaveLength(1)
  })

  it('takes no contract that passes tokens on within a transaction for a member', () => {
    const within = turns(2, 3).map((move, index): Move => [move[0], move[1], 100, { txHash: `0xt${index >> 1}` }])
    expect(matchesOf(within)).toEqual([])
  })

  it('follows a collectible that goes round, not different ones', () => {
    const nft = (tokenId: string) => ({ standard: 'erc721', tokenId, amount: '1' })
    const same = turns(3, 2).map((move): Move => [move[0], move[1], 1, nft('7')])
    expect(matchesOf(same)).toHaveLength(1)
    expect(matchesOf(same.map((move, index): Move => [move[0], move[1], 1, nft(String(index))]))).toEqual([])
  })

  it('keeps bounded state on a busy token and still finds the ring, whatever the batches and restarts', () => {
    const hub = Array.from({ length: 500 }, (_, index): Move => [
      200 + (index % 90),
      99,
      10,
      { ts: 1e15 + index * 1e5 },
    ])
    const busy = [...hub, ...market(400, 1).map((move, index): Move => [move[0], move[1], 1, { ts: 1.00005e15 + index * 1e5 }])] // prettier-ignore
    const moves = [...busy, ...turns(3, 2, 1_000).map((move, index): Move => [move[0], move[1], move[2], { ts: 1.0001e15 + index * 1e6 }])] // prettier-ignore
    const matches = matchesOf(moves)
    expect(matches).toHaveLength(1)
    expect(matchesOf(moves, { batch: 13, restartEvery: 1 })).toEqual(matches)
  })
})
