/** What Ethereum nodes answer, checked at the boundary: blocks with whole transactions, and receipts. */
import { z } from 'zod'

/** Even where a node capitalises, everything of ours is lower case. */
const hex = z
  .string()
  .regex(/^0x[0-9a-fA-F]*$/, 'expected 0x and hex digits')
  .transform((text) => `0x${text.slice(2).toLowerCase()}` as const)
const optional = hex.nullish().transform((value) => value ?? undefined)

export type Hex = z.output<typeof hex>

const AccessList = z.array(z.object({ address: hex, storageKeys: z.array(hex) }))
const Authorizations = z.array(z.object({ chainId: hex, address: hex, nonce: hex, yParity: hex, r: hex, s: hex }))

/** https://ethereum.github.io/execution-apis/ → TransactionInfo; the fields differ by type. */
export const RpcTransaction = z.object({
  hash: hex,
  type: hex.default('0x0'),
  transactionIndex: hex,
  from: hex,
  to: optional,
  value: hex,
  nonce: hex,
  input: hex,
  gas: hex,
  gasPrice: optional,
  maxFeePerGas: optional,
  maxPriorityFeePerGas: optional,
  maxFeePerBlobGas: optional,
  blobVersionedHashes: z.array(hex).optional(),
  chainId: optional,
  accessList: AccessList.nullish(),
  authorizationList: Authorizations.optional(),
  v: optional,
  yParity: optional,
  r: hex,
  s: hex,
})

/** https://ethereum.github.io/execution-apis/ → Block; what forks added is absent before them. */
export const RpcHeader = z.object({
  number: hex,
  hash: hex,
  parentHash: hex,
  sha3Uncles: hex,
  miner: hex,
  stateRoot: hex,
  transactionsRoot: hex,
  receiptsRoot: hex,
  logsBloom: hex,
  difficulty: hex.default('0x0'),
  gasLimit: hex,
  gasUsed: hex,
  timestamp: hex,
  extraData: hex,
  mixHash: hex,
  nonce: hex,
  baseFeePerGas: optional,
  withdrawalsRoot: optional,
  blobGasUsed: optional,
  excessBlobGas: optional,
  parentBeaconBlockRoot: optional,
  requestsHash: optional,
})

export const RpcBlock = RpcHeader.extend({ transactions: z.array(RpcTransaction) })

/** https://ethereum.github.io/execution-apis/ → ReceiptInfo; `root` instead of `status` before Byzantium. */
export const RpcReceipt = z.object({
  blockHash: hex,
  transactionHash: hex,
  type: hex.default('0x0'),
  status: optional,
  root: optional,
  gasUsed: hex,
  cumulativeGasUsed: hex,
  effectiveGasPrice: optional,
  contractAddress: optional,
  logs: z.array(z.object({ address: hex, topics: z.array(hex), data: hex, logIndex: hex, transactionHash: hex })),
})

export type RpcTransaction = z.output<typeof RpcTransaction>
export type RpcHeader = z.output<typeof RpcHeader>
export type RpcBlock = z.output<typeof RpcBlock>
export type RpcReceipt = z.output<typeof RpcReceipt>

/** A block and the receipts of its transactions, in their order. */
export interface WholeBlock {
  readonly block: RpcBlock
  readonly receipts: readonly RpcReceipt[]
}

/** By which blocks are chained. */
export interface Link {
  readonly number: number
  readonly hash: string
  readonly parentHash: string
}

export const linkOf = (header: Pick<RpcHeader, 'number' | 'hash' | 'parentHash'>): Link => ({
  number: Number(header.number),
  hash: header.hash,
  parentHash: header.parentHash,
})
