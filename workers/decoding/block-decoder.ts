/** Takes a whole block apart: transactions, transfers, swaps, logs of watched contracts, and activity of wallets. */
import type {
  BlockLog,
  BlockTransaction,
  ChainBlock,
  ChainLog,
  ChainSwap,
  ChainTransaction,
  ChainTransfer,
  WalletActivity,
} from '../../schemas/types.ts'
import { decodeLog, zeroAddress, type Movement } from './decode-logs.ts'

/** What is watched on the block's chain. */
export interface Watched {
  /** Contracts whose every log is wanted. */
  readonly contracts: ReadonlySet<string>
  /** The token that wraps the native currency: its deposits and withdrawals are mints and burns of standard `weth`. */
  readonly wrapped: string | undefined
}

/** What a block held, each kind in the order of transactions and logs. */
export interface Decoded {
  readonly transactions: readonly ChainTransaction[]
  readonly transfers: readonly ChainTransfer[]
  readonly swaps: readonly ChainSwap[]
  readonly logs: readonly ChainLog[]
  readonly activity: readonly WalletActivity[]
  /** Ids of logs that carry a known signature but not its content; nothing else is said of them. */
  readonly malformed: readonly string[]
}

interface Parts {
  transactions: ChainTransaction[]
  transfers: ChainTransfer[]
  swaps: ChainSwap[]
  logs: ChainLog[]
  activity: WalletActivity[]
  malformed: string[]
}

const nothingWatched: Watched = { contracts: new Set(), wrapped: undefined }

/** Decodes a block; what it gives carries the block's own removed, revision and finalized. */
export function decodeBlock(block: ChainBlock, watched: Watched = nothingWatched): Decoded {
  const parts: Parts = { transactions: [], transfers: [], swaps: [], logs: [], activity: [], malformed: [] }
  for (const tx of block.transactions) {
    parts.transactions.push(transactionOf(block, tx))
    if (tx.success && tx.value !== '0') addTransfer(parts, nativeTransfer(block, tx))
    for (const log of tx.logs) addLog(parts, block, tx, log, watched)
  }
  return parts
}

function addLog(parts: Parts, block: ChainBlock, tx: BlockTransaction, log: BlockLog, watched: Watched): void {
  const id = `${block.chainId}:${block.blockHash}:${tx.hash}:${log.logIndex}`
  if (watched.contracts.has(log.address)) parts.logs.push(logOf(block, tx, log, id))
  const decoded = decodeLog(log, watched.wrapped)
  switch (decoded.kind) {
    case 'movements':
      for (const movement of decoded.movements) addTransfer(parts, tokenTransfer(block, tx, log, id, movement))
      return
    case 'swap':
      parts.swaps.push({
        id,
        ...placeOf(block),
        txHash: tx.hash,
        txIndex: tx.index,
        logIndex: log.logIndex,
        pool: log.address,
        trader: tx.from,
        ...decoded.swap,
      })
      return
    case 'malformed':
      parts.malformed.push(id)
      return
    case 'other':
  }
}

function addTransfer(parts: Parts, transfer: ChainTransfer): void {
  parts.transfers.push(transfer)
  if (transfer.from !== zeroAddress) parts.activity.push(activityOf(transfer, 'out'))
  if (transfer.to !== zeroAddress) parts.activity.push(activityOf(transfer, 'in'))
}

function transactionOf(block: ChainBlock, tx: BlockTransaction): ChainTransaction {
  return {
    id: `${block.chainId}:${block.blockHash}:${tx.hash}`,
    ...placeOf(block),
    txHash: tx.hash,
    txIndex: tx.index,
    from: tx.from,
    to: tx.to,
    value: tx.value,
    nonce: tx.nonce,
    method: tx.input.length >= 10 ? tx.input.slice(0, 10) : null,
    gasUsed: tx.gasUsed,
    effectiveGasPrice: tx.effectiveGasPrice,
    success: tx.success,
    contractAddress: tx.contractAddress,
  }
}

/** Only what the transaction itself carries; what contracts pass on among themselves needs traces. */
function nativeTransfer(block: ChainBlock, tx: BlockTransaction): ChainTransfer {
  return {
    id: `${block.chainId}:${block.blockHash}:${tx.hash}:native`,
    ...placeOf(block),
    txHash: tx.hash,
    txIndex: tx.index,
    logIndex: null,
    standard: 'native',
    token: 'native',
    from: tx.from,
    to: tx.to ?? tx.contractAddress ?? zeroAddress,
    amount: tx.value,
    tokenId: null,
  }
}

function tokenTransfer(
  block: ChainBlock,
  tx: BlockTransaction,
  log: BlockLog,
  logId: string,
  movement: Movement,
): ChainTransfer {
  return {
    id: movement.batchIndex === null ? logId : `${logId}:${movement.batchIndex}`,
    ...placeOf(block),
    txHash: tx.hash,
    txIndex: tx.index,
    logIndex: log.logIndex,
    standard: movement.standard,
    token: log.address,
    from: movement.from,
    to: movement.to,
    amount: movement.amount,
    tokenId: movement.tokenId,
  }
}

function activityOf(transfer: ChainTransfer, direction: 'in' | 'out'): WalletActivity {
  const { id, from, to, ...rest } = transfer
  const [wallet, counterparty] = direction === 'in' ? [to, from] : [from, to]
  return { id: `${id}:${direction}`, ...rest, wallet, direction, counterparty }
}

function logOf(block: ChainBlock, tx: BlockTransaction, log: BlockLog, id: string): ChainLog {
  return {
    id,
    ...placeOf(block),
    txHash: tx.hash,
    txIndex: tx.index,
    logIndex: log.logIndex,
    address: log.address,
    topics: log.topics,
    data: log.data,
  }
}

const placeOf = ({ chainId, block, blockHash, ts, finalized, removed, revision }: ChainBlock) => {
  return { chainId, block, blockHash, ts, finalized, removed, revision }
}
