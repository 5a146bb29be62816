/** Root of the Merkle-Patricia trie of an ordered list, by which a header commits to its transactions and receipts. */
import { hexToBytes, keccak256, toRlp } from 'viem/utils'
import type { Hex } from './rpc-types.ts'

type Node = Uint8Array | Node[]

interface Entry {
  readonly nibbles: readonly number[]
  readonly value: Uint8Array
}

/** keccak256(rlp('')), the root of nothing. */
export const emptyRoot: Hex = '0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421'

/**
 * Root of the trie that maps rlp(index) to each item.
 * Source: Ethereum Yellow Paper, appendix D, and §4.3 for what the items are.
 */
export function orderedTrieRoot(items: readonly Uint8Array[]): Hex {
  if (items.length === 0) return emptyRoot
  const entries = items.map((value, index): Entry => ({ nibbles: nibblesOf(rlpIndex(index)), value }))
  return keccak256(encode(nodeOf(entries, 0)))
}

/** No key is the beginning of another (0x80, 0x01…0x7f, 0x81…, 0x82…), so branches hold no value of their own. */
function nodeOf(entries: readonly Entry[], depth: number): Node {
  const [first] = entries
  if (first === undefined) return new Uint8Array()
  if (entries.length === 1) return [compact(first.nibbles.slice(depth), true), first.value]
  let shared = depth
  while (entries.every(({ nibbles }) => nibbles[shared] === first.nibbles[shared])) shared += 1
  if (shared > depth) return [compact(first.nibbles.slice(depth, shared), false), reference(nodeOf(entries, shared))]
  const children = Array.from({ length: 16 }, (_, nibble) =>
    reference(
      nodeOf(
        entries.filter(({ nibbles }) => nibbles[depth] === nibble),
        depth + 1,
      ),
    ),
  )
  return [...children, new Uint8Array()]
}

/** A node stands in its parent itself where it is short, else by its hash. */
function reference(node: Node): Node {
  if (node instanceof Uint8Array) return node
  const encoded = encode(node)
  return encoded.length < 32 ? node : keccak256(encoded, 'bytes')
}

const encode = (node: Node): Uint8Array => toRlp(node, 'bytes')

/** Hex-prefix encoding, Yellow Paper appendix C. */
function compact(nibbles: readonly number[], leaf: boolean): Uint8Array {
  const flag = leaf ? 2 : 0
  const even = nibbles.length % 2 === 0 ? [flag, 0, ...nibbles] : [flag + 1, ...nibbles]
  return Uint8Array.from({ length: even.length / 2 }, (_, at) => ((even[at * 2] ?? 0) << 4) | (even[at * 2 + 1] ?? 0))
}

const nibblesOf = (bytes: Uint8Array): number[] => [...bytes].flatMap((byte) => [byte >> 4, byte & 15])

function rlpIndex(index: number): Uint8Array {
  const digits = index.toString(16)
  return toRlp(
    index === 0 ? new Uint8Array() : hexToBytes(`0x${digits.padStart(digits.length + (digits.length % 2), '0')}`),
    'bytes',
  )
}
