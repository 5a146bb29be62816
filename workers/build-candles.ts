/** Builds the 1 s and 1 m candles of each symbol from its trades, with exact sums. */
import { topics } from '../schemas/topics.ts'
import type { MarketCandle, MarketTrade } from '../schemas/types.ts'
import { addDecimals, compareDecimals, multiplyDecimals } from './decimal.ts'
import { defineProcessor, type Draft, type Micros } from './runtime/definitions.ts'
import { allowedLateness, marketOf, minute, second, windowStart } from './windows.ts'

/** A candle that is still open. Open and close go by event time, since trades may come a little out of order. */
interface Window {
  readonly start: Micros
  open: string
  openTs: Micros
  high: string
  low: string
  close: string
  closeTs: Micros
  volume: string
  quoteVolume: string
  buyVolume: string
  trades: number
}

interface CandleState {
  /** Windows that end here or earlier are closed. */
  closedUntil: Micros
  /** Open windows, oldest first. */
  seconds: Window[]
  /** Sums of the closed seconds of each open minute, oldest first. */
  minutes: Window[]
}

const lengths = { '1s': second, '1m': minute } as const

/** Trades → candles. A window without trades has no candle; a minute is the sum of its seconds. */
export const buildCandles = defineProcessor<MarketTrade, CandleState>({
  name: 'build-candles',
  module: import.meta.url,
  inputs: [topics.marketTrades],
  outputs: [topics.marketCandles],
  state: { version: 1, empty: () => ({ closedUntil: 0, seconds: [], minutes: [] }) },
  process(trade, state, _emit, at) {
    const start = windowStart(trade.ts, second)
    const end = start + second
    if (end <= state.closedUntil || end + allowedLateness < at.time) return at.late()
    if (merge(state.seconds, windowOf(trade, start))) at.wakeAt(nextClose(state))
  },
  onTime(time, state, emit, at) {
    state.closedUntil = Math.max(state.closedUntil, windowStart(time - allowedLateness, second))
    for (const window of takeClosed(state.seconds, second, state.closedUntil)) {
      emit(topics.marketCandles, candleOf(at.key, window, '1s'))
      merge(state.minutes, { ...window, start: windowStart(window.start, minute) })
    }
    for (const window of takeClosed(state.minutes, minute, state.closedUntil)) {
      emit(topics.marketCandles, candleOf(at.key, window, '1m'))
    }
    const next = nextClose(state)
    if (next < Infinity) at.wakeAt(next)
  },
})

/** When the first of the open windows closes; Infinity where none is open. */
function nextClose({ seconds, minutes }: CandleState): Micros {
  const ends = [(seconds[0]?.start ?? Infinity) + second, (minutes[0]?.start ?? Infinity) + minute]
  return Math.min(...ends) + allowedLateness
}

const windowOf = (trade: MarketTrade, start: Micros): Window => ({
  start,
  open: trade.price,
  openTs: trade.ts,
  high: trade.price,
  low: trade.price,
  close: trade.price,
  closeTs: trade.ts,
  volume: trade.size,
  quoteVolume: multiplyDecimals(trade.price, trade.size),
  buyVolume: trade.side === 'buy' ? trade.size : '0',
  trades: 1,
})

/**
 * Adds `part` to the window of its start.
 * @returns whether it opened that window
 */
function merge(windows: Window[], part: Window): boolean {
  let index = windows.length
  while (index > 0 && (windows[index - 1]?.start ?? 0) > part.start) index -= 1
  const window = windows[index - 1]
  if (window?.start !== part.start) {
    windows.splice(index, 0, part)
    return true
  }
  // At equal times what the venue reported first opens, and what it reported last closes.
  if (part.openTs < window.openTs) [window.open, window.openTs] = [part.open, part.openTs]
  if (part.closeTs >= window.closeTs) [window.close, window.closeTs] = [part.close, part.closeTs]
  if (compareDecimals(part.high, window.high) > 0) window.high = part.high
  if (compareDecimals(part.low, window.low) < 0) window.low = part.low
  window.volume = addDecimals(window.volume, part.volume)
  window.quoteVolume = addDecimals(window.quoteVolume, part.quoteVolume)
  if (part.buyVolume !== '0') window.buyVolume = addDecimals(window.buyVolume, part.buyVolume)
  window.trades += part.trades
  return false
}

function takeClosed(windows: Window[], length: Micros, closedUntil: Micros): Window[] {
  const open = windows.findIndex((window) => window.start + length > closedUntil)
  return windows.splice(0, open < 0 ? windows.length : open)
}

function candleOf(key: string, window: Window, interval: keyof typeof lengths): Draft<MarketCandle> {
  const { start, openTs: _openTs, closeTs: _closeTs, ...figures } = window
  const ts = start + lengths[interval]
  return { id: `${key}:${interval}:${start}`, ...marketOf(key), interval, start, ts, ...figures }
}
