/** Turns what a node answered into the record of a block. */
import type { BlockTransaction, ChainBlock } from '../../schemas/types.ts'
import type { Hex, RpcReceipt, RpcTransaction, WholeBlock } from './rpc-types.ts'

/**
 * The record of an added block.
 * @param written what the log adds: finality and revision when it is written, and when it was read
 */
export function blockRecord(
  chainId: number,
  { block, receipts }: WholeBlock,
  written: Pick<ChainBlock, 'finalized' | 'revision' | 'receivedAt'>,
): ChainBlock {
  return {
    id: `${chainId}:${block.hash}`,
    chainId,
    block: Number(block.number),
    blockHash: block.hash,
    parentHash: block.parentHash,
    ts: Number(block.timestamp) * 1_000_000,
    receivedAt: written.receivedAt,
    miner: block.miner,
    gasLimit: decimal(block.gasLimit),
    gasUsed: decimal(block.gasUsed),
    baseFeePerGas: block.baseFeePerGas === undefined ? null : decimal(block.baseFeePerGas),
    stateRoot: block.stateRoot,
    transactionsRoot: block.transactionsRoot,
    receiptsRoot: block.receiptsRoot,
    transactions: block.transactions.flatMap((tx, index) => {
      const receipt = receipts[index]
      return receipt === undefined ? [] : [transactionRecord(tx, index, receipt)]
    }),
    finalized: written.finalized,
    removed: false,
    revision: written.revision,
  }
}

function transactionRecord(tx: RpcTransaction, index: number, receipt: RpcReceipt): BlockTransaction {
  return {
    hash: tx.hash,
    index,
    from: tx.from,
    to: tx.to ?? null,
    value: decimal(tx.value),
    nonce: Number(tx.nonce),
    type: Number(tx.type),
    input: tx.input,
    gas: decimal(tx.gas),
    gasUsed: decimal(receipt.gasUsed),
    effectiveGasPrice: decimal(receipt.effectiveGasPrice ?? tx.gasPrice ?? '0x0'),
    // Receipts before Byzantium (EIP-658) do not say whether the call failed; value then counts as moved.
    success: receipt.status === undefined || Number(receipt.status) === 1,
    contractAddress: receipt.contractAddress ?? null,
    logs: receipt.logs.map((log) => ({
      logIndex: Number(log.logIndex),
      address: log.address,
      topics: log.topics,
      data: log.data,
    })),
  }
}

const decimal = (quantity: Hex): string => BigInt(quantity).toString()
