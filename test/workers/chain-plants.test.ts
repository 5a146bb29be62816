/** Planted events of a real local chain: each is found, no decoy is, and what a reorganisation removes is retracted. */
import { describe, expect, it } from 'vitest'
import { type Chain, startChain } from '../../ops/local/chain/chain.ts'
import type { Truth } from '../../ops/local/chain/plants.ts'
import { blockRecord } from '../../connectors/evm/records.ts'
import { RpcBlock, RpcReceipt } from '../../connectors/evm/rpc-types.ts'
import { topics } from '../../schemas/topics.ts'
import type { ChainBlock, PatternMatch } from '../../schemas/types.ts'
import { decodeBlock } from '../../workers/decode-block.ts'
import { detectAddressPoisoning } from '../../workers/detect-address-poisoning.ts'
import { detectSandwiches } from '../../workers/detect-sandwiches.ts'
import { detectWashRings } from '../../workers/detect-wash-rings.ts'
import { detectWhaleTransfers } from '../../workers/detect-whale-transfers.ts'
import { evaluateAlerts } from '../../workers/evaluate-alerts.ts'
import { scoreWalletRisk } from '../../workers/score-wallet-risk.ts'
import { createDriver } from '../support/driver.ts'

const steps = [
  decodeBlock,
  detectWhaleTransfers,
  detectWashRings,
  detectSandwiches,
  detectAddressPoisoning,
  scoreWalletRisk,
  evaluateAlerts,
]
const channels = { hook: { kind: 'webhook', url: 'https://example.org', secretFrom: 'SECRET' } }
const alerts = [{ name: 'any', topic: 'patterns.matches.v1', severity: 'info', title: '{summary}', channels: ['hook'] }]

async function call(url: string, method: string, ...params: unknown[]): Promise<unknown> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  const { result }: { result: unknown } = JSON.parse(await response.text())
  return result
}

/** The chain as it stands, as the connector would write it. */
async function readChain({ url, chainId }: Chain): Promise<ChainBlock[]> {
  const head = Number(await call(url, 'eth_blockNumber'))
  const blocks: ChainBlock[] = []
  for (let number = 1; number <= head; number += 1) {
    const tag = `0x${number.toString(16)}`
    const block = RpcBlock.parse(await call(url, 'eth_getBlockByNumber', tag, true))
    const receipts = RpcReceipt.array().parse(await call(url, 'eth_getBlockReceipts', tag))
    const written = { finalized: Math.max(0, number - 30), revision: 0, receivedAt: Number(block.timestamp) * 1e6 }
    blocks.push(blockRecord(chainId, { block, receipts }, written))
  }
  return blocks
}

/** What stands after the chain's whole history: before the reorganisation, its removals, the branch that replaced it. */
async function runSeed(seed: number) {
  let before: ChainBlock[] = []
  const chain = await startChain({
    seed,
    blockTimeS: 0.05,
    async beforeReorg() {
      before = await readChain(chain)
    },
  })
  try {
    chain.arm()
    await chain.settle()
    const after = await readChain(chain)
    const driver = createDriver({ steps, watch: { chains: [chain.watch], alerts, channels } })
    const orphaned = before.filter(({ id }) => !after.some((block) => block.id === id))
    for (const block of before) driver.send(topics.chainBlocks, block)
    for (const block of orphaned.toReversed()) driver.send(topics.chainBlocks, { ...block, removed: true })
    for (const block of after.slice(before.length - orphaned.length)) driver.send(topics.chainBlocks, block)
    return { driver, planted: chain.planted(), decoys: chain.decoys(), orphaned }
  } finally {
    await chain.stop()
  }
}

const of = (match: PatternMatch, { expected }: Truth): boolean =>
  match.pattern === expected.pattern &&
  match.subject === expected.subject &&
  expected.wallets.every((wallet) => match.wallets.includes(wallet))

describe('events planted on a local chain', () => {
  it.each(Array.from({ length: 10 }, (_, index) => index + 1))(
    'of seed %i are all found, once each, and nothing else is',
    async (seed) => {
      const { driver, planted, decoys, orphaned } = await runSeed(seed)
      expect(planted).toHaveLength(6)
      expect(decoys).toHaveLength(4)
      expect(orphaned).toHaveLength(3)
      const standing = driver.standing(topics.patternsMatches)
      const removed = planted.filter((truth) => truth.what === 'reorg')
      const lasting = planted.filter((truth) => truth.what !== 'reorg')
      for (const truth of lasting)
        expect([truth.name, standing.filter((match) => of(match, truth)).length]).toEqual([truth.name, 1])
      expect(standing).toHaveLength(lasting.length)
      const told = driver.read(topics.patternsMatches).filter((match) => removed.some((truth) => of(match, truth)))
      expect(told.map((match) => match.removed)).toEqual([false, true])
      expect(
        driver
          .standing(topics.alertsFired)
          .map(({ sourceId }) => sourceId)
          .toSorted(),
      ).toEqual(standing.map(({ id }) => id).toSorted())
      expect(driver.read(topics.alertsFired).filter((alert) => alert.removed)).not.toHaveLength(0)
      expect(driver.faults).toEqual([])
    },
    60_000,
  )
})
