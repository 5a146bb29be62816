/** Bad messages of every kind that a foreign producer may write, and what each reader has to make of them. */
import { topics } from '../../../schemas/topics.ts'
import type { MarketQuote, MarketTrade, PatternMatch } from '../../../schemas/types.ts'
import type { Random } from '../../../ops/local/chain/random.ts'
import type { Encoder } from '../../../workers/runtime/codec.ts'
import { typeOf } from '../../../workers/runtime/codec.ts'
import type { Topic } from '../../../workers/runtime/definitions.ts'
import type { Headers } from '../../../workers/runtime/headers.ts'
import { sequencePosition } from '../../../workers/runtime/position.ts'
import { foreign } from '../../../workers/runtime/test-errors.ts'

/**
 * What becomes of a message at a step: `taken`: its ordinary effect and no letter; `dropped`: neither; else the code of its one
 * dead letter.
 */
export type Verdict = string

/** A message before it is keyed and sent. */
export interface Made {
  readonly value: Buffer | null
  readonly headers?: Headers
  /** Where it is not the foreign producer's own. */
  readonly key?: string
}

/** What a kind may use to make a message. */
export interface Making {
  readonly topic: Topic
  readonly encoder: Encoder
  readonly schemaIds: ReadonlyMap<string, number>
  readonly random: Random
  /** Counts the foreign messages; no two have the same. */
  readonly serial: number
  /** Of a genuine record of the topic, where there is a feed of it. */
  readonly genuineKey: string | undefined
  /** A genuine origin that every reader has accepted records of. */
  readonly genuineOrigin: string | undefined
}

export interface Kind {
  readonly name: string
  /** What processors may make of it; several where it depends on what they look at. */
  readonly processors: readonly Verdict[]
  readonly sinks: readonly Verdict[]
  /** `later`: readers do not yet refuse it as they should, and a run leaves it out. */
  readonly from: 'now' | 'later'
  /** @returns undefined where the kind means nothing for the topic */
  make(making: Making): Made | undefined
}

const undecodable = { processors: ['undecodable'], sinks: ['undecodable'], from: 'now' } as const
const unstamped = { processors: ['unstamped'], sinks: ['unstamped'], from: 'later' } as const
const invalid = { processors: ['invalid'], sinks: ['invalid'], from: 'later' } as const
const taken = { processors: ['taken'], sinks: ['taken'], from: 'now' } as const
const dropped = { processors: ['dropped'], sinks: ['dropped'], from: 'now' } as const

const longText = (random: Random): string => random.hex(3_000)
/** No registry of a run comes so far. */
const unknownId = 0x7fff_fff0

/** A trade of a symbol that no feed has; its like share an origin, so that no symbol has two clocks. */
const trade = ({ serial }: Making, group: string, more: Partial<MarketTrade> = {}): MarketTrade => {
  const ts = Date.now() * 1_000
  const symbol = `${group}${serial % 8}-USDT`
  return { id: `${foreign}${symbol}:${serial}`, venue: 'foreign', symbol, ts, receivedAt: ts, tradeId: String(serial), side: 'buy', price: '100.5', size: '0.25', ...more } // prettier-ignore
}

const quote = ({ serial }: Making, group: string, more: Partial<MarketQuote> = {}): MarketQuote => {
  const ts = Date.now() * 1_000
  const symbol = `${group}${serial % 8}-USDT`
  return { id: `${foreign}${symbol}:q${serial}`, venue: 'foreign', symbol, ts, receivedAt: ts, updateId: serial, bidPrice: '100', bidSize: '1', askPrice: '101', askSize: '2', ...more } // prettier-ignore
}

const match = (serial: number, more: Partial<PatternMatch> = {}): PatternMatch => {
  const ts = Date.now() * 1_000
  return { id: `${foreign}match:${serial}`, pattern: 'foreign', subject: `foreign:${serial % 8}`, ts, start: ts, confidence: 0.5, summary: `foreign ${serial}`, venue: null, symbol: null, chainId: null, wallets: [], evidence: [], facts: {}, block: null, finalized: null, removed: false, revision: 0, ...more } // prettier-ignore
}

