/** Binance spot: trades and best bid and offer of the watched symbols, over its public streams and REST API. */
import { topics } from '../schemas/topics.ts'
import { defineConnector, type Connector, type Context, type Micros } from '../workers/runtime/definitions.ts'
import { FatalError, RetryableError } from '../workers/runtime/errors.ts'
import { canonicalDecimal, isAmount } from './market/decimal.ts'
import { compileLayout } from './market/frame-layout.ts'
import { isPlausibleTime } from './market/plausible-time.ts'
import { VenueRefusal, type RestClient } from './market/rest.ts'
import { runFeeds } from './market/run-feeds.ts'
import {
  isInvalid,
  usualTiming,
  type InvalidTrade,
  type MarketEvent,
  type MarketTiming,
  type MarketVenue,
  type TradePage,
  type VenueConnection,
  type VenueTrade,
} from './market/venue.ts'

const VENUE = 'binance-spot'
const CHANNELS = ['trade', 'bookTicker'] as const
/** https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#websocket-limits */
const STREAMS_PER_CONNECTION = 1024
const CONNECTS = { count: 300, windowMs: 5 * 60_000 }
/** Five a second is the limit, our pongs among them. */
const MESSAGE_SPACING_MS = 500
/** 200 names make a URL of 4 KB, which every proxy takes; further streams are subscribed to by message. */
const STREAMS_IN_URL = 200
/** Four fifths of the 6,000 that REQUEST_WEIGHT of exchangeInfo allows an address. */
const WEIGHT_PER_MINUTE = 4_800
/** https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#market-data-endpoints */
const WEIGHTS = { exchangeInfo: 20, trades: 25, aggTrades: 4 }
const PAGE_LIMIT = 1_000
/** Above this a time is in microseconds (as with timeUnit=MICROSECOND), below in milliseconds: year 5138 and 1973. */
const MICROSECONDS_FROM = 1e14

/** Makes the connector; tests shorten its times. */
export function binanceSpotConnector(timing: Partial<MarketTiming> = {}): Connector {
  return defineConnector({
    name: VENUE,
    outputs: [topics.marketTrades, topics.marketQuotes, topics.feedsStatus],
    feeds: (watch) => (watch.venues[VENUE]?.symbols ?? []).map((symbol) => `${VENUE}:${symbol}`),
    async run(session) {
      const settings = session.context.watch.venues[VENUE]
      if (settings) await runFeeds(session, binanceSpotVenue(session.context), settings, { ...usualTiming, ...timing })
    },
  })
}

export const binanceSpot = binanceSpotConnector()

function binanceSpotVenue({ config, watch }: Context): MarketVenue {
  return {
    name: VENUE,
    symbols: (rest) => listSymbols(rest, watch.venues[VENUE]?.symbols ?? []),
    symbolsPerConnection: STREAMS_PER_CONNECTION / CHANNELS.length,
    connection: (symbols) => connectionTo(config.binanceSpotWsUrl, symbols),
    read: readAnyFrame,
    tradesFrom,
    firstTradeSince,
    restUrl: config.binanceSpotRestUrl,
    weightPerMinute: WEIGHT_PER_MINUTE,
    usedWeightHeader: 'x-mbx-used-weight-1m',
    connects: CONNECTS,
    messageSpacingMs: MESSAGE_SPACING_MS,
  }
}

/** `wss://…/stream?streams=btcusdt@trade/btcusdt@bookTicker`, and SUBSCRIBE messages for what does not fit. */
export function connectionTo(baseUrl: string, symbols: readonly string[]): VenueConnection {
  const streams = symbols.flatMap((symbol) => CHANNELS.map((channel) => `${symbol.toLowerCase()}@${channel}`))
  const messages: string[] = []
  for (let at = STREAMS_IN_URL; at < streams.length; at += STREAMS_IN_URL) {
    const params = streams.slice(at, at + STREAMS_IN_URL)
    messages.push(JSON.stringify({ method: 'SUBSCRIBE', params, id: messages.length + 1 }))
  }
  const url = `${baseUrl.replace(/\/+$/, '')}/stream?streams=${streams.slice(0, STREAMS_IN_URL).join('/')}`
  return { url, messages }
}

/** Reads one frame of a combined stream, quickly where it is a trade or a quote as they always come. */
export const readAnyFrame = (frame: Buffer, receivedAt: Micros): MarketEvent =>
  readUsualFrame(frame, receivedAt) ?? readFrame(frame.toString(), receivedAt)

