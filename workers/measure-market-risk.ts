/** Measures each symbol's risk at every minute's close, from the log returns of one minute. */
import { topics } from '../schemas/topics.ts'
import type { MarketRisk, MarketTrade } from '../schemas/types.ts'
import { toPrice } from './decimal.ts'
import { addClose, addReturn, emptyRisk, figuresOf, type RiskState } from './risk/market-risk.ts'
import { defineProcessor, type Draft, type Micros, type Place } from './runtime/definitions.ts'
import { allowedLateness, marketOf, minute, windowStart } from './windows.ts'

/**
 * Minutes without a trade after which a symbol counts as out rather than quiet. Until then the last price stands: a
 * quiet minute has a return of 0. Afterwards no minute closes, and the jump to the first price after the outage, which
 * is no return of one minute, is left out.
 */
const quietMinutes = 60

interface Close {
  readonly start: Micros
  ts: Micros
  price: string
}

interface State {
  /** End of the minute that closed last; null while the symbol is out. */
  closedUntil: Micros | null
  /** Newest trade of each open minute, oldest first. */
  open: Close[]
  /** Last close; null where the next has no predecessor. */
  last: string | null
  /** Quiet minutes on end. */
  quiet: number
  risk: RiskState
}

/** Trades → risk, once a minute. */
export const measureMarketRisk = defineProcessor<MarketTrade, State>({
  name: 'measure-market-risk',
  module: import.meta.url,
  inputs: [topics.marketTrades],
  outputs: [topics.riskMarkets],
  state: { version: 1, empty: () => ({ closedUntil: null, open: [], last: null, quiet: 0, risk: emptyRisk() }) },
  process(trade, state, _emit, at) {
    const start = windowStart(trade.ts, minute)
    if (start < (state.closedUntil ?? 0) || start + minute + allowedLateness < at.time) return at.late()
    if (state.closedUntil === null) {
      // A straggler of the minute before may follow; a trade ahead of time makes no other late.
      state.closedUntil = windowStart(Math.min(trade.ts, at.time) - allowedLateness, minute)
      at.wakeAt(state.closedUntil + minute + allowedLateness)
    }
    toPrice(trade.price)
    const index = state.open.findLastIndex((close) => close.start <= start)
    const close = state.open[index]
    if (close?.start !== start) {
      state.open.splice(index + 1, 0, { start, ts: trade.ts, price: trade.price })
      if (state.quiet > quietMinutes) wakeAtFirst(state, at)
    } else if (trade.ts >= close.ts) [close.ts, close.price] = [trade.ts, trade.price]
  },
  onTime(_time, state, emit, at) {
    const start = (state.quiet > quietMinutes ? state.open[0]?.start : state.closedUntil) ?? 0
    const end = start + minute
    const close = state.open[0]?.start === start ? state.open.shift() : undefined
    state.quiet = close === undefined ? state.quiet + 1 : 0
    if (state.quiet > quietMinutes) {
      state.last = null
      state.closedUntil = state.open.length === 0 ? null : end
      return wakeAtFirst(state, at)
    }
    state.closedUntil = end
    at.wakeAt(end + minute + allowedLateness)
    const price = close?.price ?? state.last
    if (price === null) return
    if (state.last !== null) addReturn(state.risk, Math.log(toPrice(price) / toPrice(state.last)))
    addClose(state.risk, toPrice(price))
    state.last = price
    emit(topics.riskMarkets, riskOf(at.key, end, price, state.risk))
  },
})

/** While a symbol is out, the minutes up to its first trade are passed over, however many they are. */
function wakeAtFirst({ open: [first] }: State, at: Place<unknown>): void {
  if (first !== undefined) at.wakeAt(first.start + minute + allowedLateness)
}

function riskOf(key: string, ts: Micros, price: string, risk: RiskState): Draft<MarketRisk> {
  return { id: `${key}:risk:${ts}`, ...marketOf(key), ts, price, ...figuresOf(risk) }
}
