import { createPublicClient, type Hash, http, parseAbi, parseEventLogs } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chain, startChain } from '../../../ops/local/chain/chain.ts'
import { amountOf, native, thinTokens, tokens } from '../../../ops/local/chain/contracts.ts'
import type { Truth } from '../../../ops/local/chain/plants.ts'

const events = parseAbi([
  'event Transfer(address indexed from, address indexed to, uint256 value)',
  'event Swap(address indexed sender, uint256 amount0In, uint256 amount1In, uint256 amount0Out, uint256 amount1Out, address indexed to)',
])
const clientOf = (chain: Chain) => createPublicClient({ transport: http(chain.url) })

async function onChain(chain: Chain, hash: Hash) {
  const client = clientOf(chain)
  const [transaction, receipt] = await Promise.all([
    client.getTransaction({ hash }),
    client.getTransactionReceipt({ hash }),
  ])
  expect(receipt.status).toBe('success')
  const logs = parseEventLogs({ abi: events, logs: receipt.logs })
  const transfers = logs.flatMap((log) => (log.eventName === 'Transfer' ? [{ ...log.args, token: log.address }] : []))
  const swaps = logs.flatMap((log) => (log.eventName === 'Swap' ? [{ ...log.args, pool: log.address }] : []))
  return { transaction, receipt, transfers, swaps }
}

describe('a chain with all events planted', () => {
  let chain: Chain
  let atRemoval: { tx: Hash; onTop: bigint } | undefined
  const truth = (name: string): Truth => {
    const found = [...chain.planted(), ...chain.decoys()].find((one) => one.name === name)
    if (found === undefined) throw new Error(`${name} did not happen`)
    return found
  }
  const all = (name: string) => Promise.all(truth(name).expected.transactions.map((hash) => onChain(chain, hash)))

  beforeAll(async () => {
    chain = await startChain({
      seed: 5,
      blockTimeS: 0.1,
      async beforeReorg(tx) {
        const client = clientOf(chain)
        const { blockNumber } = await client.getTransactionReceipt({ hash: tx })
        atRemoval = { tx, onTop: (await client.getBlockNumber({ cacheTime: 0 })) - blockNumber }
      },
    })
    chain.arm()
    await chain.settle()
  }, 60_000)
  afterAll(() => chain.stop())

  it('has planted every event and every decoy once', () => {
    const names = (truths: readonly Truth[]) => truths.map(({ name }) => name).toSorted()
    expect(names(chain.planted())).toEqual([
      'poisoning-dust',
      'poisoning-zero',
      'reorg',
      'sandwich',
      'wash-ring',
      'whale-transfer',
    ])
    expect(names(chain.decoys())).toEqual(['exchange-move', 'mutual-trade', 'stranger-dust', 'three-swaps'])
  })

  it('moves a whale between unlabelled wallets and more between the wallets of one exchange', async () => {
    const moved = async (name: string) => {
      const [only] = await all(name)
      if (!only) throw new Error(`${name} has no transaction`)
      const coin = tokens.find(({ address }) => truth(name).expected.subject.endsWith(address)) ?? native
      const amount = only.transfers[0]?.value ?? only.transaction.value
      return Number(amount / amountOf(coin, 1))
    }
    const labelled = new Set(chain.watch.wallets?.map(({ address }) => address))
    expect(truth('whale-transfer').expected.wallets.some((wallet) => labelled.has(wallet))).toBe(false)
    expect(truth('exchange-move').expected.wallets.every((wallet) => labelled.has(wallet))).toBe(true)
    expect(await moved('whale-transfer')).toBeGreaterThan(1_990_000)
    expect(await moved('exchange-move')).toBeGreaterThan(await moved('whale-transfer'))
  })

  it.each(['sandwich', 'three-swaps'])(
    'puts the swaps of the %s in one block and pool: in, in, back out',
    async (name) => {
      const swaps = await all(name)
      const [front, victim, back] = swaps.map(({ swaps: [swap] }) => swap)
      if (!front || !victim || !back) throw new Error('a swap is missing')
      expect(swaps.map(({ receipt }) => receipt.transactionIndex)).toEqual([0, 1, 2])
      expect(new Set(swaps.map(({ receipt }) => receipt.blockHash)).size).toBe(1)
      expect(new Set([front.pool, victim.pool, back.pool]).size).toBe(1)
      expect(victim.amount0In > 0n).toBe(front.amount0In > 0n)
      expect([back.amount0In, back.amount1In]).toEqual([front.amount0Out, front.amount1Out])
      expect(back.amount0Out + back.amount1Out).toBeGreaterThan(front.amount0In + front.amount1In)
      expect(new Set(swaps.map(({ transaction }) => transaction.from)).size).toBe(name === 'sandwich' ? 2 : 3)
    },
  )

  it('passes alike amounts of a thin token round and round', async () => {
    const hops = (await all('wash-ring')).flatMap(({ transfers }) => transfers)
    const size = truth('wash-ring').expected.wallets.length
    expect(hops.length / size).toBeGreaterThanOrEqual(2)
    hops.slice(1).forEach((hop, index) => expect(hop.from).toBe(hops[index]?.to))
    expect(hops.at(-1)?.to).toBe(hops[0]?.from)
    const token = thinTokens.find(({ address }) => address === hops[0]?.token.toLowerCase())
    if (!token) throw new Error('not a thin token')
    const values = hops.map(({ value }) => Number(value))
    expect(Math.max(...values) / Math.min(...values)).toBeLessThan(1.04)
    expect(Math.max(...values)).toBeLessThan(Number(amountOf(token, 100_000)))
  })

  it.each(['poisoning-dust', 'poisoning-zero', 'stranger-dust'])('pays, then baits the payer (%s)', async (name) => {
    const [payment, bait] = (await all(name)).flatMap(({ transfers }) => transfers)
    if (!payment || !bait) throw new Error('a transfer is missing')
    const forged = bait.to === payment.from ? bait.from : bait.to
    const equal = [forged, payment.to].map((address) => `${address.slice(0, 6)}${address.slice(-4)}`.toLowerCase())
    expect(equal[0] === equal[1]).toBe(name !== 'stranger-dust')
    expect(bait.value === 0n).toBe(name === 'poisoning-zero')
    expect(bait.value).toBeLessThan(payment.value / 500n)
  })

  it('removes the second whale with its block, and it does not come back', async () => {
    const { removed, expected } = truth('reorg')
    if (!removed) throw new Error('nothing was removed')
    expect(removed.blocks).toHaveLength(3)
    expect(atRemoval).toEqual({ tx: removed.tx, onTop: 2n })
    const ledger = await chain.canonical()
    expect(ledger.transactions.filter((id) => id.includes(removed.tx))).toEqual([])
    expect(ledger.blocks.filter(({ hash }) => removed.blocks.includes(hash))).toEqual([])
    expect(expected.records[0]).toContain(`${chain.chainId}:${removed.blocks[0]}:${removed.tx}:`)
    await expect(clientOf(chain).getTransaction({ hash: removed.tx })).rejects.toThrow('could not be found')
  })

  it('reads a ledger that is linked, ordered, without doubles, and holds the events', async () => {
    const ledger = await chain.canonical()
    ledger.blocks.slice(1).forEach((block, index) => {
      const parent = ledger.blocks[index]
      expect([block.number, block.parentHash]).toEqual([(parent?.number ?? NaN) + 1, parent?.hash])
      expect(block.ts).toBeGreaterThan(parent?.ts ?? Infinity)
    })
    const { transactions, nativeTransfers, erc20Transfers, swaps } = ledger
    expect(transactions).toHaveLength(ledger.blocks.reduce((sum, block) => sum + block.transactions, 0))
    const records = [...nativeTransfers, ...erc20Transfers, ...swaps]
    expect(new Set(records).size).toBe(records.length)
    const held = [...chain.planted(), ...chain.decoys()].filter(({ what }) => what !== 'reorg')
    expect(held.flatMap(({ expected }) => expected.records).filter((id) => !records.includes(id))).toEqual([])
  })
})

