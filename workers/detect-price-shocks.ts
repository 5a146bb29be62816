/** Finds prices that move further within seconds than the watch file calls ordinary. */
import { topics } from '../schemas/topics.ts'
import type { MarketTrade } from '../schemas/types.ts'
import { toPrice } from './decimal.ts'
import { addTick, emptyPriceWindow, hasThree, largestMove, type PriceWindow } from './patterns/price-window.ts'
import { percent } from './patterns/words.ts'
import { defineProcessor, type Micros } from './runtime/definitions.ts'
import type { Watch } from './runtime/watch.ts'

interface State {
  /** Newest event time of the symbol's trades. */
  newest: Micros
  window: PriceWindow
  /** Until then trades belong to the shock that was told. */
  episodeUntil: Micros
}

/**
 * Trades → price shocks. A shock is told when the move is reached, once: it lasts until a whole window has passed in
 * which no trade stood that far from the window's high or low, so a crash and its rebound are one.
 */
export const detectPriceShocks = defineProcessor<MarketTrade, State, Watch['detection']['priceShock']>({
  name: 'detect-price-shocks',
  module: import.meta.url,
  inputs: [topics.marketTrades],
  outputs: [topics.patternsMatches],
  state: { version: 1, empty: () => ({ newest: 0, window: emptyPriceWindow(), episodeUntil: 0 }) },
  settings: (watch) => watch.detection.priceShock,
  process(trade, state, emit, at) {
    const { move: threshold, within } = at.settings
    if (trade.ts < state.newest - within) return at.late()
    // Trades a few milliseconds out of order count at the newest time, which keeps the window sorted, and a trade ahead of time
    // counts now: it makes no other late.
    state.newest = Math.max(state.newest, Math.min(trade.ts, at.time))
    const tick = { ts: state.newest, price: toPrice(trade.price), text: trade.price, id: trade.id }
    addTick(state.window, tick, within)
    const shock = largestMove(state.window)
    if (shock === undefined || Math.abs(shock.move) < threshold || !hasThree(state.window, within)) return
    const told = state.newest <= state.episodeUntil
    state.episodeUntil = state.newest + within
    if (told) return
    const { from, move } = shock
    const size = Math.abs(move)
    const seconds = (state.newest - from.ts) / 1_000_000
    emit(topics.patternsMatches, {
      id: `price-shock:${from.id}:${trade.id}`,
      pattern: 'price-shock',
      subject: at.key,
      ts: state.newest,
      start: from.ts,
      confidence: Math.min(1, size / (2 * threshold)),
      summary: `${trade.symbol} ${move < 0 ? 'fell' : 'rose'} ${percent(size)} in ${seconds.toFixed(1)} s to ${trade.price}.`,
      venue: trade.venue,
      symbol: trade.symbol,
      chainId: null,
      wallets: [],
      evidence: [from.id, trade.id],
      facts: {
        direction: move < 0 ? 'down' : 'up',
        move: move.toFixed(6),
        from: from.text,
        to: trade.price,
        seconds: String(seconds),
      },
    })
  },
})
