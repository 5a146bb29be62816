/** What the REST endpoints and the streams need to know of an exchange, be it simulated or replayed. */
import type { SymbolInfo } from './symbols.ts'
import type { Totals, TradeLog } from './trade-log.ts'

/** Price and quantity in the venue's 8 decimals. */
export type WireLevel = readonly [price: string, quantity: string]

export interface VenueMarket {
  readonly info: SymbolInfo
  readonly log: TradeLog
  /** The order book's snapshot, best levels first. */
  depth(limit: number): {
    readonly lastUpdateId: number
    readonly bids: readonly WireLevel[]
    readonly asks: readonly WireLevel[]
  }
}

export interface Venue {
  /** The venue's clock, in milliseconds since the epoch. */
  now(): number
  market(symbol: string): VenueMarket | undefined
  markets(): readonly VenueMarket[]
}

/** What one symbol traded, as the exchange knows it. */
export interface LedgerEntry extends Totals {
  /** BTCUSDT. */
  readonly symbol: string
  /** BTC-USDT. */
  readonly pair: string
  /** What was traded before the exchange opened. */
  readonly history: Totals
}

/** The venue's name of a symbol that is given by either name: BTC-USDT gives BTCUSDT. */
export const venueSymbol = (name: string): string => name.replace('-', '').toUpperCase()
