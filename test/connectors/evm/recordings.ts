/** The recorded blocks in ../shared/fixtures/chain (see its README), as nodes answered them. */
import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { z } from 'zod'
import { RpcBlock, RpcReceipt, type WholeBlock } from '../../../connectors/evm/rpc-types.ts'
import type { BlockLog, BlockTransaction, ChainBlock } from '../../../schemas/types.ts'

const folder = new URL('../../../../shared/fixtures/chain/', import.meta.url)

export const haveRecordings = existsSync(folder)
export const withoutRecordings = haveRecordings ? '' : ' (skipped: ../shared/fixtures/chain is not there)'

const readText = (path: string): string => gunzipSync(readFileSync(new URL(path, folder))).toString()
const readJson = (path: string): unknown => JSON.parse(readText(path))

const Receipts = z.array(RpcReceipt)

/** Block 1000000, 4369999, 18000000 or 18500000 of Ethereum. */
export const ethereumBlock = (number: number): WholeBlock => ({
  block: RpcBlock.parse(readJson(`ethereum-blocks/${number}-block.json.gz`)),
  receipts: Receipts.parse(readJson(`ethereum-blocks/${number}-receipts.json.gz`)),
})

export const polygonBlock = (): WholeBlock => ({
  block: RpcBlock.parse(readJson('polygon-50000000/block.json.gz')),
  receipts: Receipts.parse(readJson('polygon-50000000/receipts.json.gz')),
})

const Preflight = z.object({
  full_blocks: z.array(z.tuple([z.unknown(), RpcBlock])),
  receipts: z.array(z.tuple([z.unknown(), Receipts])),
})

/** Ethereum's 18090205 to 18090218; receipts are in three of them. */
export function recordedChain(): { block: RpcBlock; receipts: readonly RpcReceipt[] | undefined }[] {
  return Array.from({ length: 14 }, (_, at) => {
    const { full_blocks, receipts } = Preflight.parse(readJson(`ethereum-chain-18090205/${18090205 + at}.json.gz`))
    const block = full_blocks[0]?.[1]
    if (block === undefined) throw new Error('a recording without a block')
    return { block, receipts: receipts[0]?.[1] }
  })
}

/** Integers beyond 2^53 in the file become text before they are parsed. */
const readLines = <T>(name: string, schema: z.ZodType<T>): T[] =>
  readText(`ethereum-etl-17173049/${name}.json.gz`)
    .trim()
    .split('\n')
    .map((line) => schema.parse(JSON.parse(line.replace(/: (\d{15,})/g, ': "$1"'))))

const integer = z.union([z.string(), z.number()]).transform(String)
const EtlBlock = z.object({ number: z.number(), hash: z.string(), parent_hash: z.string(), timestamp: z.number() })
const EtlTransaction = z.object({
  hash: z.string(),
  block_number: z.number(),
  transaction_index: z.number(),
  from_address: z.string(),
  to_address: z.string().nullable(),
  value: integer,
  input: z.string(),
  receipt_status: z.number(),
  receipt_contract_address: z.string().nullable(),
})
const EtlLog = z.object({
  log_index: z.number(),
  transaction_hash: z.string(),
  address: z.string(),
  data: z.string(),
  topics: z.array(z.string()),
})
const EtlTransfer = z.object({
  token_address: z.string(),
  from_address: z.string(),
  to_address: z.string(),
  value: integer,
  transaction_hash: z.string(),
  log_index: z.number(),
})

/** The token transfers that ethereum-etl found in blocks 17173049 and 17173050. */
export const etlTransfers = () => readLines('token_transfers', EtlTransfer)

/** Blocks 17173049 and 17173050 as records, put together from ethereum-etl's tables. */
export function etlBlocks(): ChainBlock[] {
  const logs = Map.groupBy(readLines('logs', EtlLog), (log) => log.transaction_hash)
  const transactions = readLines('transactions', EtlTransaction).map((tx): [number, BlockTransaction] => [
    tx.block_number,
    {
      hash: tx.hash,
      index: tx.transaction_index,
      from: tx.from_address,
      to: tx.to_address,
      value: tx.value,
      nonce: 0,
      type: 2,
      input: tx.input,
      gas: '0',
      gasUsed: '0',
      effectiveGasPrice: '0',
      success: tx.receipt_status === 1,
      contractAddress: tx.receipt_contract_address,
      logs: (logs.get(tx.hash) ?? []).map((log): BlockLog => ({
        logIndex: log.log_index,
        address: log.address,
        topics: log.topics,
        data: log.data,
      })),
    },
  ])
  return readLines('blocks', EtlBlock).map((block) =>
    emptyBlock({
      block: block.number,
      blockHash: block.hash,
      parentHash: block.parent_hash,
      ts: block.timestamp * 1_000_000,
      transactions: transactions.flatMap(([number, tx]) => (number === block.number ? [tx] : [])),
    }),
  )
}

/** A record of a block with only what a test is about. */
export function emptyBlock(some: Partial<ChainBlock>): ChainBlock {
  const { chainId = 1, blockHash = '0xb1' } = some
  return {
    id: `${chainId}:${blockHash}`,
    chainId,
    block: 1,
    blockHash,
    parentHash: '0xb0',
    ts: 1_700_000_000_000_000,
    receivedAt: 1_700_000_000_000_001,
    miner: '0x00',
    gasLimit: '0',
    gasUsed: '0',
    baseFeePerGas: null,
    stateRoot: '0x00',
    transactionsRoot: '0x00',
    receiptsRoot: '0x00',
    transactions: [],
    finalized: 0,
    removed: false,
    revision: 0,
    ...some,
  }
}
