/** Reads the canonical chain by a plain loop and names every record that it should lead to. */
import { type Hash, type Hex, parseAbi, toEventSelector } from 'viem'
import type { ChainClient } from './client.ts'

export interface LedgerBlock {
  readonly number: number
  readonly hash: Hash
  readonly parentHash: Hash
  /** Microseconds since the epoch. */
  readonly ts: number
  readonly transactions: number
}

/** Ids are those of the topics' records: chainId:blockHash:txHash and behind it the log's index, or `native`. */
export interface Ledger {
  readonly blocks: readonly LedgerBlock[]
  readonly transactions: readonly string[]
  /** Value that a successful transaction itself carried to its recipient. */
  readonly nativeTransfers: readonly string[]
  readonly erc20Transfers: readonly string[]
  /** Uniswap V2. */
  readonly swaps: readonly string[]
}

export type LedgerRecord = {
  readonly kind: 'transactions' | 'nativeTransfers' | 'erc20Transfers' | 'swaps'
  readonly id: string
  readonly transaction: Hash
}

const [erc20Transfer = '0x', v2Swap = '0x'] = parseAbi([
  'event Transfer(address indexed from, address indexed to, uint256 value)',
  'event Swap(address indexed sender, uint256 amount0In, uint256 amount1In, uint256 amount0Out, uint256 amount1Out, address indexed to)',
]).map((event) => toEventSelector(event))

/** The chain from a block to its head. */
export async function readLedger(client: ChainClient, chainId: number, from = 0): Promise<Ledger> {
  const head = Number(await client.getBlockNumber({ cacheTime: 0 }))
  const blocks: LedgerBlock[] = []
  const records: LedgerRecord[] = []
  for (let number = from; number <= head; number++) {
    const block = await client.getBlock({ blockNumber: BigInt(number) })
    const { hash, parentHash, timestamp, transactions } = block
    blocks.push({ number, hash, parentHash, ts: Number(timestamp) * 1_000_000, transactions: transactions.length })
    if (transactions.length > 0) records.push(...(await readRecords(client, chainId, hash)))
  }
  const ids = (kind: LedgerRecord['kind']): string[] =>
    records.filter((found) => found.kind === kind).map(({ id }) => id)
  return {
    blocks,
    transactions: ids('transactions'),
    nativeTransfers: ids('nativeTransfers'),
    erc20Transfers: ids('erc20Transfers'),
    swaps: ids('swaps'),
  }
}

/** What one block leads to, in its order. */
export async function readRecords(client: ChainClient, chainId: number, blockHash: Hash): Promise<LedgerRecord[]> {
  const { transactions } = await client.getBlock({ blockHash, includeTransactions: true })
  const receipts = await client.getBlockReceipts({ blockHash })
  return transactions.flatMap(({ hash, value, to }, index) => {
    const receipt = receipts[index]
    if (receipt?.transactionHash !== hash) throw new Error(`block ${blockHash} has no receipt of ${hash}`)
    const id = `${chainId}:${blockHash}:${hash}`
    const native = receipt.status === 'success' && value > 0n && to !== null
    return [
      { kind: 'transactions' as const, id, transaction: hash },
      ...(native ? [{ kind: 'nativeTransfers' as const, id: `${id}:native`, transaction: hash }] : []),
      ...receipt.logs.flatMap((log) => {
        const kind = kindOf(log)
        return kind === undefined ? [] : [{ kind, id: `${id}:${log.logIndex}`, transaction: hash }]
      }),
    ]
  })
}

function kindOf({ topics }: { readonly topics: readonly Hex[] }): 'erc20Transfers' | 'swaps' | undefined {
  if (topics[0] === erc20Transfer && topics.length === 3) return 'erc20Transfers'
  return topics[0] === v2Swap ? 'swaps' : undefined
}
