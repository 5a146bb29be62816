/** Made-up records that look like real ones: the same at every run. */
import { topics } from '../../schemas/topics.ts'
import type { ChainTransfer, MarketQuote, MarketTrade } from '../../schemas/types.ts'
import { Encoder } from '../../workers/runtime/codec.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { markHeaders, placeHeaders, type Headers } from '../../workers/runtime/headers.ts'
import { emissionPosition, sequencePosition } from '../../workers/runtime/position.ts'
import { newTraceparent } from '../../workers/runtime/trace.ts'

export interface Message {
  readonly key: string
  readonly value: Buffer | null
  readonly headers: Headers
}

const venue = 'binance-spot'
const symbols = ['BTC', 'ETH', 'SOL', 'XRP', 'BNB', 'DOGE', 'ADA', 'TRX', 'AVAX', 'LINK', 'DOT', 'LTC', 'BCH', 'NEAR', 'UNI', 'APT', 'ATOM', 'FIL', 'ARB', 'OP'].map((base) => `${base}-USDT`) // prettier-ignore
/** 2024-08-08, as the recorded capture. */
const begin = 1_723_161_254_000_000
/** 2,000 trades a second of all symbols together. */
const spacing = 500
const second = 1_000_000

/** Numerical Recipes' linear congruential generator: enough for digits that look measured. */
const noise = (index: number): number => (Math.imul(index, 1_664_525) + 1_013_904_223) >>> 0

export function trade(index: number): MarketTrade {
  const symbol = symbols[index % symbols.length] ?? ''
  const tradeId = String(3_735_683_259 + index)
  const ts = begin + index * spacing
  return {
    id: `${venue}:${symbol}:${tradeId}`,
    venue,
    symbol,
    ts,
    receivedAt: ts + 30_000 + (noise(index) % 5_000),
    tradeId,
    side: noise(index) % 2 === 0 ? 'buy' : 'sell',
    price: `${61_000 + (noise(index) % 900)}.${10 + (noise(index + 1) % 89)}`,
    size: `0.0${1_000 + (noise(index + 2) % 8_999)}`,
  }
}

export function quote(index: number): MarketQuote {
  const { symbol, ts, receivedAt, price } = trade(index)
  const updateId = 50_093_239_212 + index
  const size = (step: number): string => `${noise(index + step) % 9}.${10_000 + (noise(index + step) % 89_999)}`
  return { id: `${venue}:${symbol}:${updateId}`, venue, symbol, ts, receivedAt, updateId, bidPrice: price, bidSize: size(1), askPrice: price, askSize: size(2) } // prettier-ignore
}

const hex = (seed: number, bytes: number): string => {
  let text = ''
  for (let at = 0; text.length < 2 * bytes; at++)
    text += noise(seed * 31 + at)
      .toString(16)
      .padStart(8, '0')
  return `0x${text.slice(0, 2 * bytes)}`
}
const transfersPerBlock = 200

export function transfer(index: number): ChainTransfer {
  const block = 18_000_000 + Math.floor(index / transfersPerBlock)
  const [blockHash, txHash] = [hex(block, 32), hex(index + 7, 32)]
  const logIndex = index % transfersPerBlock
  return {
    id: `1:${blockHash}:${txHash}:${logIndex}`,
    chainId: 1,
    block,
    blockHash,
    ts: begin + (block - 18_000_000) * 12 * second,
    txHash,
    txIndex: logIndex >> 1,
    logIndex,
    standard: 'erc20',
    token: hex(index % 50, 20),
    from: hex(noise(index) % 5_000, 20),
    to: hex(noise(index + 1) % 5_000, 20),
    amount: String(noise(index)) + '000000000',
    tokenId: null,
    finalized: block - 64,
    removed: false,
    revision: 0,
  }
}

/** Trades as the connector sends them: with a time mark a second and symbol between them. */
export function* tradeMessages(count: number, ids: ReadonlyMap<string, number>): Generator<Message> {
  const encoder = new Encoder(ids)
  let marked = 0
  for (let index = 0; index < count; index++) {
    const record = trade(index)
    const key = topics.marketTrades.key(record)
    const place = { origin: `${key}:trades`, position: sequencePosition(Number(record.tradeId)) }
    const headers = { ...placeHeaders(place), traceparent: newTraceparent() }
    yield { key, value: encoder.encode(topics.marketTrades, record), headers }
    const now = Math.floor((record.ts - begin) / second)
    if (now === marked) continue
    marked = now
    yield* tradeMarks(record.ts)
  }
}

const corruptEvery = 100
/** Not in the wire format, cut off, of a schema that nobody registered. */
const corruptions: readonly ((value: Buffer) => Buffer)[] = [
  (value) => Buffer.concat([Buffer.from([7]), value.subarray(1)]),
  (value) => value.subarray(0, 20),
  (value) => Buffer.concat([Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]), value.subarray(5)]),
]

/** The same messages, with one record in a hundred that cannot be decoded. */
export function* corrupted(messages: Iterable<Message>): Generator<Message> {
  let records = 0
  for (const message of messages) {
    const { value } = message
    const corrupt = value !== null && ++records % corruptEvery === 0
    const spoil = corruptions[(records / corruptEvery) % corruptions.length]
    yield corrupt && spoil !== undefined ? { ...message, value: spoil(value) } : message
  }
}

/** How many of so many records `corrupted` leaves readable. */
export const readableOf = (records: number): number => records - Math.floor(records / corruptEvery)

/** A time mark of every symbol. */
export function* tradeMarks(time: number): Generator<Message> {
  for (const symbol of symbols) {
    const key = `${venue}:${symbol}`
    const mark = { origin: `${key}:trades`, time, block: null, finalized: null, removed: false }
    yield { key, value: null, headers: markHeaders(mark, undefined) }
  }
}

const blocksPerReorganisation = 10

/** Transfers of a chain that loses and replaces a block in ten; `count` are added in all. */
export function* transferMessages(count: number, ids: ReadonlyMap<string, number>): Generator<Message> {
  const encoder = new Encoder(ids)
  const topic: Topic<ChainTransfer> = topics.chainTransfers
  let emitted = 0
  const message = (record: ChainTransfer): Message => ({
    key: topic.key(record),
    value: encoder.encode(topic, record),
    headers: {
      ...placeHeaders({ origin: 'decode-block:chain.blocks.v1:0', position: emissionPosition(0, ++emitted, 0) }),
      traceparent: newTraceparent(),
    },
  })
  for (let at = 0; at < count; at += transfersPerBlock) {
    const block = Array.from({ length: transfersPerBlock }, (_, index) => transfer(at + index))
    for (const record of block) yield message(record)
    if ((at / transfersPerBlock) % blocksPerReorganisation !== 0) continue
    for (const record of block) yield message({ ...record, removed: true })
    for (const record of block) yield message({ ...record, revision: 1 })
  }
}
