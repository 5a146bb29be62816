/**
 * Kafka's records, encoded and decoded without kafkajs's intermediate objects: kafkajs 2.2.4 makes a buffer of 512 bytes for
 * each record and each header, a further one for each number, and does its sums on BigInts, which is most of what
 * producing and consuming cost.
 *
 * Format: https://kafka.apache.org/documentation/#record (v2); numbers are zigzag varints as in Protocol Buffers.
 */
import { createRequire } from 'node:module'

type Bytes = Buffer | string | null | undefined

interface OutgoingRecord {
  readonly offsetDelta?: number
  readonly timestampDelta?: number
  readonly key?: Bytes
  readonly value: Bytes
  readonly headers?: Readonly<Record<string, Bytes | readonly Bytes[]>>
}

/** What kafkajs takes for one of its encoders. */
interface Encoded {
  readonly buf: Buffer
  readonly buffer: Buffer
}

const slabBytes = 1 << 18
/** Length, attributes, time and offset within the batch, number of headers. */
const mostOfHead = 5 + 1 + 10 + 5 + 5
const mostOfVarint = 5
/** Up to this length a loop over the characters is faster than a call into the engine. */
const shortText = 32

let slab = Buffer.allocUnsafeSlow(slabBytes)
let at = 0

/** Encodes one record; what it returns stays valid. */
export function encodeRecord({ offsetDelta = 0, timestampDelta = 0, key, value, headers }: OutgoingRecord): Encoded {
  const most = mostOfHead + mostOf(key) + mostOf(value) + mostOfHeaders(headers)
  if (at + most > slab.length) {
    slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, most))
    at = 0
  }
  // The length stands in front of the body and is known behind it.
  const start = at
  const body = start + mostOfVarint
  at = body
  slab[at++] = 0
  writeVarint(timestampDelta)
  writeVarint(offsetDelta)
  writeBytes(key)
  writeBytes(value)
  writeHeaders(headers)
  const end = at
  at = start
  writeVarint(end - body)
  const head = at - start
  slab.copyWithin(body - head, start, at)
  at = end
  const buffer = slab.subarray(body - head, end)
  return { buf: buffer, buffer }
}

function mostOf(bytes: Bytes): number {
  if (bytes === null || bytes === undefined) return mostOfVarint
  return mostOfVarint + (typeof bytes === 'string' ? 3 * bytes.length : bytes.length)
}

function mostOfHeaders(headers: OutgoingRecord['headers']): number {
  let most = 0
  for (const name in headers) {
    const value = headers[name]
    if (Array.isArray(value)) for (const one of value) most += mostOf(name) + mostOf(one)
    else if (isOne(value)) most += mostOf(name) + mostOf(value)
  }
  return most
}

const isOne = (value: Bytes | readonly Bytes[]): value is Bytes => !Array.isArray(value)

function writeHeaders(headers: OutgoingRecord['headers']): void {
  let count = 0
  for (const name in headers) {
    const value = headers[name]
    count += Array.isArray(value) ? value.length : 1
  }
  writeVarint(count)
  for (const name in headers) {
    const value = headers[name]
    for (const one of isOne(value) ? [value] : value) {
      writeBytes(name)
      writeBytes(one)
    }
  }
}

function writeBytes(bytes: Bytes): void {
  if (bytes === null || bytes === undefined) return writeVarint(-1)
  if (typeof bytes === 'string') return writeText(bytes)
  writeVarint(bytes.length)
  slab.set(bytes, at)
  at += bytes.length
}

function writeText(text: string): void {
  const { length } = text
  const start = at
  writeVarint(length)
  let written = 0
  if (length <= shortText) {
    let bits = 0
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index)
      bits |= code
      slab[at + index] = code
    }
    if (bits <= 0x7f) written = length
  } else written = slab.write(text, at)
  // Text beyond ASCII takes more bytes than it has characters.
  if (written !== length) {
    at = start
    writeVarint(Buffer.byteLength(text))
    written = slab.write(text, at)
  }
  at += written
}

/** @param value a safe integer */
function writeVarint(value: number): void {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  while (rest > 0x7f) {
    slab[at++] = (rest & 0x7f) | 0x80
    rest = rest > 0x7fffffff ? Math.floor(rest / 128) : rest >>> 7
  }
  slab[at++] = rest
}

interface Batch {
  readonly firstOffset: string
  readonly firstTimestamp: string
  readonly maxTimestamp: string
  readonly timestampType: number
  readonly magicByte: number
  readonly isControlBatch?: boolean
}

const logAppendTime = 1
/** Of headers that nearly every record has: compared in place, they halve what decoding a record costs. */
const usualNames = ['origin', 'position', 'traceparent', 'mark', 'extends', 'tip']

/** Decodes one record of a batch, as kafkajs hands it on. */
export function decodeRecord({ buffer }: { readonly buffer: Buffer }, batch: Batch) {
  const reader = new Reader(buffer)
  const attributes = reader.byte()
  const timestampDelta = reader.varint()
  const timestamp =
    batch.timestampType === logAppendTime ? batch.maxTimestamp : String(Number(batch.firstTimestamp) + timestampDelta)
  const offset = String(Number(batch.firstOffset) + reader.varint())
  const key = reader.bytes()
  const value = reader.bytes()
  const headers = reader.headers()
  const { magicByte, isControlBatch: isControlRecord = false } = batch
  return { magicByte, attributes, timestamp, offset, key, value, headers, isControlRecord, batchContext: batch }
}

class Reader {
  readonly #buffer: Buffer
  #at = 0

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  byte(): number {
    return this.#buffer[this.#at++] ?? 0
  }

  /** @returns a safe integer */
  varint(): number {
    let [value, scale, byte] = [0, 1, 0]
    do {
      byte = this.byte()
      value += (byte & 0x7f) * scale
      scale *= 128
    } while (byte > 0x7f)
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  bytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    this.#at += length
    return this.#buffer.subarray(this.#at - length, this.#at)
  }

  headers(): Record<string, Buffer | (Buffer | null)[] | null> {
    const headers: Record<string, Buffer | (Buffer | null)[] | null> = {}
    for (let count = this.varint(); count > 0; count--) {
      const name = this.#name()
      const value = this.bytes()
      const before = headers[name]
      if (before === undefined) headers[name] = value
      else headers[name] = Array.isArray(before) ? [...before, value] : [before, value]
    }
    return headers
  }

  #name(): string {
    const length = this.varint()
    const start = this.#at
    this.#at += length
    for (const name of usualNames) if (name.length === length && this.#holds(name, start)) return name
    return this.#buffer.toString('utf8', start, this.#at)
  }

  #holds(text: string, start: number): boolean {
    for (let index = 0; index < text.length; index++)
      if (this.#buffer[start + index] !== text.charCodeAt(index)) return false
    return true
  }
}

/** Has kafkajs use these; it loads its own when it first produces or fetches. */
export function mendRecords(): void {
  const require = createRequire(import.meta.url)
  const replace = (path: string, by: unknown): void => {
    require(path)
    const loaded = require.cache[require.resolve(path)]
    if (typeof loaded?.exports !== 'function') throw new Error(`kafkajs has changed: ${path} is no function`)
    loaded.exports = by
  }
  replace('kafkajs/src/protocol/recordBatch/record/v0/index.js', encodeRecord)
  replace('kafkajs/src/protocol/recordBatch/record/v0/decoder.js', decodeRecord)
}
