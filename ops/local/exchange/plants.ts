/** The events that are planted among the markets, and the decoys that look alike; all chosen by the seed. */
import type { Bend } from './market.ts'
import { seededRandom } from './random.ts'
import type { SymbolInfo } from './symbols.ts'

/** When things happen, in seconds after `arm()`; what has no time is not planted. */
export interface PlantTimes {
  readonly flashCrashAtS?: number
  readonly silenceAtS?: number
  /** Length of the silence, 15 s where it is not given. */
  readonly silenceS?: number
  /** Over how long the drifting decoy moves by 2 %, 60 s where it is not given. */
  readonly driftS?: number
}

/** A planted event that has begun; times in microseconds since the epoch. */
export type Planted =
  | {
      readonly what: 'flash-crash'
      /** BASE-QUOTE. */
      readonly symbol: string
      /** Start of the fall. */
      readonly at: number
      /** End of the fall, where the price is lowest. */
      readonly until: number
      /** Part of the price that is lost. */
      readonly fall: number
    }
  | { readonly what: 'silent-feed'; readonly symbol: string; readonly at: number; readonly until: number }

/** A symbol that behaves oddly and must not be taken for a planted event. */
export interface Decoy {
  readonly what: 'drift' | 'slow-trading'
  readonly symbol: string
}

/** Which symbols play which part; undefined where there are too few symbols. */
export interface Cast {
  readonly crash: SymbolInfo | undefined
  readonly silent: SymbolInfo | undefined
  readonly drift: SymbolInfo | undefined
  readonly slow: SymbolInfo | undefined
}

/**
 * Casts the parts: busy symbols crash and fall silent, others drift and trade slowly.
 * @param rateOf - trades a second of a symbol
 */
export function castParts(symbols: readonly SymbolInfo[], rateOf: (info: SymbolInfo) => number, seed: string): Cast {
  const random = seededRandom(`${seed}:cast`)
  const byRate = symbols.toSorted((left, right) => rateOf(right) - rateOf(left))
  const busy = Math.max(byRate.filter((info) => rateOf(info) >= 3).length, Math.min(4, byRate.length))
  const [crash, silent] = random.shuffled(byRate.slice(0, busy))
  const [slow, drift] = random.shuffled(byRate.slice(Math.max(busy, Math.ceil(byRate.length / 2))))
  return { crash, silent, drift, slow }
}

/** Falls by 9 to 12 % within 3 to 4 s, then wins back half of it over 40 s; takers come in crowds meanwhile. */
export function flashCrash(startMs: number, seed: string): { bend: Bend; fall: number; fallMs: number } {
  const random = seededRandom(`${seed}:crash`)
  const fall = random.between(0.09, 0.12)
  const fallMs = Math.round(random.between(3_000, 4_000))
  const recoveryMs = 40_000
  return {
    fall,
    fallMs,
    bend: {
      price(at) {
        const falling = Math.min(1, Math.max(0, (at - startMs) / fallMs))
        const recovering = Math.min(1, Math.max(0, (at - startMs - fallMs) / recoveryMs))
        return 1 - fall * (falling - recovering / 2)
      },
      activity: (at) => (at >= startMs && at < startMs + fallMs + 5_000 ? 5 : 1),
    },
  }
}

/** Moves by 2 %, up or down, at an even pace. */
export function drift(startMs: number, lengthMs: number, seed: string): Bend {
  const total = seededRandom(`${seed}:drift`).next() < 0.5 ? Math.log(1.02) : Math.log(0.98)
  return {
    price: (at) => Math.exp(total * Math.min(1, Math.max(0, (at - startMs) / lengthMs))),
    activity: () => 1,
  }
}
