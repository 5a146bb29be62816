/**
 * What the values of a record must be beyond their types: prices are prices, times are times. Each check says what is wrong,
 * the field first, or gives undefined. They run for every record that is read or emitted: no expressions, no objects.
 */
import type * as t from './types.ts'

type Fault = string | undefined

/** 1973 and 2100. Seconds and milliseconds since the epoch lie below, nanoseconds above. */
const earliest = 100_000_000_000_000
const latest = 4_102_444_800_000_000
/** Characters of a price or a size; a uint256 has 78. As a double it is finite. */
const longestDecimal = 80
/** Characters of a sum of prices times sizes. */
const longestSum = 200
/** Characters of an id from outside; those of what is derived are made of at most two. */
const longestId = 4_096
const longestDerivedId = 4 * longestId
/** Characters of a name: a venue, a symbol, an address, a hash. */
const longestName = 256
const largestUint256 = String(2n ** 256n - 1n)

const minus = 45
const point = 46
const zero = 48
const nine = 57

/** A text as it reads in an error: short, and without what a terminal or a database would not take. */
const shown = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)

/**
 * Reads plain decimals: digits, then at most a point and digits; no sign, exponent, space or leading zero.
 * @returns whether the number is 0 or more than 0; undefined where the text is no such number, or longer than `longest`
 */
function decimalOf(text: string, longest: number): 'zero' | 'more' | undefined {
  const { length } = text
  if (length === 0 || length > longest) return undefined
  let [pointAt, digits] = [length, 0]
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at)
    if (code >= zero && code <= nine) digits |= code - zero
    else if (code === point && pointAt === length && at > 0) pointAt = at
    else return undefined
  }
  if (pointAt === length - 1 || (pointAt > 1 && text.charCodeAt(0) === zero)) return undefined
  return digits === 0 ? 'zero' : 'more'
}

const priceFault = (field: string, text: string): Fault =>
  decimalOf(text, longestDecimal) === 'more' ? undefined : `${field}: ${shown(text)} is no price`

const sizeFault = (field: string, text: string): Fault =>
  decimalOf(text, longestDecimal) === 'more' ? undefined : `${field}: ${shown(text)} is no size`

const sumFault = (field: string, text: string): Fault =>
  decimalOf(text, longestSum) === undefined ? `${field}: ${shown(text)} is no volume` : undefined

/** Digits without a leading zero, up to 2^256 − 1. */
function isUint256(text: string, from = 0): boolean {
  const length = text.length - from
  if (length < 1 || length > largestUint256.length) return false
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < zero || code > nine) return false
  }
  if (length > 1 && text.charCodeAt(from) === zero) return false
  return length < largestUint256.length || text.slice(from) <= largestUint256
}

const amountFault = (field: string, text: string | null): Fault =>
  text === null || isUint256(text) ? undefined : `${field}: ${shown(text)} is no whole number of 256 bits`

const signedFault = (field: string, text: string): Fault =>
  isUint256(text, text.charCodeAt(0) === minus ? 1 : 0)
    ? undefined
    : `${field}: ${shown(text)} is no whole number of 256 bits`

const timeFault = (field: string, time: number): Fault =>
  time >= earliest && time <= latest && Number.isSafeInteger(time)
    ? undefined
    : `${field}: ${time} is no time in microseconds since the epoch`

const idFault = (id: string, longest: number): Fault =>
  id.length <= longest ? undefined : `id: ${shown(id)} has more than ${longest} characters`

const nameFault = (field: string, name: string | null): Fault =>
  name === null || name.length <= longestName
    ? undefined
    : `${field}: ${shown(name)} has more than ${longestName} characters`

/** A fraction, of 1 or of 100. */
const partFault = (field: string, value: number, whole: number): Fault =>
  value >= 0 && value <= whole ? undefined : `${field}: ${value} is not from 0 to ${whole}`

interface Event {
  readonly id: string
  readonly ts: number
}

interface Market {
  readonly venue: string
  readonly symbol: string
}

const market = (r: Market): Fault => nameFault('venue', r.venue) ?? nameFault('symbol', r.symbol)

const sourced = (event: Event): Fault => timeFault('ts', event.ts) ?? idFault(event.id, longestId)

const derived = (event: Event): Fault => timeFault('ts', event.ts) ?? idFault(event.id, longestDerivedId)

/** A chain's first block may have no time. */
function ofChain({ id, ts, block }: Event & { readonly block: number }): Fault {
  if (block < 0) return `block: ${block} is no block`
  return (block === 0 && ts === 0 ? undefined : timeFault('ts', ts)) ?? idFault(id, longestId)
}

