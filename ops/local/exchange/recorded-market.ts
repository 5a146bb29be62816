/** One symbol of a recording as an exchange would know it at the replay's present position: trades and book. */
import { unitsOf } from './decimal.ts'
import type { RecordedDepth, RecordedSnapshot, RecordedTrade } from './recording.ts'
import { listed, unlisted } from './symbols.ts'
import type { SymbolInfo } from './symbols.ts'
import { TradeLog } from './trade-log.ts'
import type { VenueMarket, WireLevel } from './venue.ts'

/** Recorded prices and quantities keep the wire's precision. */
const WIRE_DECIMALS = 8

export class RecordedMarket implements VenueMarket {
  readonly info: SymbolInfo
  readonly log: TradeLog
  private readonly bids = new Map<string, string>()
  private readonly asks = new Map<string, string>()
  private lastUpdateId = 0
  private last: RecordedTrade | undefined
  private aggregateId = 0

  constructor(symbol: string, firstTradeId: number) {
    this.info = listed(symbol) ?? unlisted(symbol)
    this.log = new TradeLog(firstTradeId, WIRE_DECIMALS, WIRE_DECIMALS)
  }

  /**
   * Adds a trade; what a recorder got twice counts once, and what it missed stays missing. Recordings do not say which
   * taker order a trade belongs to: trades in a row of one time, price and side count as one aggregate.
   */
  trade(trade: RecordedTrade): void {
    if (trade.t <= this.log.lastId) return
    this.log.skipTo(trade.t)
    const { last } = this
    if (last?.T !== trade.T || last.p !== trade.p || last.m !== trade.m) this.aggregateId++
    this.last = trade
    this.log.append({
      aggregateId: this.aggregateId,
      price: unitsOf(trade.p),
      quantity: unitsOf(trade.q),
      time: trade.T,
      buyerMaker: trade.m,
    })
  }

  /** Replaces the book by a snapshot, unless it is newer already. */
  snapshot({ lastUpdateId, bids, asks }: RecordedSnapshot): void {
    if (lastUpdateId < this.lastUpdateId) return
    this.lastUpdateId = lastUpdateId
    this.bids.clear()
    this.asks.clear()
    apply(this.bids, bids)
    apply(this.asks, asks)
  }

  /** Applies the changes that the book does not know yet. */
  update({ u, b, a }: RecordedDepth): void {
    if (u <= this.lastUpdateId) return
    this.lastUpdateId = u
    apply(this.bids, b)
    apply(this.asks, a)
  }

  depth(limit: number) {
    const byPrice = ([left]: WireLevel, [right]: WireLevel) => Number(left) - Number(right)
    return {
      lastUpdateId: this.lastUpdateId,
      bids: [...this.bids].sort(byPrice).reverse().slice(0, limit),
      asks: [...this.asks].sort(byPrice).slice(0, limit),
    }
  }
}

function apply(side: Map<string, string>, levels: readonly WireLevel[]): void {
  for (const [price, quantity] of levels) {
    if (Number(quantity) === 0) side.delete(price)
    else side.set(price, quantity)
  }
}
