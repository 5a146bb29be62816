/** Proves a block and its receipts against the header's hash: a node that leaves out a log or mixes blocks is found out. */
import { keccak256, numberToHex, stringToBytes } from 'viem/utils'
import { bloomBits, bytesToHex, encodeReceipt, encodeTransaction, headerHash } from './encode.ts'
import type { Hex, RpcBlock, RpcReceipt, WholeBlock } from './rpc-types.ts'
import { orderedTrieRoot } from './trie-root.ts'

/** Where a chain departs from Ethereum's rules. */
interface Quirks {
  /** Bor appends a transaction of its own to some blocks, which the header does not commit to. */
  readonly stateSync?: true
  /** Types whose encoding needs what nodes do not serve; a block that holds one has an unchecked transactions root. */
  readonly opaqueTypes?: readonly Hex[]
  /** Transactions of accounts that a development node impersonates carry no signature, and a hash of their own. */
  readonly impersonation?: true
}

/** Polygon's state-sync transactions: PIP-74 (type 0x7f) since 2025, an appendix to the block before. */
const bor: Quirks = { stateSync: true, opaqueTypes: ['0x7f'] }
const quirks: Readonly<Record<number, Quirks>> = {
  137: bor,
  80002: bor,
  31337: { impersonation: true },
}

/**
 * Checks a whole block: the hash of the header, the roots of transactions and receipts, the bloom filter, gas that adds
 * up and log indexes without a gap. What no root commits to (senders, effective gas prices) is taken on trust.
 * @returns the first fault in words, or undefined where all holds
 */
export function faultOf(chainId: number, { block, receipts }: WholeBlock): string | undefined {
  const rules = quirks[chainId] ?? {}
  const appended = rules.stateSync === true ? stateSyncHash(block) : undefined
  return (
    headerFault(block) ??
    pairingFault(block, receipts) ??
    transactionsFault(block, rules, appended) ??
    receiptsFault(
      block,
      receipts.filter((receipt) => receipt.transactionHash !== appended),
    ) ??
    logIndexFault(receipts)
  )
}

function headerFault(block: RpcBlock): string | undefined {
  const hash = headerHash(block)
  return hash === block.hash ? undefined : `the header hashes to ${hash}, not to ${block.hash}`
}

function pairingFault(block: RpcBlock, receipts: readonly RpcReceipt[]): string | undefined {
  if (receipts.length !== block.transactions.length) {
    return `${block.transactions.length} transactions have ${receipts.length} receipts`
  }
  for (const [index, tx] of block.transactions.entries()) {
    const receipt = receipts[index]
    if (Number(tx.transactionIndex) !== index) return `transaction ${index} calls itself ${tx.transactionIndex}`
    if (receipt?.transactionHash !== tx.hash) return `receipt ${index} is not of transaction ${tx.hash}`
    if (receipt.blockHash !== block.hash) return `receipt ${index} is of block ${receipt.blockHash}`
  }
  return undefined
}

function transactionsFault(block: RpcBlock, rules: Quirks, appended: Hex | undefined): string | undefined {
  if (block.transactions.some((tx) => rules.opaqueTypes?.includes(tx.type))) return undefined
  const encoded: Uint8Array[] = []
  for (const tx of block.transactions) {
    if (tx.hash === appended) continue
    const bytes = encodeTransaction(tx)
    if (bytes === undefined) return `transaction ${tx.hash} is of type ${tx.type}, which cannot be verified yet`
    if (rules.impersonation !== true && keccak256(bytes) !== tx.hash)
      return `transaction ${tx.hash} does not hash to its hash`
    encoded.push(bytes)
  }
  const root = orderedTrieRoot(encoded)
  return root === block.transactionsRoot
    ? undefined
    : `the transactions' root is ${root}, not ${block.transactionsRoot}`
}

function receiptsFault(block: RpcBlock, receipts: readonly RpcReceipt[]): string | undefined {
  const blockBloom = new Uint8Array(256)
  // Hashing is most of the work, and a block names the same contracts and events over and over.
  const bits = new Map<Hex, readonly number[]>()
  const encoded: Uint8Array[] = []
  let gas = 0n
  for (const [index, receipt] of receipts.entries()) {
    gas += BigInt(receipt.gasUsed)
    if (gas !== BigInt(receipt.cumulativeGasUsed)) return `gas does not add up at receipt ${index}`
    const bloom = bloomOf(receipt, bits)
    bloom.forEach((byte, at) => (blockBloom[at] = (blockBloom[at] ?? 0) | byte))
    encoded.push(encodeReceipt(receipt, bloom))
  }
  if (gas !== BigInt(block.gasUsed)) return `the receipts used ${gas} gas, the block ${BigInt(block.gasUsed)}`
  if (bytesToHex(blockBloom) !== block.logsBloom) return "the logs' bloom filter is not the header's"
  const root = orderedTrieRoot(encoded)
  return root === block.receiptsRoot ? undefined : `the receipts' root is ${root}, not ${block.receiptsRoot}`
}

function logIndexFault(receipts: readonly RpcReceipt[]): string | undefined {
  let next = 0
  for (const receipt of receipts) {
    for (const log of receipt.logs) {
      if (Number(log.logIndex) !== next) return `log ${Number(log.logIndex)} stands where log ${next} should`
      if (log.transactionHash !== receipt.transactionHash) return `log ${next} is of another transaction`
      next += 1
    }
  }
  return undefined
}

function bloomOf(receipt: RpcReceipt, known: Map<Hex, readonly number[]>): Uint8Array {
  const bloom = new Uint8Array(256)
  for (const item of receipt.logs.flatMap((log) => [log.address, ...log.topics])) {
    const bits = known.get(item) ?? bloomBits(item)
    known.set(item, bits)
    for (const bit of bits) {
      const byte = 255 - (bit >> 3)
      bloom[byte] = (bloom[byte] ?? 0) | (1 << (bit & 7))
    }
  }
  return bloom
}

/** Source: bor, core/types/bor_receipt.go, GetDerivedBorTxHash(BorReceiptKey(number, hash)). */
function stateSyncHash(block: RpcBlock): Hex {
  const number = numberToHex(BigInt(block.number), { size: 8 })
  return keccak256(`${bytesToHex(stringToBytes('matic-bor-receipt-'))}${number.slice(2)}${block.hash.slice(2)}`)
}
