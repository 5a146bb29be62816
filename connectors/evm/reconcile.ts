/** Compares the chain that the log holds with a block that a node calls its own, and says what has to happen. */
import type { Link } from './rpc-types.ts'

export type Verdict =
  /** The log holds the block already, or the node is behind what is final. */
  | { readonly kind: 'known' | 'behind' }
  /** The block follows the tip. */
  | { readonly kind: 'extends' }
  /** Blocks between the tip and this one are missing, `from` being the first. */
  | { readonly kind: 'gap'; readonly from: number }
  /** `removed`, newest first, are no longer part of the chain; `branch`, oldest first, ends with the block. */
  | { readonly kind: 'reorganisation'; readonly removed: readonly Link[]; readonly branch: readonly Link[] }
  /** The block's ancestors differ from what is final. */
  | { readonly kind: 'beyond-final'; readonly branch: readonly Link[] }

/**
 * Reconciles as ponder does (https://github.com/ponder-sh/ponder, sync-realtime), except that a block which the log
 * already holds is never a reorganisation: the node is only behind.
 * @param local hash-linked blocks of the log, oldest first; the first is final and stays
 * @param remote the node's block
 * @param blockOf reads a header of the node by hash; its errors pass through
 */
export async function reconcile(
  local: readonly [Link, ...Link[]],
  remote: Link,
  blockOf: (hash: string) => Promise<Link>,
): Promise<Verdict> {
  const [final] = local
  const tip = local.at(-1) ?? final
  if (local.some(({ hash }) => hash === remote.hash)) return { kind: 'known' }
  if (remote.number <= final.number) return { kind: 'behind' }
  if (remote.number > tip.number + 1) return { kind: 'gap', from: tip.number + 1 }
  if (remote.parentHash === tip.hash) return { kind: 'extends' }
  const branch: [Link, ...Link[]] = [remote]
  const standing = local.slice(1).filter(({ number }) => number < remote.number)
  while ((standing.at(-1) ?? final).hash !== branch[0].parentHash) {
    if (standing.pop() === undefined) return { kind: 'beyond-final', branch }
    branch.unshift(await blockOf(branch[0].parentHash))
  }
  return { kind: 'reorganisation', removed: local.slice(1 + standing.length).toReversed(), branch }
}

/** The blocks from the first on as long as each is the next one's parent. */
export function linkedPrefix<T>(blocks: readonly T[], linkOf: (block: T) => Link): T[] {
  const end = blocks.findIndex((block, index) => {
    const previous = index === 0 ? undefined : blocks[index - 1]
    return previous !== undefined && linkOf(block).parentHash !== linkOf(previous).hash
  })
  return end < 0 ? [...blocks] : blocks.slice(0, end)
}