/**
 * Reads one frame of a combined stream; only what the connector uses is looked at.
 *
 * `{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,
 * "p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}`
 */
export function readFrame(text: string, receivedAt: Micros): MarketEvent {
  const frame = parse(text)
  if (!isObject(frame)) return { kind: 'malformed' }
  const { data } = frame
  if (isObject(data)) {
    if (data.e === 'trade') return readTrade(data, receivedAt)
    if (data.e === undefined && 'u' in data) return readQuote(data, receivedAt)
    return data.e === 'serverShutdown' ? { kind: 'closing' } : { kind: 'other' }
  }
  if (frame.e === 'serverShutdown') return { kind: 'closing' }
  if ('error' in frame || 'code' in frame) return { kind: 'refused', reason: text.slice(0, 200) }
  return 'result' in frame ? { kind: 'other' } : { kind: 'malformed' }
}

function readTrade(data: Fields, receivedAt: Micros): MarketEvent {
  const { s, t, p, q, T, E, m } = data
  const trade = toTrade(t, p, q, T, m, receivedAt)
  if (trade === undefined || typeof s !== 'string') return { kind: 'malformed' }
  if (isInvalid(trade)) return { kind: 'malformed', symbol: s, trade }
  return { kind: 'trade', symbol: s, eventTime: isCount(E) ? micros(E) : trade.ts, trade }
}

/** `{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}` */
function readQuote(data: Fields, receivedAt: Micros): MarketEvent {
  const { u, s } = data
  const bidPrice = decimal(data.b)
  const bidSize = decimal(data.B)
  const askPrice = decimal(data.a)
  const askSize = decimal(data.A)
  if (typeof s !== 'string' || !isCount(u) || !bidPrice || !bidSize || !askPrice || !askSize) {
    return { kind: 'malformed' }
  }
  const offered = isAmount(bidPrice) && isAmount(bidSize) && isAmount(askPrice) && isAmount(askSize)
  if (!offered) return { kind: 'malformed' }
  return { kind: 'quote', symbol: s, quote: { updateId: u, receivedAt, bidPrice, bidSize, askPrice, askSize } }
}

const quoteLayout = compileLayout(
  '{"stream":"<word>","data":{"u":<count updateId>,"s":"<word symbol>","b":"<decimal bidPrice>","B":"<decimal bidSize>","a":"<decimal askPrice>","A":"<decimal askSize>"}}',
)
const tradeLayout = compileLayout(
  '{"stream":"<word>","data":{"e":"trade","E":<count eventTime>,"s":"<word symbol>","t":<count id>,"p":"<decimal price>","q":"<decimal size>","T":<count time>,"m":<flag buyerIsMaker>,"M":<flag>}}',
)

/**
 * Reads a quote or a trade in the layout that the venue writes today.
 * @returns what `readFrame` gives, or undefined for any other frame
 */
export function readUsualFrame(frame: Buffer, receivedAt: Micros): MarketEvent | undefined {
  const quote = quoteLayout(frame)
  if (quote !== undefined) {
    const { symbol, updateId, bidPrice, bidSize, askPrice, askSize } = quote
    if (!(isAmount(bidPrice) && isAmount(bidSize) && isAmount(askPrice) && isAmount(askSize))) return undefined
    return { kind: 'quote', symbol, quote: { updateId, receivedAt, bidPrice, bidSize, askPrice, askSize } }
  }
  const trade = tradeLayout(frame)
  if (trade === undefined) return undefined
  const { symbol, id, price, size, eventTime, time, buyerIsMaker } = trade
  const ts = micros(time)
  if (!isAmount(price) || !isAmount(size) || !isPlausibleTime(ts, receivedAt)) return undefined
  const side = buyerIsMaker ? 'sell' : 'buy'
  return { kind: 'trade', symbol, eventTime: micros(eventTime), trade: { id, ts, receivedAt, side, price, size } }
}

/**
 * @param buyerIsMaker true where the taker sold
 * @returns undefined where it is not what the venue documents; an invalid trade where its values are none
 */
