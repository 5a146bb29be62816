/** Generates trade signals from one-second candles: EMA crosses confirmed by the RSI, and order-flow imbalance. */
import { topics } from '../schemas/topics.ts'
import type { MarketCandle, SignalDirection } from '../schemas/types.ts'
import { toPrice } from './decimal.ts'
import { percent } from './patterns/words.ts'
import { defineProcessor, type Micros } from './runtime/definitions.ts'
import { addClose, emptyCross, periods, type Cross, type CrossState } from './signals/ema-cross.ts'
import { addFlow, emptyFlow, flowWindow, type FlowState } from './signals/order-flow.ts'
import { second } from './windows.ts'

/** Seconds that each strategy speaks of: about twice the time it looks back. */
const horizons = { 'ema-cross': 60, 'order-flow': 60 } as const
type Strategy = keyof typeof horizons

/**
 * Seconds without a candle after which the averages begin anew. A shorter silence repeats the last close, so that an average
 * of twelve is one of twelve seconds.
 */
const longestQuiet = 60

interface State {
  /** End of the last candle; 0 before the first. */
  last: Micros
  cross: CrossState
  flow: FlowState
  /** Strategy and direction → when it was told last. */
  told: Record<string, Micros>
}

/** Candles of one second → signals; a strategy repeats a direction only after its horizon. */
export const generateSignals = defineProcessor<MarketCandle, State>({
  name: 'generate-signals',
  module: import.meta.url,
  inputs: [topics.marketCandles],
  outputs: [topics.signalsTrades],
  state: { version: 1, empty: () => ({ last: 0, cross: emptyCross(), flow: emptyFlow(), told: {} }) },
  process(candle, state, emit) {
    if (candle.interval !== '1s' || candle.ts <= state.last) return
    const quiet = (candle.ts - state.last) / second - 1
    state.last = candle.ts
    if (quiet > longestQuiet) state.cross = emptyCross()
    const cross = addClose(state.cross, toPrice(candle.close), quiet > longestQuiet ? 0 : quiet)
    const imbalance = addFlow(state.flow, candle.ts, Number(candle.buyVolume), Number(candle.volume), candle.trades)
    for (const found of [cross && crossSignal(cross), imbalance && flowSignal(imbalance)]) {
      if (!found) continue
      const name = `${found.strategy}:${found.direction}`
      const horizonS = horizons[found.strategy]
      if (candle.ts - (state.told[name] ?? -Infinity) < horizonS * second) continue
      state.told[name] = candle.ts
      const { id, venue, symbol, ts, close: price } = candle
      emit(topics.signalsTrades, { id: `${found.strategy}:${id}`, venue, symbol, ts, price, horizonS, ...found })
    }
  },
})

interface Found {
  readonly strategy: Strategy
  readonly direction: SignalDirection
  readonly strength: number
  readonly reason: string
}

function crossSignal({ direction, rsi, strength }: Cross): Found {
  const side = direction === 'long' ? 'above' : 'below'
  const reason = `The ${periods.fast} s EMA crossed ${side} the ${periods.slow} s EMA with RSI(${periods.rsi}) at ${rsi.toFixed(1)}.`
  return { strategy: 'ema-cross', direction, strength, reason }
}

function flowSignal(imbalance: number): Found {
  const strength = Math.abs(imbalance)
  const did = imbalance > 0 ? 'bought' : 'sold'
  const reason = `Takers ${did} ${percent((1 + strength) / 2)} of the volume of the last ${flowWindow / second} s.`
  return { strategy: 'order-flow', direction: imbalance > 0 ? 'long' : 'short', strength, reason }
}
