/** Finds traders who buy before and sell after others in the same block of the same pool. */
import { topics } from '../schemas/topics.ts'
import type { ChainSwap, PatternMatch } from '../schemas/types.ts'
import { amountTolerance, findSandwiches, type PoolSwap, type Sandwich } from './patterns/sandwich.ts'
import { defineProcessor, type Draft, type Emit, type Micros } from './runtime/definitions.ts'
import { hour } from './windows.ts'

interface Settings {
  readonly minVictims: number
}

/** Swaps of a pool and block that are looked at: the work grows with their third power, and no chain comes near. */
const mostSwaps = 256

/** The swaps of the newest block with any. */
interface State {
  chainId: number
  pool: string
  block: number
  ts: Micros
  swaps: PoolSwap[]
  /** Ids of the block's matches that were told. */
  told: string[]
}

/** Swaps → sandwiches, when the block has passed. */
export const detectSandwiches = defineProcessor<ChainSwap, State, Settings>({
  name: 'detect-sandwiches',
  module: import.meta.url,
  inputs: [topics.chainSwaps],
  outputs: [topics.patternsMatches],
  state: {
    version: 1,
    empty: () => ({ chainId: 0, pool: '', block: 0, ts: 0, swaps: [], told: [] }),
    expiresAfter: hour,
  },
  settings: (watch) => watch.detection.sandwich,
  process(swap, state, emit, at) {
    const { chainId, pool, block, ts } = swap
    if (block !== state.block) {
      // Blocks of a fast chain may bear one time: then no wake-up falls between them, or one falls behind every swap.
      tell(state, emit, at.settings)
      Object.assign(state, { chainId, pool, block, ts, swaps: [], told: [] })
    }
    const known = poolSwap(swap)
    if (known !== undefined && state.swaps.length < mostSwaps) state.swaps.push(known)
    at.wakeAt(ts)
  },
  onTime(_time, state, emit, at) {
    tell(state, emit, at.settings)
  },
})

/** @returns undefined where nothing went in or nothing came out, as in a flash loan that was paid back in kind */
function poolSwap({ id, txHash, trader, sender, amount0, amount1 }: ChainSwap): PoolSwap | undefined {
  const [first, second] = [BigInt(amount0), BigInt(amount1)]
  if (first > 0n && second < 0n) {
    return { id, txHash, trader, sender, tokenIn: 0, amountIn: amount0, amountOut: String(-second) }
  }
  if (second > 0n && first < 0n) {
    return { id, txHash, trader, sender, tokenIn: 1, amountIn: amount1, amountOut: String(-first) }
  }
  return undefined
}

/** Tells what has not been told of the block. */
function tell(state: State, emit: Emit, { minVictims }: Settings): void {
  for (const sandwich of findSandwiches(state.swaps, minVictims)) {
    const match = matchOf(state, sandwich)
    if (state.told.includes(match.id)) continue
    state.told.push(match.id)
    emit(topics.patternsMatches, match)
  }
}

function matchOf(state: State, { front, victims, back, mismatch }: Sandwich): Draft<PatternMatch> {
  const { chainId, pool, ts, block } = state
  const attackers = [...new Set([front.trader, back.trader])]
  const profit = String(BigInt(back.amountOut) - BigInt(front.amountIn))
  const others = victims.length === 1 ? 'another trader' : `${victims.length} other swaps`
  return {
    id: `sandwich:${front.id}:${back.id}`,
    pattern: 'sandwich',
    subject: `${chainId}:${pool}`,
    ts,
    start: ts,
    confidence: 1 - mismatch / (2 * amountTolerance),
    summary: `${attackers.join(' and ')} traded before and after ${others} in block ${block} of pool ${pool}.`,
    venue: null,
    symbol: null,
    chainId,
    wallets: [...attackers, ...new Set(victims.map((victim) => victim.trader))],
    evidence: [front.id, ...victims.map((victim) => victim.id), back.id],
    facts: {
      attacker: front.trader,
      victims: String(victims.length),
      pool,
      block: String(block),
      /** In the smallest unit of the token that the attacker began with. */
      profit,
      frontTxHash: front.txHash,
      backTxHash: back.txHash,
    },
  }
}