const trade = (r: t.MarketTrade): Fault =>
  priceFault('price', r.price) ?? sizeFault('size', r.size) ?? market(r) ?? sourced(r)

/** A side that nobody offers is no best bid or offer. */
const quote = (r: t.MarketQuote): Fault =>
  priceFault('bidPrice', r.bidPrice) ??
  sizeFault('bidSize', r.bidSize) ??
  priceFault('askPrice', r.askPrice) ??
  sizeFault('askSize', r.askSize) ??
  market(r) ??
  sourced(r)

/** What takers bought is a part of all; a candle of no trade is none. */
const tradedFault = (r: t.MarketCandle): Fault =>
  Number(r.buyVolume) > Number(r.volume)
    ? `buyVolume: ${shown(r.buyVolume)} is more than the volume`
    : r.trades > 0
      ? undefined
      : `trades: ${r.trades} is no number of trades`

const candle = (r: t.MarketCandle): Fault =>
  priceFault('open', r.open) ??
  priceFault('high', r.high) ??
  priceFault('low', r.low) ??
  priceFault('close', r.close) ??
  sumFault('volume', r.volume) ??
  sumFault('quoteVolume', r.quoteVolume) ??
  sumFault('buyVolume', r.buyVolume) ??
  tradedFault(r) ??
  timeFault('start', r.start) ??
  market(r) ??
  derived(r)

function block(r: t.ChainBlock): Fault {
  const own =
    ofChain(r) ??
    amountFault('gasLimit', r.gasLimit) ??
    amountFault('gasUsed', r.gasUsed) ??
    amountFault('baseFeePerGas', r.baseFeePerGas)
  if (own !== undefined) return own
  for (const { value, gas, gasUsed, effectiveGasPrice } of r.transactions) {
    const fault =
      amountFault('transactions[].value', value) ??
      amountFault('transactions[].gas', gas) ??
      amountFault('transactions[].gasUsed', gasUsed) ??
      amountFault('transactions[].effectiveGasPrice', effectiveGasPrice)
    if (fault !== undefined) return fault
  }
  return undefined
}

const transaction = (r: t.ChainTransaction): Fault =>
  amountFault('value', r.value) ??
  amountFault('gasUsed', r.gasUsed) ??
  amountFault('effectiveGasPrice', r.effectiveGasPrice) ??
  nameFault('from', r.from) ??
  nameFault('to', r.to) ??
  ofChain(r)

const movedFault = (r: t.ChainTransfer | t.WalletActivity): Fault =>
  amountFault('amount', r.amount) ??
  amountFault('tokenId', r.tokenId) ??
  nameFault('token', r.token) ??
  nameFault('txHash', r.txHash) ??
  ofChain(r)

const transfer = (r: t.ChainTransfer): Fault => nameFault('from', r.from) ?? nameFault('to', r.to) ?? movedFault(r)

const activity = (r: t.WalletActivity): Fault =>
  nameFault('wallet', r.wallet) ?? nameFault('counterparty', r.counterparty) ?? movedFault(r)

const partiesFault = (r: t.ChainSwap): Fault =>
  nameFault('pool', r.pool) ??
  nameFault('trader', r.trader) ??
  nameFault('sender', r.sender) ??
  nameFault('txHash', r.txHash)

const swap = (r: t.ChainSwap): Fault =>
  signedFault('amount0', r.amount0) ?? signedFault('amount1', r.amount1) ?? partiesFault(r) ?? ofChain(r)

const marketRisk = (r: t.MarketRisk): Fault => priceFault('price', r.price) ?? market(r) ?? derived(r)

const walletRisk = (r: t.WalletRisk): Fault =>
  partFault('score', r.score, 100) ?? nameFault('wallet', r.wallet) ?? derived(r)

const pattern = (r: t.PatternMatch): Fault =>
  partFault('confidence', r.confidence, 1) ?? timeFault('start', r.start) ?? derived(r)

const signal = (r: t.TradeSignal): Fault =>
  priceFault('price', r.price) ?? partFault('strength', r.strength, 1) ?? market(r) ?? derived(r)

/** The checks of the topics, each called after what the records are. */
export const checks = {
  trade,
  quote,
  candle,
  block,
  transaction,
  transfer,
  activity,
  swap,
  log: (r: t.ChainLog): Fault => ofChain(r),
  feedStatus: (r: t.FeedStatus): Fault => sourced(r),
  marketRisk,
  walletRisk,
  pattern,
  signal,
  alert: (r: t.Alert): Fault => derived(r),
} as const