function toTrade(
  id: unknown,
  price: unknown,
  size: unknown,
  time: unknown,
  buyerIsMaker: unknown,
  receivedAt: Micros,
): VenueTrade | InvalidTrade | undefined {
  if (!isCount(id) || id < 0 || typeof price !== 'string' || typeof size !== 'string') return undefined
  if (!isCount(time) || typeof buyerIsMaker !== 'boolean') return undefined
  const ts = micros(time)
  const [canonicalPrice, canonicalSize] = [canonicalDecimal(price), canonicalDecimal(size)]
  const invalid = (what: string, value: unknown): InvalidTrade => {
    return { id, receivedAt, fault: `${JSON.stringify(value).slice(0, 40)} is no ${what}` }
  }
  if (canonicalPrice === undefined || !isAmount(canonicalPrice)) return invalid('price', price)
  if (canonicalSize === undefined || !isAmount(canonicalSize)) return invalid('size', size)
  if (!isPlausibleTime(ts, receivedAt)) return invalid('time of a trade', time)
  return { id, ts, receivedAt, side: buyerIsMaker ? 'sell' : 'buy', price: canonicalPrice, size: canonicalSize }
}

/** @throws FatalError that names every watched symbol which the venue does not list */
async function listSymbols(rest: RestClient, watched: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const listed = new Map<string, string>()
  const path = '/api/v3/exchangeInfo?showPermissionSets=false'
  const rows = await getRows(rest, path, WEIGHTS.exchangeInfo).catch((cause: unknown) => {
    if (!(cause instanceof VenueRefusal)) throw cause
    const hint = 'set BINANCE_SPOT_REST_URL to an address that serves you, such as https://data-api.binance.vision'
    throw new FatalError('configuration', 'Binance spot does not serve this address', { cause, hint })
  })
  for (const { symbol, baseAsset, quoteAsset } of rows) {
    if (typeof symbol === 'string') listed.set(`${String(baseAsset)}-${String(quoteAsset)}`, symbol)
  }
  const unknown = watched.filter((symbol) => !listed.has(symbol))
  if (unknown.length > 0) {
    throw new FatalError('watch-file', `Binance spot does not list ${unknown.join(', ')}`, {
      hint: `correct venues.${VENUE}.symbols in the watch file`,
    })
  }
  return listed
}

/**
 * historicalTrades needs no key (its security type is NONE) and has every trade by its id, which aggTrades has not. The
 * market-data-only hosts do not serve it, but the newest 1,000 trades:
 * https://github.com/binance/binance-spot-api-docs/blob/master/faqs/market_data_only.md
 *
 * `[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,
 * "isBuyerMaker":true,"isBestMatch":true}]`
 */
export async function tradesFrom(rest: RestClient, symbol: string, id: number): Promise<TradePage> {
  const query = `symbol=${symbol}&limit=${PAGE_LIMIT}`
  let newest = false
  const rows = await getRows(rest, `/api/v3/historicalTrades?${query}&fromId=${id}`, WEIGHTS.trades).catch(
    (error: unknown) => {
      if (!(error instanceof VenueRefusal)) throw error
      newest = true
      return getRows(rest, `/api/v3/trades?${query}`, WEIGHTS.trades)
    },
  )
  const receivedAt = rest.now()
  const trades = rows
    .map((row) => toTrade(row.id, row.price, row.qty, row.time, row.isBuyerMaker, receivedAt))
    .filter((trade) => trade !== undefined)
    .sort((a, b) => a.id - b.id)
  if (trades.length < rows.length) throw new RetryableError('inconsistent-upstream', 'a list of trades is malformed')
  return { trades, end: newest || trades.length < PAGE_LIMIT ? 'end' : 'more' }
}

/** `[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}]` */
async function firstTradeSince(rest: RestClient, symbol: string, time: Micros): Promise<number | undefined> {
  const path = `/api/v3/aggTrades?symbol=${symbol}&startTime=${Math.floor(time / 1000)}&limit=1`
  const [first] = await getRows(rest, path, WEIGHTS.aggTrades)
  if (first === undefined) return undefined
  if (isCount(first.f)) return first.f
  throw new RetryableError('inconsistent-upstream', 'aggTrades is malformed')
}

/** The rows of an answer that is a list, or whose `symbols` are. */
async function getRows(rest: RestClient, path: string, weight: number): Promise<readonly Fields[]> {
  const answer = await rest.get(path, weight)
  const rows: unknown = isObject(answer) && 'symbols' in answer ? answer.symbols : answer
  if (Array.isArray(rows) && rows.every(isObject)) return rows
  throw new RetryableError('inconsistent-upstream', `GET ${path.split('?')[0]} was answered with something else`)
}

type Fields = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null
const isCount = (value: unknown): value is number => Number.isSafeInteger(value)
const decimal = (value: unknown): string | undefined =>
  typeof value === 'string' ? canonicalDecimal(value) : undefined
const micros = (time: number): Micros => (time < MICROSECONDS_FROM ? time * 1000 : time)

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
