/**
 * Streaming indicators, seeded as TA-Lib seeds them. Their state is plain data that a step keeps; `add` takes the next value
 * and says what the indicator is then, undefined while it warms up. The past never changes.
 */

export interface Indicator<State> {
  empty(): State
  add(state: State, value: number): number | undefined
}

export interface EmaState {
  count: number
  /** Sum of the values until there are enough, then the average. */
  value: number
}

/** Exponential moving average with α = 2 / (period + 1), beginning with the simple average of the first `period` values. */
export function ema(period: number): Indicator<EmaState> {
  const alpha = 2 / (period + 1)
  return {
    empty: () => ({ count: 0, value: 0 }),
    add(state, value) {
      if (state.count < period) {
        state.count += 1
        state.value += value
        if (state.count < period) return undefined
        state.value /= period
      } else state.value += (value - state.value) * alpha
      return state.value
    },
  }
}

export interface RsiState {
  /** Changes so far, counted up to the period. */
  count: number
  last: number | null
  /** Sums until there are enough changes, then Wilder's averages. */
  gain: number
  loss: number
}

/**
 * Relative strength index (Wilder, New Concepts in Technical Trading Systems, 1978), 0 to 100: the averages begin with
 * the simple ones of the first `period` changes. Where nothing has moved at all it is 0, as in TA-Lib.
 */
export function rsi(period: number): Indicator<RsiState> {
  return {
    empty: () => ({ count: 0, last: null, gain: 0, loss: 0 }),
    add(state, value) {
      const change = value - (state.last ?? value)
      const isFirst = state.last === null
      state.last = value
      if (isFirst) return undefined
      const [gain, loss] = [Math.max(0, change), Math.max(0, -change)]
      if (state.count < period) {
        state.count += 1
        state.gain += gain
        state.loss += loss
        if (state.count < period) return undefined
        state.gain /= period
        state.loss /= period
      } else {
        state.gain = (state.gain * (period - 1) + gain) / period
        state.loss = (state.loss * (period - 1) + loss) / period
      }
      const moved = state.gain + state.loss
      return moved === 0 ? 0 : (100 * state.gain) / moved
    },
  }
}
