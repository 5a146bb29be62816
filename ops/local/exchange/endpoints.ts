/** Binance spot's public REST endpoints as functions of a query: weights, parameters, answers, errors. */
import { canonical, fixed8 } from './decimal.ts'
import { exchangeInfo } from './exchange-info.ts'
import type { AggregateTrade, Trade } from './trade-log.ts'
import type { Venue, VenueMarket } from './venue.ts'

/** An error body of the venue. */
export class ApiError extends Error {
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export interface Endpoint {
  readonly parameters: readonly string[]
  weight(query: URLSearchParams): number
  answer(venue: Venue, query: URLSearchParams, weightPerMinute: number): unknown
}

/** Weights and shapes: https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md */
export const ENDPOINTS: ReadonlyMap<string, Endpoint> = new Map<string, Endpoint>([
  ['/api/v3/ping', { parameters: [], weight: () => 1, answer: () => ({}) }],
  ['/api/v3/time', { parameters: [], weight: () => 1, answer: (venue) => ({ serverTime: venue.now() }) }],
  [
    '/api/v3/exchangeInfo',
    {
      parameters: ['symbol', 'symbols', 'permissions', 'showPermissionSets', 'symbolStatus'],
      weight: () => 20,
      answer: (venue, query, weightPerMinute) =>
        exchangeInfo(
          chosenMarkets(venue, query).map(({ info }) => info),
          venue.now(),
          weightPerMinute,
        ),
    },
  ],
  [
    '/api/v3/depth',
    {
      parameters: ['symbol', 'limit', 'symbolStatus'],
      weight: (query) => depthWeight(Number(query.get('limit') ?? 100)),
      answer: (venue, query) => marketOf(venue, query).depth(limitOf(query, 100, 5_000)),
    },
  ],
  [
    '/api/v3/trades',
    {
      parameters: ['symbol', 'limit'],
      weight: () => 25,
      answer: (venue, query) => latestTrades(marketOf(venue, query), limitOf(query, 500, 1_000)),
    },
  ],
  [
    '/api/v3/historicalTrades',
    {
      parameters: ['symbol', 'limit', 'fromId'],
      weight: () => 25,
      answer(venue, query) {
        const market = marketOf(venue, query)
        const limit = limitOf(query, 500, 1_000)
        const fromId = integerOf(query, 'fromId')
        if (fromId === undefined) return latestTrades(market, limit)
        return market.log.from(fromId, limit).map((trade) => tradeBody(market, trade))
      },
    },
  ],
  [
    '/api/v3/aggTrades',
    {
      parameters: ['symbol', 'fromId', 'startTime', 'endTime', 'limit'],
      weight: () => 4,
      answer: (venue, query) => aggregates(marketOf(venue, query), query),
    },
  ],
])

function aggregates(market: VenueMarket, query: URLSearchParams): object[] {
  const { log } = market
  const limit = limitOf(query, 500, 1_000)
  const fromId = integerOf(query, 'fromId')
  const startTime = integerOf(query, 'startTime')
  const endTime = integerOf(query, 'endTime')
  if (fromId !== undefined && (startTime ?? endTime) !== undefined)
    throw new ApiError(-1128, 'Combination of optional parameters invalid.')
  const after = endTime === undefined ? log.lastAggregateId + 1 : log.aggregateAt(endTime + 1)
  const from = fromId ?? (startTime === undefined ? after - limit : log.aggregateAt(startTime))
  return log
    .aggregatesFrom(from, limit)
    .filter(({ aggregateId }) => aggregateId < after)
    .map((aggregate) => aggregateBody(market, aggregate))
}

function latestTrades(market: VenueMarket, limit: number): object[] {
  return market.log.from(market.log.lastId - limit + 1, limit).map((trade) => tradeBody(market, trade))
}

function tradeBody({ log }: VenueMarket, trade: Trade): object {
  const notional = BigInt(trade.price) * BigInt(trade.quantity)
  return {
    id: trade.id,
    price: fixed8(trade.price, log.priceDecimals),
    qty: fixed8(trade.quantity, log.quantityDecimals),
    quoteQty: withDecimals(canonical(notional, log.priceDecimals + log.quantityDecimals)),
    time: trade.time,
    isBuyerMaker: trade.buyerMaker,
    isBestMatch: true,
  }
}

function aggregateBody({ log }: VenueMarket, trade: AggregateTrade): object {
  return {
    a: trade.aggregateId,
    p: fixed8(trade.price, log.priceDecimals),
    q: fixed8(trade.quantity, log.quantityDecimals),
    f: trade.firstId,
    l: trade.lastId,
    T: trade.time,
    m: trade.buyerMaker,
    M: true,
  }
}

/** Eight decimals, cut where a product has more. */
function withDecimals(text: string): string {
  const [whole = '0', fraction = ''] = text.split('.')
  return `${whole}.${fraction.padEnd(8, '0').slice(0, 8)}`
}

function depthWeight(limit: number): number {
  if (limit <= 100) return 5
  if (limit <= 500) return 25
  return limit <= 1_000 ? 50 : 250
}

function chosenMarkets(venue: Venue, query: URLSearchParams): readonly VenueMarket[] {
  const symbols = query.get('symbols')
  if (symbols === null) return query.has('symbol') ? [marketOf(venue, query)] : venue.markets()
  if (query.has('symbol')) throw new ApiError(-1128, 'Combination of optional parameters invalid.')
  const names = symbolList(symbols)
  if (new Set(names).size < names.length) throw new ApiError(-1151, 'Symbol is present multiple times in the list.')
  return names.map((name) => marketNamed(venue, name))
}

function symbolList(text: string): string[] {
  const malformed = new ApiError(
    -1100,
    `Illegal characters found in parameter 'symbols'; legal range is '^\\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\\]$'.`,
  )
  if (!/^\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}")*\]$/.test(text)) throw malformed
  return text.slice(2, -2).split('","')
}

function marketOf(venue: Venue, query: URLSearchParams): VenueMarket {
  const name = query.get('symbol')
  if (!name) throw new ApiError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
  if (!/^[A-Z0-9-_.]{1,20}$/.test(name))
    throw new ApiError(-1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.")
  return marketNamed(venue, name)
}

function marketNamed(venue: Venue, name: string): VenueMarket {
  const market = venue.market(name)
  if (!market) throw new ApiError(-1121, 'Invalid symbol.')
  return market
}

function limitOf(query: URLSearchParams, usual: number, most: number): number {
  const limit = integerOf(query, 'limit') ?? usual
  if (limit === 0) throw new ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
  return Math.min(limit, most)
}

function integerOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  if (text === '') throw new ApiError(-1105, `Parameter '${name}' was empty.`)
  if (!/^\d{1,20}$/.test(text))
    throw new ApiError(-1100, `Illegal characters found in parameter '${name}'; legal range is '^[0-9]{1,20}$'.`)
  return Number(text)
}
