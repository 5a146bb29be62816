/** Consensus encodings of headers, transactions and receipts: what block hashes and roots are computed over. */
import { keccak256, toRlp } from 'viem/utils'
import type { Hex, RpcHeader, RpcReceipt, RpcTransaction } from './rpc-types.ts'

type Field = Hex | Field[]

/** Fields that a fork added, in the order in which they stand in the header. */
const forkFields = [
  'baseFeePerGas', // EIP-1559
  'withdrawalsRoot', // EIP-4895
  'blobGasUsed', // EIP-4844
  'excessBlobGas', // EIP-4844
  'parentBeaconBlockRoot', // EIP-4788
  'requestsHash', // EIP-7685
] as const
const forkQuantities: ReadonlySet<string> = new Set(['baseFeePerGas', 'blobGasUsed', 'excessBlobGas'])

/** Hash of a header: keccak256 of its RLP. Source: Yellow Paper §4.3, and the EIP of each later field. */
export function headerHash(header: RpcHeader): Hex {
  const fields: Field[] = [
    header.parentHash,
    header.sha3Uncles,
    header.miner,
    header.stateRoot,
    header.transactionsRoot,
    header.receiptsRoot,
    header.logsBloom,
    quantity(header.difficulty),
    quantity(header.number),
    quantity(header.gasLimit),
    quantity(header.gasUsed),
    quantity(header.timestamp),
    header.extraData,
    header.mixHash,
    header.nonce,
  ]
  for (const name of forkFields) {
    const value = header[name]
    if (value !== undefined) fields.push(forkQuantities.has(name) ? quantity(value) : value)
  }
  return keccak256(toRlp(fields))
}

/**
 * A signed transaction as it stands in the trie: its type's byte and its RLP.
 * Source: EIP-155 (legacy), EIP-2930, EIP-1559, EIP-4844, EIP-7702.
 * @returns undefined for a type that is not known here
 */
export function encodeTransaction(tx: RpcTransaction): Uint8Array | undefined {
  const call = [tx.to ?? '0x', quantity(tx.value), tx.input] as const
  const access = (tx.accessList ?? []).map((item): Field => [item.address, item.storageKeys])
  const signature = [quantity(tx.yParity ?? tx.v), quantity(tx.r), quantity(tx.s)]
  const head = [quantity(tx.chainId), quantity(tx.nonce)]
  const fees = [quantity(tx.maxPriorityFeePerGas), quantity(tx.maxFeePerGas), quantity(tx.gas)]
  switch (tx.type) {
    case '0x0':
      // Here `v` carries the chain id, so that yParity would not do.
      return toRlp(
        [quantity(tx.nonce), quantity(tx.gasPrice), quantity(tx.gas), ...call, quantity(tx.v), ...signature.slice(1)],
        'bytes',
      )
    case '0x1':
      return typed(1, [...head, quantity(tx.gasPrice), quantity(tx.gas), ...call, access, ...signature])
    case '0x2':
      return typed(2, [...head, ...fees, ...call, access, ...signature])
    case '0x3': {
      const blobs = [quantity(tx.maxFeePerBlobGas), tx.blobVersionedHashes ?? []]
      return typed(3, [...head, ...fees, ...call, access, ...blobs, ...signature])
    }
    case '0x4': {
      const authorizations = (tx.authorizationList ?? []).map((item): Field => [
        quantity(item.chainId),
        item.address,
        quantity(item.nonce),
        quantity(item.yParity),
        quantity(item.r),
        quantity(item.s),
      ])
      return typed(4, [...head, ...fees, ...call, access, authorizations, ...signature])
    }
    default:
      return undefined
  }
}

/**
 * A receipt as it stands in the trie. Source: Yellow Paper §4.3.1, EIP-658 (status instead of the state's root), EIP-2718.
 * @param bloom of the receipt's logs, computed from them
 */
export function encodeReceipt(receipt: RpcReceipt, bloom: Uint8Array): Uint8Array {
  const outcome = receipt.status === undefined ? (receipt.root ?? '0x') : quantity(receipt.status)
  const logs = receipt.logs.map((log): Field => [log.address, log.topics, log.data])
  const fields: Field[] = [outcome, quantity(receipt.cumulativeGasUsed), bytesToHex(bloom), logs]
  const type = Number(receipt.type)
  return type === 0 ? toRlp(fields, 'bytes') : typed(type, fields)
}

/** The three bits that an item sets in a bloom filter of 2,048. Source: Yellow Paper §4.3.1. */
export function bloomBits(item: Hex): readonly number[] {
  const hash = keccak256(item, 'bytes')
  return [0, 2, 4].map((at) => (((hash[at] ?? 0) << 8) | (hash[at + 1] ?? 0)) & 0x7ff)
}

export const bytesToHex = (bytes: Uint8Array): Hex => `0x${Buffer.from(bytes).toString('hex')}`

const typed = (type: number, fields: Field[]): Uint8Array => {
  const payload = toRlp(fields, 'bytes')
  const encoded = new Uint8Array(payload.length + 1)
  encoded[0] = type
  encoded.set(payload, 1)
  return encoded
}

/** RLP knows no leading zeros, and zero itself is empty. */
function quantity(value: Hex | undefined): Hex {
  const digits = (value ?? '0x').slice(2).replace(/^0+/, '')
  return digits.length % 2 === 0 ? `0x${digits}` : `0x0${digits}`
}