/** A record that is as it should be, where the topic takes some by hand. */
function good(making: Making, group: string): Made | undefined {
  const record = recordOf(making, group)
  return record === undefined ? undefined : encoded(making, record)
}

function recordOf(making: Making, group: string): object | undefined {
  if (making.topic === topics.marketTrades) return trade(making, group)
  if (making.topic === topics.marketQuotes) return quote(making, group)
  return making.topic === topics.patternsMatches ? match(making.serial) : undefined
}

const encoded = ({ topic, encoder }: Making, record: object): Made => ({
  key: topic.key(record),
  value: Buffer.from(encoder.encode(topic, record)),
})

/** A value in the wire format of the topic's own schema, of a random record. */
function anyValue({ topic, schemaIds }: Making): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(schemaIds.get(topic.name) ?? 0, 1)
  const type = typeOf(topic.name)
  return Buffer.concat([prefix, type.toBuffer(type.random())])
}

const withFirst = (value: Buffer, byte: number): Buffer => Buffer.concat([Buffer.from([byte]), value.subarray(1)])
const withId = (value: Buffer, id: number): Buffer => {
  const copy = Buffer.from(value)
  copy.writeUInt32BE(id, 1)
  return copy
}
const placed = (serial: number, origin = `${foreign}producer`): Headers => ({ origin, position: sequencePosition(serial) }) // prettier-ignore

/** A trade or quote with another number, under an origin of its own. */
const numbers =
  (group: string, price: string): Kind['make'] =>
  (making) => {
    if (making.topic === topics.marketTrades)
      return { ...encoded(making, trade(making, group, { price })), headers: placed(making.serial) }
    if (making.topic === topics.marketQuotes)
      return { ...encoded(making, quote(making, group, { bidPrice: price })), headers: placed(making.serial) }
    return undefined
  }

const withHeaders =
  (headers: (making: Making) => Headers): Kind['make'] =>
  (making) => {
    const made = good(making, 'H')
    return made && { ...made, headers: headers(making) }
  }

