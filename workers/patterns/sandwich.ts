/** Finds sandwiches among the swaps of one pool in one block. */

/** A swap as the search needs it; plain data. */
export interface PoolSwap {
  readonly id: string
  readonly txHash: string
  readonly trader: string
  /** Caller of the pool. */
  readonly sender: string
  /** Which token went into the pool. */
  readonly tokenIn: 0 | 1
  /** Integers in the smallest unit. */
  readonly amountIn: string
  readonly amountOut: string
}

export interface Sandwich {
  readonly front: PoolSwap
  readonly victims: readonly PoolSwap[]
  readonly back: PoolSwap
  /** |back in / front out − 1|: how far the attacker was from selling exactly what the first swap bought. */
  readonly mismatch: number
}

/** The most that the amount sold may differ from the amount bought. */
export const amountTolerance = 0.1

/**
 * Finds what Daian et al. ("Flash Boys 2.0", 2019) and mev-inspect-py call a sandwich: an attacker buys before and sells the
 * same amount after others who buy in between, in other transactions of the same block. A swap is part of one sandwich.
 * @param swaps in the order of the block
 */
export function findSandwiches(swaps: readonly PoolSwap[], minVictims: number): Sandwich[] {
  const found: Sandwich[] = []
  const used = new Set<PoolSwap>()
  swaps.forEach((front, start) => {
    for (let end = start + minVictims + 1; end < swaps.length && !used.has(front); end += 1) {
      const back = swaps[end]
      if (back === undefined || used.has(back)) continue
      const between = swaps.slice(start + 1, end).filter((swap) => !used.has(swap))
      const sandwich = sandwichOf(front, between, back)
      if (sandwich === undefined || sandwich.victims.length < minVictims) continue
      found.push(sandwich)
      for (const swap of [front, ...sandwich.victims, back]) used.add(swap)
    }
  })
  return found
}

function sandwichOf(front: PoolSwap, between: readonly PoolSwap[], back: PoolSwap): Sandwich | undefined {
  if (back.tokenIn === front.tokenIn || back.txHash === front.txHash) return undefined
  const mismatch = Math.abs(Number(back.amountIn) / Number(front.amountOut) - 1)
  if (!(mismatch <= amountTolerance)) return undefined
  const victims = between.filter(
    (swap) =>
      swap.tokenIn === front.tokenIn &&
      swap.trader !== front.trader &&
      swap.trader !== back.trader &&
      swap.txHash !== front.txHash &&
      swap.txHash !== back.txHash,
  )
  // A contract that only the attacker calls gives the attacker away behind several senders; a router is everybody's.
  const ownContract = front.sender === back.sender && between.every((swap) => swap.sender !== front.sender)
  return front.trader === back.trader || ownContract ? { front, victims, back, mismatch } : undefined
}