describe('a chain without events', () => {
  it('goes on after reorganisations that keep, and that drop, what a trader sent', async () => {
    const chain = await startChain({ seed: 6, blockTimeS: 0.05, plants: false })
    try {
      const client = clientOf(chain)
      await expect.poll(() => client.getBlockNumber({ cacheTime: 0 }), { timeout: 20_000 }).toBeGreaterThan(30n)
      const kept = await chain.reorg(20)
      expect(kept).toHaveLength(20)
      const [block] = await chain.reorg(1)
      const dropped = block?.transactions[0]
      if (!dropped) throw new Error('an empty block')
      await chain.reorg(5, [dropped.from])
      const goal = (await client.getBlockNumber({ cacheTime: 0 })) + 20n
      await expect.poll(() => client.getBlockNumber({ cacheTime: 0 }), { timeout: 20_000 }).toBeGreaterThan(goal)
      await chain.settle(0)
      const { transactions } = await chain.canonical()
      const stays = kept.flatMap((one) => one.transactions).filter(({ from }) => from !== dropped.from)
      for (const { hash } of stays) expect(transactions.filter((id) => id.endsWith(hash))).toHaveLength(1)
      expect(transactions.some((id) => id.endsWith(dropped.hash))).toBe(false)
      expect([chain.planted(), chain.decoys()]).toEqual([[], []])
    } finally {
      await chain.stop()
    }
  }, 60_000)

  it("refuses to reorganise deeper than the traders' blocks", async () => {
    const chain = await startChain({ seed: 6, blockTimeS: 0.2, plants: false })
    await expect(chain.reorg(100)).rejects.toThrow('a reorganisation of depth 100')
    await chain.stop()
  }, 30_000)
})