export const kinds: readonly Kind[] = [
  { name: 'not in the wire format', ...undecodable, make: () => ({ value: Buffer.from('{"price": 1}') }) },
  { name: 'wrong magic', ...undecodable, make: (making) => ({ value: withFirst(anyValue(making), 1) }) },
  { name: 'truncated', ...undecodable, make: (making) => ({ value: half(anyValue(making)) }) },
  { name: 'bytes left over', ...undecodable, make: (making) => ({ value: Buffer.concat([anyValue(making), Buffer.alloc(3, 1)]) }) }, // prettier-ignore
  { name: 'empty', ...undecodable, make: () => ({ value: Buffer.alloc(0) }) },
  { name: 'null', ...undecodable, make: () => ({ value: null }) },
  { name: 'unknown schema', ...undecodable, make: (making) => ({ value: withId(anyValue(making), unknownId) }) },
  { name: 'schema of another subject', ...undecodable, from: 'later', make: (making) => ({ value: withId(anyValue(making), making.schemaIds.get(topics.deadLetters.name) ?? 0) }) }, // prettier-ignore
  { name: 'garbage under a genuine key', ...undecodable, make: ({ genuineKey: key, serial }) => (key === undefined ? undefined : { key, value: Buffer.from('?'), headers: placed(serial, key.toUpperCase()) }) }, // prettier-ignore
  { name: 'too large for the DLQ', ...undecodable, make: ({ topic }) => (topic === topics.chainBlocks ? { value: Buffer.alloc((topic.maxMessageBytes ?? 0) - 8 * 1024, 7) } : undefined) }, // prettier-ignore
  { name: 'no headers', ...taken, make: (making) => good(making, 'N') },
  { name: 'an origin of its own', ...taken, make: (making) => ((made) => made && { ...made, headers: placed(making.serial) })(good(making, 'P')) }, // prettier-ignore
  { name: 'behind its origin', ...dropped, make: behind },
  { name: 'redriven, never left out', ...dropped, make: withHeaders(() => ({ 'only-step': 'timescale-trades', 'left-out': '999999999' })) }, // prettier-ignore
  { name: 'redriven, not understood', ...dropped, make: withHeaders(() => ({ 'only-step': 'build-candles', 'left-out': '-1' })) }, // prettier-ignore
  { name: 'NUL in text', processors: ['taken', 'invalid'], sinks: ['refused', 'invalid'], from: 'now', make: (making) => (making.topic === topics.marketTrades ? { ...encoded(making, trade(making, 'P', { tradeId: `a\0${making.serial}` })), headers: placed(making.serial) } : undefined) }, // prettier-ignore
  { name: 'id of 3,000 letters', processors: ['taken', 'invalid'], sinks: ['refused', 'invalid'], from: 'now', make: (making) => (making.topic === topics.marketTrades ? { ...encoded(making, trade(making, 'P', { tradeId: longText(making.random) })), headers: placed(making.serial) } : undefined) }, // prettier-ignore
  { name: 'price 0', ...invalid, make: numbers('V', '0') },
  { name: 'price -5', ...invalid, make: numbers('V', '-5') },
  { name: 'price NaN', ...invalid, make: numbers('V', 'NaN') },
  { name: 'price 1e400', ...invalid, make: numbers('V', '1e400') },
  { name: 'confidence NaN', ...invalid, make: (making) => (making.topic === topics.patternsMatches ? { ...encoded(making, match(making.serial, { confidence: NaN })), headers: placed(making.serial) } : undefined) }, // prettier-ignore
  { name: 'NUL in a header', ...unstamped, make: withHeaders(({ serial }) => placed(serial, 'foreign\0')) },
  { name: 'origin of 3,000 letters', ...unstamped, make: withHeaders(({ serial, random }) => placed(serial, longText(random))) }, // prettier-ignore
  { name: 'origin without a position', ...unstamped, make: withHeaders(() => ({ origin: `${foreign}half` })) },
  { name: 'position that is none', ...unstamped, make: withHeaders(() => ({ origin: `${foreign}words`, position: 'zzzz' })) }, // prettier-ignore
  { name: 'position of another form', ...unstamped, make: (making) => (making.genuineOrigin === undefined ? undefined : withHeaders(() => ({ origin: making.genuineOrigin, position: 'zzzz' }))(making)) }, // prettier-ignore
  { name: 'watermark that is none', ...unstamped, make: () => ({ value: null, headers: { origin: `${foreign}mark`, mark: 'soon' } }) }, // prettier-ignore
  { name: 'a count beyond the bytes', ...undecodable, from: 'later', make: bomb },
  { name: 'a day ahead', processors: ['ahead'], sinks: ['ahead'], from: 'later', make: ahead },
]

/** Between this and the end of `value` lies at least one field. */
const half = (value: Buffer): Buffer => value.subarray(0, 5 + Math.floor((value.length - 5) / 2))

/** As an overtaken writer would send it: the origin has come further long ago. */
function behind(making: Making): Made | undefined {
  const { genuineOrigin: origin, genuineKey: key } = making
  const made = good(making, 'B')
  if (made === undefined || origin === undefined || key === undefined) return undefined
  return { ...made, key, headers: { origin, position: sequencePosition(0) } }
}

/** An array of two thousand million items, of which there is none. */
function bomb({ topic, schemaIds }: Making): Made | undefined {
  if (topic !== topics.patternsMatches) return undefined
  const type = typeOf(topic.name)
  const bytes = type.toBuffer(match(0))
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(schemaIds.get(topic.name) ?? 0, 1)
  return { value: Buffer.concat([prefix, bytes.subarray(0, 8), Buffer.from('feffffff0f', 'hex')]) }
}

function ahead(making: Making): Made | undefined {
  const ts = (Date.now() + 86_400_000) * 1_000
  const record = recordOf(making, 'A')
  return record && { ...encoded(making, { ...record, ts }), headers: placed(making.serial, `${foreign}ahead`) }
}

/** @returns a kind that no other run has: good records of a version of the schema that was just registered */
export const newerVersion = (schemaId: number): Kind => ({
  name: 'newer schema version',
  ...taken,
  make(making) {
    const made = good(making, 'P')
    if (made === undefined || made.value === null) return undefined
    return { ...made, value: withId(made.value, schemaId), headers: placed(making.serial) }
  },
})
