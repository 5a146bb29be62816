/** Message headers: origin and position of every record, links of journals, and marks of time. */
import { isUtf8 } from 'node:buffer'
import type { Mark } from './state/engine.ts'
import { isPosition, type Placed } from './position.ts'

/** What every message carries; values as Kafka gives them. */
export type Headers = Record<string, Buffer | string | (Buffer | string)[] | undefined>

/** @returns the place that a message's headers name, or undefined where it has none. */
export function placeOf(headers: Headers | undefined): Placed | undefined {
  const origin = text(headers?.origin)
  const position = text(headers?.position)
  if (origin === undefined || position === undefined) return undefined
  const [before, tip] = [text(headers?.extends), text(headers?.tip)]
  if (before === undefined || tip === undefined) return { origin, position }
  return { origin, position, link: { extends: before, tip } }
}

/** The headers of a record or mark at a place. */
export function placeHeaders(place: Placed): Headers {
  const { origin, position, link } = place
  return link === undefined ? { origin, position } : { origin, position, extends: link.extends, tip: link.tip }
}

/**
 * The headers of a mark: `mark` is the time, for chains followed by the block, the finalized block and
 * the word removed, and `chain` is which.
 * A mark without a position (a market connector's) can be read twice without harm, since time only moves forward.
 */
export function markHeaders(mark: Mark, position: string | undefined): Headers {
  const parts = [mark.time, ...(mark.block === null ? [] : [mark.block, mark.finalized ?? '-'])]
  const headers: Headers = { origin: mark.origin, mark: parts.join(' ') + (mark.removed ? ' removed' : '') }
  if (mark.chainId !== null && mark.chainId !== undefined) headers.chain = String(mark.chainId)
  return position === undefined ? headers : { ...headers, position }
}

/** @returns the mark that the headers hold, or undefined where the message is a record. */
export function markOf(headers: Headers | undefined): Mark | undefined {
  const value = text(headers?.mark)
  const origin = text(headers?.origin)
  if (value === undefined || origin === undefined) return undefined
  const [time, block, finalized, removed] = value.split(' ')
  const chainId = text(headers?.chain)
  return {
    origin,
    time: Number(time),
    chainId: chainId === undefined ? null : Number(chainId),
    block: block === undefined ? null : Number(block),
    finalized: finalized === undefined || finalized === '-' ? null : Number(finalized),
    removed: removed === 'removed',
  }
}

/** A message as far as its place is concerned; null: it has none. */
export interface Addressed {
  readonly headers?: Headers | undefined
  readonly key?: Buffer | string | null
  readonly value?: Buffer | string | null
}

/** Bytes of a key. */
export const longestKey = 1_024
/** Bytes of an origin, and of what a journal's message extends. */
const longestOrigin = 512
const longestTip = 256
/** Headers of a message, and the bytes of all of them. */
const mostHeaders = 64
const mostHeaderBytes = 16_384

/**
 * Says what is wrong with a message's key and headers, the header first, or undefined. Whoever wrote such a message is not
 * one of our steps, and neither its place nor its time can be believed.
 */
export function headerFault({ headers, key, value }: Addressed): string | undefined {
  const keyFault = key === undefined || key === null ? undefined : textFault('key', key, longestKey)
  if (headers === undefined || keyFault !== undefined) return keyFault
  const { origin, position, extends: before, tip, mark } = headers
  return (
    (origin === undefined ? undefined : nameFault('origin', origin, longestOrigin)) ??
    (position === undefined ? undefined : positionFault(position)) ??
    (origin === undefined && (position !== undefined || mark !== undefined) ? 'origin: there is none' : undefined) ??
    (origin !== undefined && position === undefined && mark === undefined ? 'position: there is none' : undefined) ??
    (before === undefined && tip === undefined ? undefined : linkFault(headers)) ??
    (mark === undefined ? undefined : markFault(headers, value)) ??
    sizeFault(headers)
  )
}

/** What a header holds; Kafka may give null. */
type Value = Headers[string] | null

/** The only value of a header: one that comes twice says two things. */
const only = (value: Value): Buffer | string | undefined =>
  Array.isArray(value) || value === null || value === undefined ? undefined : value

/** A text as it reads in an error: short, and without what a terminal or a database would not take. */
const shown = (value: Value): string => JSON.stringify(only(value)?.toString().slice(0, 40) ?? 'not one text')

const bytesOf = (text: Buffer | string): Buffer => (typeof text === 'string' ? Buffer.from(text) : text)

