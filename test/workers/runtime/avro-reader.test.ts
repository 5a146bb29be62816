/** Our readers of Avro records: what avsc reads, for every schema, and nothing that it refuses. */
import avro, { type Schema } from 'avsc'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { compileReader } from '../../../workers/runtime/avro-reader.ts'
import { typeOf } from '../../../workers/runtime/codec.ts'
import { trade, transfer } from '../../../ops/bench/records.ts'
import { valuesOf } from './avro-values.ts'

describe.each(Object.values(topics).map(({ name }) => name))('%s', (name) => {
  const type = typeOf(name)
  const read = compileReader(type) ?? (() => undefined)

  it('is read as avsc reads it', () => {
    fc.assert(
      fc.property(valuesOf(type), (record) => {
        const bytes = type.toBuffer(record)
        const got: unknown = read(Buffer.concat([Buffer.from('12345'), bytes]), 5)
        if (got !== undefined) expect(got).toEqual(type.fromBuffer(bytes))
      }),
    )
  })

  it('is left to avsc where bytes are wrong, missing or left over', () => {
    fc.assert(
      fc.property(valuesOf(type), fc.nat(), fc.nat(255), (record, place, byte) => {
        const bytes = type.toBuffer(record)
        const at = place % bytes.length
        expect(read(bytes.subarray(0, at), 0)).toBeUndefined()
        expect(read(Buffer.concat([bytes, Buffer.of(0)]), 0)).toBeUndefined()
        bytes[at] = byte
        const got: unknown = read(bytes, 0)
        if (got !== undefined) expect(got).toEqual(type.fromBuffer(bytes))
      }),
    )
  })
})

describe('a compiled reader', () => {
  const readOf = (type: Schema, a: unknown): unknown => {
    const record = avro.Type.forSchema({ type: 'record', name: 'Any', fields: [{ name: 'a', type }] })
    return compileReader(record)?.(record.toBuffer({ a }), 0)
  }
  const options: Schema = ['null', { type: 'array', items: { type: 'record', name: 'Item', fields: [{ name: 'b', type: 'int' }] } }] // prettier-ignore
  const sides: Schema = { type: 'enum', name: 'Side', symbols: ['buy', 'sell'] }

  it.each<[string, Schema, unknown]>([
    ['text', 'string', ''],
    ['text of two bytes of length', 'string', 'x'.repeat(900)],
    ['long text beyond ASCII', 'string', 'é'.repeat(20)],
    ['a large number', 'long', Number.MAX_SAFE_INTEGER / 2 - 0.5],
    ['a number below zero', 'long', -1_723_161_254_000_000],
    ['an int', 'int', -(2 ** 31)],
    ['a double', 'double', -0.1],
    ['a flag', 'boolean', true],
    ['a symbol', sides, 'sell'],
    ['nothing', options, null],
    ['a list', options, [{ b: 1 }, { b: 2 }]],
    ['an empty list', options, []],
  ])('reads %s', (_what, type, a) => {
    expect(readOf(type, a)).toEqual({ a })
  })

  it.each<[string, Schema, unknown]>([
    ['short text beyond ASCII', 'string', 'é'],
    ['records that are long', 'string', 'x'.repeat(1_024)],
    ['numbers that may not be exact', 'long', Number.MAX_SAFE_INTEGER - 1],
  ])('leaves %s to avsc', (_what, type, a) => {
    expect(readOf(type, a)).toBeUndefined()
  })

  it('leaves out what has parts that it does not know', () => {
    expect(readOf({ type: 'map', values: 'string' }, {})).toBeUndefined()
    expect(readOf(['int', 'string'], 1)).toBeUndefined()
  })

  it('reads the records that come most often', () => {
    const seen: [string, object][] = [
      [topics.marketTrades.name, trade(1)],
      [topics.chainTransfers.name, transfer(1)],
    ]
    for (const [name, record] of seen)
      expect(compileReader(typeOf(name))?.(typeOf(name).toBuffer(record), 0)).toEqual(record)
  })
})
