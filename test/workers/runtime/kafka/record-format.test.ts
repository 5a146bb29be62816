/** Our encoding of Kafka's records: byte for byte what kafkajs writes, and read as kafkajs reads it. */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeRecord, encodeRecord } from '../../../../workers/runtime/kafka/record-format.ts'

const require = createRequire(import.meta.url)
const kafkajs = {
  encode: require('kafkajs/src/protocol/recordBatch/record/v0/index.js'),
  decode: require('kafkajs/src/protocol/recordBatch/record/v0/decoder.js'),
  Decoder: require('kafkajs/src/protocol/decoder.js'),
}

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.string({ minLength: 30, maxLength: 300 }))
const bytes = fc.oneof(
  text,
  fc.uint8Array().map((array) => Buffer.from(array)),
)
const some = fc.oneof(bytes, fc.constant(null))
const record = fc.record({
  offsetDelta: fc.nat(1_000_000),
  timestampDelta: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  key: some,
  value: some,
  headers: fc.dictionary(
    text.filter((name) => name !== '__proto__'),
    fc.oneof(bytes, fc.array(bytes, { minLength: 1, maxLength: 3 })),
  ),
})
const batch = {
  firstOffset: '9007199254',
  firstTimestamp: '1723161254000',
  maxTimestamp: '1723161254999',
  magicByte: 2,
}

describe('record format', () => {
  it('writes the bytes that kafkajs writes', () => {
    fc.assert(
      fc.property(record, (one) => {
        expect(encodeRecord(one).buffer.equals(kafkajs.encode(one).buffer)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  it('reads what kafkajs reads, under either kind of time', () => {
    fc.assert(
      fc.property(record, fc.constantFrom(0, 1), (one, timestampType) => {
        const body = () => new kafkajs.Decoder(new kafkajs.Decoder(encodeRecord(one).buffer).readVarIntBytes())
        const context = { ...batch, timestampType }
        expect(decodeRecord(body(), context)).toEqual(kafkajs.decode(body(), context))
      }),
      { numRuns: 500 },
    )
  })

  it('keeps what it returned valid while more is written', () => {
    const first = encodeRecord({ key: 'a', value: Buffer.alloc(1_000, 1) }).buffer
    const copy = Buffer.from(first)
    for (let count = 0; count < 1_000; count++) encodeRecord({ key: 'b', value: Buffer.alloc(1_000, 2) })
    expect(first.equals(copy)).toBe(true)
  })

  it('writes a value larger than its memory', () => {
    const one = { key: 'k', value: Buffer.alloc(3_000_000, 7), headers: { origin: 'o' } }
    expect(encodeRecord(one).buffer.equals(kafkajs.encode(one).buffer)).toBe(true)
  })
})
