/** The payloads of Binance spot's market streams, field for field in the venue's order. */
import type { DepthDiff, Level } from './book.ts'
import { fixed8 } from './decimal.ts'
import type { Market, Quote } from './market.ts'
import type { AggregateTrade, Trade } from './trade-log.ts'
import type { WireLevel } from './venue.ts'

/** `{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}` */
export function tradeFrame({ info }: Market, trade: Trade, at: number): string {
  const price = fixed8(trade.price, info.priceDecimals)
  const quantity = fixed8(trade.quantity, info.quantityDecimals)
  return `{"e":"trade","E":${at},"s":"${info.symbol}","t":${trade.id},"p":"${price}","q":"${quantity}","T":${trade.time},"m":${trade.buyerMaker},"M":true}`
}

/** `{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.00100000","q":"100.00000000","f":100,"l":105,"T":1672515782136,"m":true,"M":true}` */
export function aggregateFrame({ info }: Market, trade: AggregateTrade, at: number): string {
  const price = fixed8(trade.price, info.priceDecimals)
  const quantity = fixed8(trade.quantity, info.quantityDecimals)
  return `{"e":"aggTrade","E":${at},"s":"${info.symbol}","a":${trade.aggregateId},"p":"${price}","q":"${quantity}","f":${trade.firstId},"l":${trade.lastId},"T":${trade.time},"m":${trade.buyerMaker},"M":true}`
}

/** `{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}` */
export function quoteFrame({ info }: Market, quote: Quote): string {
  const { priceDecimals, quantityDecimals } = info
  return `{"u":${quote.updateId},"s":"${info.symbol}","b":"${fixed8(quote.bid, priceDecimals)}","B":"${fixed8(quote.bidQuantity, quantityDecimals)}","a":"${fixed8(quote.ask, priceDecimals)}","A":"${fixed8(quote.askQuantity, quantityDecimals)}"}`
}

/** `{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,"u":50093239202,"b":[["61737.63000000","0.00000000"]],"a":[["61837.64000000","1.54698000"]]}` */
export function depthFrame(market: Market, diff: DepthDiff, at: number): string {
  const bids = JSON.stringify(wireLevels(market, diff.bids))
  const asks = JSON.stringify(wireLevels(market, diff.asks))
  return `{"e":"depthUpdate","E":${at},"s":"${market.info.symbol}","U":${diff.firstUpdateId},"u":${diff.lastUpdateId},"b":${bids},"a":${asks}}`
}

export function wireLevels({ info }: Market, levels: readonly Level[]): WireLevel[] {
  return levels.map(({ price, quantity }) => [
    fixed8(price, info.priceDecimals),
    fixed8(quantity, info.quantityDecimals),
  ])
}
