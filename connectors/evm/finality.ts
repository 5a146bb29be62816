/** Which block is final: nothing below it is ever taken back. */

/** Readers keep what is not final; this bounds it, as the design's contract says. */
export const mostUnfinalized = 128

export interface FinalityInput {
  /** Number of the chain's newest block. */
  readonly head: number
  /** How many blocks behind the head a block is final at the earliest. */
  readonly depth: number
  /** Number of the block that the node calls `finalized`, where it knows one. */
  readonly tag: number | undefined
}

/**
 * Number of the newest final block: behind the head by the depth, or further where the node's own `finalized` is
 * further behind, but never by more than 128 blocks.
 */
export function finalNumber({ head, depth, tag }: FinalityInput): number {
  const cautious = Math.min(head - depth, tag ?? head)
  return Math.max(0, head - mostUnfinalized, cautious)
}
