import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { blockRecord } from '../../../connectors/evm/records.ts'
import { RpcBlock, RpcReceipt } from '../../../connectors/evm/rpc-types.ts'
import { faultOf } from '../../../connectors/evm/verify.ts'
import { type Chain, startChain } from '../../../ops/local/chain/chain.ts'
import type { Truth } from '../../../ops/local/chain/plants.ts'
import { topics } from '../../../schemas/topics.ts'
import type { ChainBlock, PatternMatch } from '../../../schemas/types.ts'
import { decodeBlock } from '../../../workers/decode-block.ts'
import { detectAddressPoisoning } from '../../../workers/detect-address-poisoning.ts'
import { detectSandwiches } from '../../../workers/detect-sandwiches.ts'
import { detectWashRings } from '../../../workers/detect-wash-rings.ts'
import { detectWhaleTransfers } from '../../../workers/detect-whale-transfers.ts'
import { createDriver } from '../../support/driver.ts'

const steps = [decodeBlock, detectWhaleTransfers, detectWashRings, detectSandwiches, detectAddressPoisoning]
/** Blocks must verify by Ethereum's own rules, without the leniency for a development node. */
const ethereum = 1
const Answer = z.object({ result: z.unknown() })

async function ask(url: string, method: string, ...params: unknown[]): Promise<unknown> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  return Answer.parse(await response.json()).result
}

async function readBlocks({ url, chainId }: Chain, from: number): Promise<ChainBlock[]> {
  const head = Number(await ask(url, 'eth_blockNumber'))
  const records: ChainBlock[] = []
  for (let number = from; number <= head; number++) {
    const place = `0x${number.toString(16)}`
    const block = RpcBlock.parse(await ask(url, 'eth_getBlockByNumber', place, true))
    const receipts = RpcReceipt.array().parse(await ask(url, 'eth_getBlockReceipts', place))
    expect(faultOf(ethereum, { block, receipts })).toBeUndefined()
    records.push(blockRecord(chainId, { block, receipts }, { finalized: 0, revision: 0, receivedAt: 0 }))
  }
  return records
}

describe('what is planted', () => {
  it.each([1, 2])(
    'is found by the detectors, and nothing else (seed %i)',
    async (seed) => {
      let before: ChainBlock[] = []
      const beforeReorg = async () => (before = await readBlocks(chain, 0))
      const chain: Chain = await startChain({ seed, blockTimeS: 0.1, beforeReorg })
      try {
        chain.arm()
        await chain.settle()
        const reorg = chain.planted().find(({ what }) => what === 'reorg')
        const depth = reorg?.removed?.depth ?? 0
        const after = await readBlocks(chain, before.length - depth)

        const driver = createDriver({ steps, watch: { chains: [chain.watch] } })
        const send = (block: ChainBlock): void => {
          driver.send(topics.chainBlocks, block)
          driver.mark(topics.chainBlocks, topics.chainBlocks.key(block), `evm:${chain.chainId}`, block.ts)
        }
        const found = (truths: readonly Truth[], matches: readonly PatternMatch[]) =>
          truths.filter(({ expected }) =>
            matches.some(
              ({ pattern, subject, wallets }) =>
                pattern === expected.pattern &&
                subject === expected.subject &&
                expected.wallets.every((wallet) => wallets.includes(wallet)),
            ),
          )
        before.forEach(send)
        expect(found(reorg ? [reorg] : [], driver.standing(topics.patternsMatches))).toHaveLength(1)
        const removed = before.slice(-depth).toReversed()
        for (const block of removed) send({ ...block, removed: true })
        after.forEach(send)

        const standing = driver.standing(topics.patternsMatches)
        const stays = chain.planted().filter(({ what }) => what !== 'reorg')
        expect(found([...chain.planted(), ...chain.decoys()], standing)).toEqual(stays)
        expect(standing).toHaveLength(stays.length)

        const ledger = await chain.canonical()
        const ids = (records: readonly { id: string }[]) => records.map(({ id }) => id).toSorted()
        const transfers = [...ledger.nativeTransfers, ...ledger.erc20Transfers]
        expect(ids(driver.standing(topics.chainTransactions))).toEqual(ledger.transactions.toSorted())
        expect(ids(driver.standing(topics.chainTransfers))).toEqual(transfers.toSorted())
        expect(ids(driver.standing(topics.chainSwaps))).toEqual(ledger.swaps.toSorted())
      } finally {
        await chain.stop()
      }
    },
    60_000,
  )
})
