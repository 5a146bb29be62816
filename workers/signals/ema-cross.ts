/** The EMA cross: a short average of the price crosses a long one while the RSI confirms the direction. */
import type { SignalDirection } from '../../schemas/types.ts'
import { ema, rsi, type EmaState, type RsiState } from './indicators.ts'

export const periods = { fast: 12, slow: 26, rsi: 14 } as const
/** Beyond 70 and 30 a market counts as overbought and oversold (Wilder, 1978): the move is late. */
const band = 20

const fast = ema(periods.fast)
const slow = ema(periods.slow)
const strength = rsi(periods.rsi)

/** Plain data. */
export interface CrossState {
  fast: EmaState
  slow: EmaState
  rsi: RsiState
  /** The fast average less the slow one after the last value; null while they warm up. */
  spread: number | null
}

export interface Cross {
  readonly direction: SignalDirection
  readonly rsi: number
  /** 0 to 1: how far the RSI is from the middle within its band. */
  readonly strength: number
}

export const emptyCross = (): CrossState => ({
  fast: fast.empty(),
  slow: slow.empty(),
  rsi: strength.empty(),
  spread: null,
})

/**
 * Adds the next closes, one a second.
 * @param quiet how many seconds before it repeated the price before
 * @returns the cross, where the averages have changed sides since the last call and the RSI is on the new side and not
 *   past its band
 */
export function addClose(state: CrossState, close: number, quiet: number): Cross | undefined {
  const before = state.spread
  for (let second = 0; second < quiet; second += 1) addValue(state, state.rsi.last ?? close)
  const index = addValue(state, close)
  const now = state.spread
  if (before === null || now === null || index === undefined || now === 0 || before > 0 === now > 0) return undefined
  const direction = now > 0 ? 'long' : 'short'
  const lead = direction === 'long' ? index - 50 : 50 - index
  return lead > 0 && lead <= band ? { direction, rsi: index, strength: lead / band } : undefined
}

function addValue(state: CrossState, value: number): number | undefined {
  const [quick, steady] = [fast.add(state.fast, value), slow.add(state.slow, value)]
  state.spread = quick === undefined || steady === undefined ? null : quick - steady
  return strength.add(state.rsi, value)
}
