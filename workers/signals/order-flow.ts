/** Order-flow imbalance: takers buy much more than they sell, or the other way round. */
import type { SignalDirection } from '../../schemas/types.ts'
import type { Micros } from '../runtime/definitions.ts'
import { second } from '../windows.ts'

/** How far the flow looks back. */
export const flowWindow: Micros = 30 * second
/** Below these the flow of the window is too thin to speak of. */
const least = { trades: 30, seconds: 10 }
/** From here on an imbalance is a signal; it must fall below the lower one before it is one again. */
const tells = 0.6
const calm = 0.3

const mostSeconds = flowWindow / second

/** Plain data: the seconds of the window, and the side that was told. */
export interface FlowState {
  seconds: { ts: Micros; buy: number; volume: number; trades: number }[]
  side: SignalDirection | null
}

export const emptyFlow = (): FlowState => ({ seconds: [], side: null })

/**
 * Adds a second's volume in base, and the part of it that takers bought.
 * @returns (buys − sells) / volume of the window, −1 to 1, where it has become a signal
 */
export function addFlow(state: FlowState, ts: Micros, buy: number, volume: number, trades: number): number | undefined {
  state.seconds.push({ ts, buy, volume, trades })
  while (state.seconds.length > mostSeconds || (state.seconds[0]?.ts ?? ts) <= ts - flowWindow) state.seconds.shift()
  // Summed anew each time: taking away what leaves would leave rounding errors behind.
  const sum = { buy: 0, volume: 0, trades: 0 }
  for (const part of state.seconds) {
    sum.buy += part.buy
    sum.volume += part.volume
    sum.trades += part.trades
  }
  if (sum.trades < least.trades || state.seconds.length < least.seconds || sum.volume === 0) return undefined
  const imbalance = (2 * sum.buy) / sum.volume - 1
  const size = Math.abs(imbalance)
  const side = imbalance > 0 ? 'long' : 'short'
  if (size < calm || side !== state.side) state.side = null
  if (size < tells || state.side !== null) return undefined
  state.side = side
  return imbalance
}
