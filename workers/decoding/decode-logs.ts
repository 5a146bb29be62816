/** What the logs of token contracts and automated market makers say: movements of tokens, and swaps. */
import type { BlockLog } from '../../schemas/types.ts'
import { addressAt, intAt, uintAt, uintsAt, wordCount } from './hex-words.ts'

export const zeroAddress = '0x0000000000000000000000000000000000000000'

/** Tokens that moved, as one log tells it; a batch tells of several. */
export interface Movement {
  readonly standard: 'erc20' | 'erc721' | 'erc1155' | 'weth'
  readonly from: string
  readonly to: string
  readonly amount: string
  readonly tokenId: string | null
  /** Place within a batch, where it is one. */
  readonly batchIndex: number | null
}

/** A swap, amounts signed, positive into the pool. */
export interface PoolSwap {
  readonly protocol: 'uniswap-v2' | 'uniswap-v3'
  readonly sender: string
  readonly recipient: string
  readonly amount0: string
  readonly amount1: string
}

export type DecodedLog =
  | { readonly kind: 'movements'; readonly movements: readonly Movement[] }
  | { readonly kind: 'swap'; readonly swap: PoolSwap }
  /** A log of none of these kinds. */
  | { readonly kind: 'other' }
  /** It carries the signature of one of these kinds but not its content. */
  | { readonly kind: 'malformed' }

const other: DecodedLog = { kind: 'other' }
const malformed: DecodedLog = { kind: 'malformed' }

type Decoder = (topics: readonly string[], data: string) => DecodedLog

/** keccak256 of each event's signature → its decoder; a test computes the hashes again. */
const decoders: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  // Transfer(address,address,uint256): ERC-20, and with an indexed id ERC-721
  ['0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef', decodeTransfer],
  // TransferSingle(address,address,address,uint256,uint256): ERC-1155
  ['0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62', decodeSingle],
  // TransferBatch(address,address,address,uint256[],uint256[]): ERC-1155
  ['0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb', decodeBatch],
  // Swap(address,uint256,uint256,uint256,uint256,address): Uniswap V2 pairs
  ['0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822', decodeV2Swap],
  // Swap(address,address,int256,int256,uint160,uint128,int24): Uniswap V3 pools
  ['0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67', decodeV3Swap],
])

/** Only contracts that are known to wrap the native currency are asked: others use the same signatures otherwise. */
const wrapDecoders: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  // Deposit(address,uint256)
  [
    '0xe1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c',
    (topics, data) => decodeWrap(topics, data, 'in'),
  ],
  // Withdrawal(address,uint256)
  [
    '0x7fcf532c15f0a6db0bd6d0e038bea71d30d808c7d98cb3bf7268a95bf5081b65',
    (topics, data) => decodeWrap(topics, data, 'out'),
  ],
])

/** Decodes a log. @param wrapped address of the chain's wrapped native currency, where it is known */
export function decodeLog(log: BlockLog, wrapped: string | undefined): DecodedLog {
  const [signature] = log.topics
  if (signature === undefined) return other
  const decoder = decoders.get(signature) ?? (log.address === wrapped ? wrapDecoders.get(signature) : undefined)
  return decoder?.(log.topics, log.data) ?? other
}

/** Source: EIP-20 and EIP-721; they differ in whether the third argument is indexed. */
function decodeTransfer([, from, to, id]: readonly string[], data: string): DecodedLog {
  if (from === undefined || to === undefined) return malformed
  const sides = { from: addressAt(from, 0), to: addressAt(to, 0), batchIndex: null }
  if (id !== undefined && wordCount(data) === 0) {
    return movement({ standard: 'erc721', ...sides, amount: '1', tokenId: uintAt(id, 0).toString() })
  }
  if (id !== undefined || wordCount(data) !== 1) return malformed
  return movement({ standard: 'erc20', ...sides, amount: uintAt(data, 0).toString(), tokenId: null })
}

/** Source: EIP-1155. */
function decodeSingle([, , from, to]: readonly string[], data: string): DecodedLog {
  if (from === undefined || to === undefined || wordCount(data) !== 2) return malformed
  return movement({
    standard: 'erc1155',
    from: addressAt(from, 0),
    to: addressAt(to, 0),
    amount: uintAt(data, 1).toString(),
    tokenId: uintAt(data, 0).toString(),
    batchIndex: null,
  })
}

function decodeBatch([, , from, to]: readonly string[], data: string): DecodedLog {
  if (from === undefined || to === undefined || !(wordCount(data) >= 4)) return malformed
  const [ids, amounts] = [uintsAt(data, 0), uintsAt(data, 1)]
  if (ids === undefined || amounts?.length !== ids.length) return malformed
  const movements = ids.map((id, index): Movement => ({
    standard: 'erc1155',
    from: addressAt(from, 0),
    to: addressAt(to, 0),
    amount: (amounts[index] ?? 0n).toString(),
    tokenId: id.toString(),
    batchIndex: index,
  }))
  return { kind: 'movements', movements }
}

/** Source: canonical WETH9; a deposit is a mint to the depositor, a withdrawal a burn. */
function decodeWrap([, owner]: readonly string[], data: string, way: 'in' | 'out'): DecodedLog {
  if (owner === undefined || wordCount(data) !== 1) return malformed
  const wallet = addressAt(owner, 0)
  return movement({
    standard: 'weth',
    from: way === 'in' ? zeroAddress : wallet,
    to: way === 'in' ? wallet : zeroAddress,
    amount: uintAt(data, 0).toString(),
    tokenId: null,
    batchIndex: null,
  })
}

/** Source: Uniswap v2-core, IUniswapV2Pair: amount0In, amount1In, amount0Out, amount1Out. */
function decodeV2Swap([, sender, to]: readonly string[], data: string): DecodedLog {
  if (sender === undefined || to === undefined || wordCount(data) !== 4) return malformed
  return swap({
    protocol: 'uniswap-v2',
    sender: addressAt(sender, 0),
    recipient: addressAt(to, 0),
    amount0: (uintAt(data, 0) - uintAt(data, 2)).toString(),
    amount1: (uintAt(data, 1) - uintAt(data, 3)).toString(),
  })
}

/** Source: Uniswap v3-core, IUniswapV3PoolEvents: amount0, amount1 as changes of the pool's balances. */
function decodeV3Swap([, sender, recipient]: readonly string[], data: string): DecodedLog {
  if (sender === undefined || recipient === undefined || wordCount(data) !== 5) return malformed
  return swap({
    protocol: 'uniswap-v3',
    sender: addressAt(sender, 0),
    recipient: addressAt(recipient, 0),
    amount0: intAt(data, 0).toString(),
    amount1: intAt(data, 1).toString(),
  })
}

const movement = (one: Movement): DecodedLog => ({ kind: 'movements', movements: [one] })
const swap = (one: PoolSwap): DecodedLog => ({ kind: 'swap', swap: one })