function textFault(name: string, text: Buffer | string, longest: number): string | undefined {
  const bytes = bytesOf(text)
  if (bytes.length > longest) return `${name}: it has more than ${longest} bytes`
  let bits = 0
  for (let at = 0; at < bytes.length; at++) bits |= bytes[at] ?? 0
  return bits < 0x80 || isUtf8(bytes) ? undefined : `${name}: it is not UTF-8`
}

/** Names may be of any letters, but not of what a terminal or a database does not take. */
function nameFault(name: string, value: Value, longest: number): string | undefined {
  const text = only(value)
  if (text === undefined || text.length === 0) return `${name}: it has not one value`
  const bytes = bytesOf(text)
  if (bytes.length > longest) return `${name}: it has more than ${longest} bytes`
  let bits = 0
  for (let at = 0; at < bytes.length; at++) {
    const code = bytes[at] ?? 0
    bits |= code
    if (code < 0x20 || code === 0x7f) return `${name}: ${shown(text)} holds a control character`
  }
  return bits < 0x80 || isUtf8(bytes) ? undefined : `${name}: it is not UTF-8`
}

function positionFault(value: Value): string | undefined {
  const position = only(value)
  return position !== undefined && isPosition(position) ? undefined : `position: ${shown(value)} is none`
}

/** What is printed but space and comma: positions are stored with links, which those part. */
const linkShape = /^[!-+\--~]+$/

function linkFault({ origin, extends: before, tip }: Headers): string | undefined {
  if (origin === undefined) return 'origin: there is none beside a link'
  return wordFault('extends', before) ?? wordFault('tip', tip)
}

function wordFault(name: string, value: Value): string | undefined {
  const word = only(value)
  if (word === undefined) return `${name}: there is none`
  if (word.length > longestTip) return `${name}: it has more than ${longestTip} bytes`
  return linkShape.test(word.toString()) ? undefined : `${name}: ${shown(word)} is none`
}

function markFault({ mark, chain }: Headers, value: Addressed['value']): string | undefined {
  if (value !== undefined && value !== null) return 'mark: there is a value beside it'
  if (!isMark(only(mark)?.toString() ?? '')) return `mark: ${shown(mark)} is none`
  return chain === undefined || isCount(only(chain)?.toString()) ? undefined : `chain: ${shown(chain)} is none`
}

/** `1723118400000000`, or with blocks `1723118400000000 18000000 17999936 removed`. */
function isMark(text: string): boolean {
  const [time, block, finalized, removed, more] = text.split(' ', 5)
  const isBlock = isCount(block) && (finalized === '-' || isCount(finalized))
  return (
    isCount(time) && (block === undefined || (isBlock && (removed ?? 'removed') === 'removed' && more === undefined))
  )
}

/** Digits of a number that is exact. */
const isCount = (text: string | undefined): boolean =>
  text !== undefined && /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))

function sizeFault(headers: Headers): string | undefined {
  let [count, bytes] = [0, 0]
  for (const name in headers) {
    const value: Value = headers[name]
    bytes += name.length
    if (Array.isArray(value)) {
      count += value.length
      for (const one of value) bytes += one?.length ?? 0
    } else {
      count++
      bytes += value?.length ?? 0
    }
  }
  if (count > mostHeaders) return `there are ${count} headers, more than ${mostHeaders}`
  return bytes > mostHeaderBytes ? `the headers have ${bytes} bytes, more than ${mostHeaderBytes}` : undefined
}

/** What the headers of a redriven dead letter say. */
export interface Redrive {
  /** The step that it is meant for; others pass it over. */
  readonly step: string
  /** Where the record stands in the topic, which is the copy's. */
  readonly offset: number
  /** Whether the record is given up: there is nothing to process. */
  readonly skip: boolean
}

/**
 * The headers that a redriven copy of a record has besides the record's own: for which step it is, and where the record
 * stands. Readers that know neither drop it by its position, which they have seen.
 */
export function redriveHeaders({ step, offset, skip }: Redrive): Headers {
  return { 'only-step': step, 'left-out': `${offset}${skip ? ' skip' : ''}` }
}

/** @returns what a redriven message says; undefined where it is none that can be understood. */
export function redriveOf(headers: Headers | undefined): Redrive | undefined {
  const step = text(headers?.['only-step'])
  const [, digits, skip] = /^(\d{1,16})( skip)?$/.exec(text(headers?.['left-out']) ?? '') ?? []
  return step === undefined || digits === undefined
    ? undefined
    : { step, offset: Number(digits), skip: skip !== undefined }
}

/** Whether a message is meant for one step alone, and no part of its origin's sequence for others. */
export const isRedriven = (headers: Headers | undefined): boolean => headers?.['only-step'] !== undefined

function text(value: Value): string | undefined {
  const first = Array.isArray(value) ? value[0] : value
  return first?.toString()
}
