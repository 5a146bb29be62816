/** The listed symbols: names, precisions and habits of twenty real markets. */

export interface SymbolInfo {
  /** The venue's name: BTCUSDT. */
  readonly symbol: string
  /** The project's name: BTC-USDT. */
  readonly pair: string
  readonly base: string
  readonly quote: string
  /** Decimals of the tick size. */
  readonly priceDecimals: number
  /** Decimals of the lot size. */
  readonly quantityDecimals: number
  /** A usual price, in quote. */
  readonly price: number
  /** Share of the exchange's trades, in per mille. */
  readonly share: number
  /** Yearly volatility of returns. */
  readonly volatility: number
}

const listing = (
  base: string,
  price: number,
  priceDecimals: number,
  quantityDecimals: number,
  share: number,
  volatility: number,
): SymbolInfo => ({
  symbol: `${base}USDT`,
  pair: `${base}-USDT`,
  base,
  quote: 'USDT',
  priceDecimals,
  quantityDecimals,
  price,
  share,
  volatility,
})

export const SYMBOLS: readonly SymbolInfo[] = [
  listing('BTC', 64_000, 2, 5, 200, 0.9),
  listing('ETH', 3_100, 2, 4, 150, 1.1),
  listing('SOL', 152, 2, 3, 100, 1.5),
  listing('XRP', 0.56, 4, 1, 80, 1.4),
  listing('DOGE', 0.125, 5, 0, 65, 1.7),
  listing('BNB', 585, 2, 3, 60, 1.0),
  listing('PEPE', 0.0000118, 8, 0, 45, 2.4),
  listing('ADA', 0.45, 4, 1, 40, 1.4),
  listing('SUI', 1.35, 4, 1, 35, 2.0),
  listing('AVAX', 27.5, 2, 2, 32, 1.6),
  listing('LINK', 13.4, 2, 2, 30, 1.5),
  listing('TRX', 0.155, 4, 1, 27, 0.9),
  listing('LTC', 71, 2, 3, 24, 1.2),
  listing('DOT', 5.6, 3, 2, 22, 1.5),
  listing('NEAR', 5.1, 3, 1, 20, 1.8),
  listing('BCH', 345, 1, 3, 17, 1.4),
  listing('UNI', 8.2, 3, 2, 16, 1.6),
  listing('APT', 7.1, 2, 2, 14, 1.8),
  listing('ATOM', 5.3, 3, 2, 12, 1.5),
  listing('FIL', 4.4, 3, 2, 11, 1.7),
]

/** Finds a listed symbol by the venue's or the project's name. */
export function listed(name: string): SymbolInfo | undefined {
  return SYMBOLS.find(({ symbol, pair }) => name === symbol || name === pair)
}

/** What is known of a symbol that is not listed, from its name and the wire's 8 decimals. */
export function unlisted(symbol: string): SymbolInfo {
  const quote = ['USDT', 'USDC', 'FDUSD', 'TUSD', 'EUR', 'TRY', 'BTC', 'ETH', 'BNB'].find((end) => symbol.endsWith(end))
  const base = symbol.slice(0, symbol.length - (quote?.length ?? 0))
  return {
    symbol,
    pair: `${base}-${quote ?? ''}`,
    base,
    quote: quote ?? '',
    priceDecimals: 8,
    quantityDecimals: 8,
    price: 1,
    share: 1,
    volatility: 1,
  }
}
