/** Our writers of Avro records: byte for byte what avsc writes, for every schema. */
import avro from 'avsc'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { compileWriter, unusual } from '../../../workers/runtime/avro-writer.ts'
import { Encoder, typeOf } from '../../../workers/runtime/codec.ts'
import { soundValuesOf } from './avro-values.ts'

const isRecord = (value: unknown): value is object => typeof value === 'object' && value !== null

describe.each(Object.values(topics).map((topic) => [topic.name, topic] as const))('%s', (name, topic) => {
  const encoder = new Encoder(new Map([[name, 7]]))

  it('is written as avsc writes it', () => {
    fc.assert(
      fc.property(soundValuesOf(typeOf(name)), (record) => {
        if (!isRecord(record)) throw new Error('a topic holds records')
        const written = encoder.encode(topic, record)
        expect(written.subarray(5).equals(typeOf(name).toBuffer(record))).toBe(true)
        expect(written.subarray(0, 5).toString('hex')).toBe('0000000007')
      }),
    )
  })

  it('is refused where avsc refuses it', () => {
    expect(() => encoder.encode(topic, {})).toThrow('does not fit the schema')
  })
})

describe('a compiled writer', () => {
  const write = (schema: avro.Schema, record: object, room = 100): number | undefined =>
    compileWriter(avro.Type.forSchema(schema))?.(record, Buffer.alloc(room), 0)
  const of = (type: avro.Schema): avro.Schema => ({ type: 'record', name: 'Any', fields: [{ name: 'a', type }] })

  it.each([
    ['string', 5],
    ['string', 'é'],
    ['string', undefined],
    ['long', 0.5],
    ['long', NaN],
    ['long', 2 ** 52],
    ['int', 2 ** 31],
    ['double', '1'],
    ['double', NaN],
    ['double', -Infinity],
    ['boolean', 1],
  ])('leaves what is no plain %s to avsc: %s', (type, a) => {
    expect(write(of(type), { a })).toBe(unusual)
  })

  it('leaves out what has parts that it does not know', () => {
    expect(write(of({ type: 'map', values: 'string' }), { a: {} })).toBeUndefined()
    expect(write(of(['int', 'string']), { a: 1 })).toBeUndefined()
  })

  it('says where there is no room', () => {
    for (const a of ['x'.repeat(10), 'x'.repeat(40)]) expect(write(of('string'), { a }, 8)).toBeGreaterThan(8)
    expect(write(of('double'), { a: 1 }, 7)).toBeGreaterThan(7)
  })

  it('fills slabs to their end and goes on in others', () => {
    const topic = topics.marketTrades
    const encoder = new Encoder(new Map([[topic.name, 1]]))
    const trade = (size: number) => ({ id: 'x'.repeat(size), venue: 'v', symbol: 's', ts: 1, receivedAt: 2, tradeId: '3', side: 'buy', price: '4', size: '5' }) // prettier-ignore
    const sizes = Array.from({ length: 3_000 }, (_, index) => (index * 7_919) % 2_000).concat(3_000_000, 10)
    const written = sizes.map((size) => encoder.encode(topic, trade(size)))
    for (const [index, bytes] of written.entries())
      expect(bytes.subarray(5).equals(typeOf(topic.name).toBuffer(trade(sizes[index] ?? 0)))).toBe(true)
  })
})
