/** Blocks come whole and verified from nodes that leave out logs, swap receipts, answer null, refuse, stall and limit. */
import { afterEach, describe, expect, it } from 'vitest'
import { fetchBlock, fetchHead } from '../../../connectors/evm/fetch-block.ts'
import { RpcPool } from '../../../connectors/evm/rpc-pool.ts'
import type { RpcReceipt, WholeBlock } from '../../../connectors/evm/rpc-types.ts'
import { RetryableError } from '../../../workers/runtime/errors.ts'
import { chainContext } from './memory-journal.ts'
import { ethereumBlock, haveRecordings, withoutRecordings } from './recordings.ts'
import { RpcFault, RpcNode } from './rpc-node.ts'

const controllers: AbortController[] = []
const nodes: RpcNode[] = []
afterEach(async () => {
  for (const controller of controllers.splice(0)) controller.abort()
  for (const node of nodes.splice(0)) await node.close()
})

async function startNode(blocks: readonly WholeBlock[]): Promise<RpcNode> {
  const node = await RpcNode.start(blocks)
  nodes.push(node)
  return node
}

function startPool(urls: readonly string[], timeoutMs = 5_000) {
  const context = chainContext()
  const controller = new AbortController()
  controllers.push(controller)
  const { signal } = controller
  return { context, pool: new RpcPool(urls, { chainId: 1, context, random: () => 0.5, signal, timeoutMs, rate: 500 }) }
}

/** The receipts that a node answers, changed. */
const altering =
  (change: (receipts: RpcReceipt[]) => unknown): RpcNode['alter'] =>
  ({ method }, result) => {
    if (method !== 'eth_getBlockReceipts' || !Array.isArray(result)) return result
    const receipts: RpcReceipt[] = structuredClone(result)
    return change(receipts) ?? receipts
  }

const lies: [string, RpcNode['alter']][] = [
  ['leaves out a log', altering((receipts) => void receipts.findLast(({ logs }) => logs.length > 0)?.logs.pop())],
  ['swaps two receipts', altering((receipts) => receipts.toSpliced(0, 2, ...receipts.slice(0, 2).toReversed()))],
  ['answers null for receipts', ({ method }, result) => (method === 'eth_getBlockReceipts' ? null : result)],
  ['answers null for the block', ({ method }, result) => (method.startsWith('eth_getBlockBy') ? null : result)],
  ['answers half a receipt', altering((receipts) => receipts.map(({ transactionHash }) => ({ transactionHash })))],
  ['answers text', ({ method }, result) => (method === 'eth_getBlockReceipts' ? 'later' : result)],
]

describe.skipIf(!haveRecordings)(`a node that lies${withoutRecordings}`, () => {
  const whole = haveRecordings ? ethereumBlock(18000000) : undefined
  const id = { hash: whole?.block.hash ?? '' }

  it.each(lies)('and %s is found out, and another is asked', async (_what, alter) => {
    if (whole === undefined) return
    const [liar, honest] = [await startNode([whole]), await startNode([whole])]
    liar.alter = alter
    const { pool } = startPool([liar.url, honest.url])
    expect(await fetchBlock(pool, 1, id)).toEqual(whole)
    expect(liar.calls).toContain('eth_getBlockByHash')
    expect(honest.calls).toContain('eth_getBlockReceipts')
  })

  it.each(lies)('and %s all the time, with no other, gives an error and no block', async (_what, alter) => {
    if (whole === undefined) return
    const liar = await startNode([whole])
    liar.alter = alter
    const failed = fetchBlock(startPool([liar.url]).pool, 1, id)
    await expect(failed).rejects.toThrow(RetryableError)
    await expect(failed).rejects.not.toThrow(/secret/)
  })

  it('once is believed again when it answers right', async () => {
    if (whole === undefined) return
    const node = await startNode([whole])
    let answers = 0
    node.alter = (call, result) => (call.method === 'eth_getBlockReceipts' && answers++ < 2 ? null : result)
    expect(await fetchBlock(startPool([node.url]).pool, 1, id)).toEqual(whole)
  })
})

describe.skipIf(!haveRecordings)(`a node that serves less${withoutRecordings}`, () => {
  const whole = haveRecordings ? ethereumBlock(4369999) : undefined
  const id = { number: 4369999 }

  it('without eth_getBlockReceipts is asked for each receipt, in one batch', async () => {
    if (whole === undefined) return
    const node = await startNode([whole])
    node.alter = ({ method }, result) => {
      if (method === 'eth_getBlockReceipts') throw new RpcFault(-32601, 'the method does not exist')
      return result
    }
    const { pool } = startPool([node.url])
    expect(await fetchBlock(pool, 1, id)).toEqual(whole)
    expect(node.calls.filter((method) => method === 'eth_getTransactionReceipt')).toHaveLength(22)
    // The check, the block, the refused receipts, the single receipts.
    expect(node.requests).toBe(4)
    await fetchBlock(pool, 1, id)
    expect(node.requests).toBe(6)
  })

  it('that limits its rate is left alone for as long as it says', async () => {
    if (whole === undefined) return
    const [limited, other] = [await startNode([whole]), await startNode([whole])]
    limited.refuse = () => ({ status: 429, headers: { 'retry-after': '30' } })
    const { context, pool } = startPool([limited.url, other.url])
    for (let round = 0; round < 5; round += 1) await fetchBlock(pool, 1, id)
    expect(limited.requests).toBe(1)
    const { values } = await context.metrics.rpcErrors.get()
    const counted = values.filter(({ value }) => value > 0)
    expect(counted).toEqual([{ labels: { provider: new URL(limited.url).host, code: 'rate-limited' }, value: 1 }])
  })

  it('that stalls is given up', async () => {
    if (whole === undefined) return
    const [stalled, other] = [await startNode([whole]), await startNode([whole])]
    stalled.delayMs = 1_000
    expect(await fetchBlock(startPool([stalled.url, other.url], 100).pool, 1, id)).toEqual(whole)
  })

  it('that is down or fails is tried again until it is there', async () => {
    if (whole === undefined) return
    const node = await startNode([whole])
    let failures = 3
    node.refuse = () => (failures-- > 0 ? { status: 502 } : undefined)
    expect(await fetchBlock(startPool([node.url]).pool, 1, id)).toEqual(whole)
    await node.close()
    const down = fetchBlock(startPool([node.url]).pool, 1, id)
    await expect(down).rejects.toThrow(/^127\.0\.0\.1:\d+: batch: ECONNREFUSED$/)
  })

  it('without a finalized block has a head all the same', async () => {
    if (whole === undefined) return
    const node = await startNode([whole])
    const { pool } = startPool([node.url])
    expect(await fetchHead(pool)).toMatchObject({ link: { number: 4369999 }, finalTag: undefined })
    node.finalTag = 4369999
    expect(await fetchHead(pool)).toMatchObject({ link: { hash: whole.block.hash }, finalTag: 4369999 })
  })

  it('is asked by many at once within its rate and in few requests', async () => {
    if (whole === undefined) return
    const node = await startNode([whole])
    const { pool } = startPool([node.url])
    await Promise.all(Array.from({ length: 20 }, () => fetchHead(pool)))
    expect(node.requests).toBeLessThanOrEqual(3)
  })
})
