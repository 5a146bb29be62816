/** Our readers of Avro records: what avsc reads, for every schema, and nothing that it refuses. */
import avro, { type Schema } from 'avsc'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { compileChecker } from '../../../workers/runtime/avro-checker.ts'
import { compileReader, type Reader } from '../../../workers/runtime/avro-reader.ts'
import { typeOf } from '../../../workers/runtime/codec.ts'
import { trade, transfer } from '../../../ops/bench/records.ts'
import { plainValuesOf, valuesOf } from './avro-values.ts'

const compiled = Object.values(topics).flatMap(({ name }) => {
  const [type, read] = [typeOf(name), compileReader(typeOf(name))]
  return read === undefined ? [] : [{ name, type, read }]
})
/** Maps and bytes are left to avsc. */
const uncompiled = [topics.alertsFired, topics.deadLetters, topics.patternsMatches, topics.stateSnapshots]

it('reads all topics but those with maps and bytes', () => {
  const names = new Set(compiled.map(({ name }) => name))
  const others = Object.values(topics).filter(({ name }) => !names.has(name))
  expect(others.map(({ name }) => name).sort()).toEqual(uncompiled.map(({ name }) => name).sort())
})

describe.each(compiled)('$name', ({ type, read }) => {
  const check = compileChecker(type)
  const asAvsc = (bytes: Buffer): void => {
    const got: unknown = read(bytes, 0)
    if (got === undefined) return
    expect(got).toEqual(type.fromBuffer(bytes))
    check(bytes, 0)
  }

  it('is read as avsc reads it', () => {
    let reads = 0
    fc.assert(
      fc.property(plainValuesOf(type), (record) => {
        const bytes = type.toBuffer(record)
        const got: unknown = read(Buffer.concat([Buffer.from('12345'), bytes]), 5)
        if (got === undefined) return
        reads++
        expect(got).toEqual(type.fromBuffer(bytes))
      }),
    )
    expect(reads).toBeGreaterThan(0)
  })

  it('is read as avsc reads it, or not at all, whatever it holds, and nothing that the check refuses', () => {
    fc.assert(fc.property(valuesOf(type), (record) => asAvsc(type.toBuffer(record))))
  })

  it('is left to avsc where bytes are wrong, missing or left over', () => {
    fc.assert(
      fc.property(plainValuesOf(type), fc.nat(), fc.nat(255), (record, place, byte) => {
        const bytes = type.toBuffer(record)
        const at = place % bytes.length
        expect(read(bytes.subarray(0, at), 0)).toBeUndefined()
        expect(read(Buffer.concat([bytes, Buffer.of(0)]), 0)).toBeUndefined()
        bytes[at] = byte
        asAvsc(bytes)
      }),
    )
  })
})

describe('a compiled reader', () => {
  const recordOf = (type: Schema) => avro.Type.forSchema({ type: 'record', name: 'Any', fields: [{ name: 'a', type }] })
  const readerOf = (type: Schema): Reader => {
    const read = compileReader(recordOf(type))
    if (read === undefined) throw new Error('there is no reader')
    return read
  }
  const readOf = (type: Schema, a: unknown): unknown => readerOf(type)(recordOf(type).toBuffer({ a }), 0)
  const ints: Schema = { type: 'array', items: 'int' }
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
    ['a list of lists', { type: 'array', items: ints }, [[1], [], [2, 3]]],
    ['an option whose nothing comes second', ['string', 'null'], 'x'],
    ['nothing that comes second', ['string', 'null'], null],
    ['text of twelve characters', 'string', 'x'.repeat(12)],
    ['text of thirteen characters', 'string', 'x'.repeat(13)],
  ])('reads %s', (_what, type, a) => {
    expect(readOf(type, a)).toEqual({ a })
  })

  it.each<[string, Schema, unknown]>([
    ['short text beyond ASCII', 'string', 'é'],
    ['numbers that may not be exact', 'long', Number.MAX_SAFE_INTEGER - 1],
    ['NaN', 'double', NaN],
    ['Infinity', 'double', Infinity],
    ['long text that may be none', 'string', '\ufffd'.repeat(20)],
  ])('leaves %s to avsc', (_what, type, a) => {
    expect(readOf(type, a)).toBeUndefined()
  })

  it('leaves out what has parts that it does not know', () => {
    const many = Array.from({ length: 65 }, (_, index) => `S${index}`)
    for (const type of [
      { type: 'map', values: 'string' },
      ['int', 'string'],
      { type: 'enum', name: 'Many', symbols: many },
    ] satisfies Schema[])
      // prettier-ignore
      expect(compileReader(recordOf(type))).toBeUndefined()
  })

  it('reads lists of several blocks, and leaves those with sizes to avsc', () => {
    expect(readerOf(ints)(Buffer.from([2, 4, 4, 6, 8, 0]), 0)).toEqual({ a: [2, 3, 4] })
    expect(readerOf(ints)(Buffer.from([1, 2, 4, 0]), 0)).toBeUndefined()
  })

  it.each<[string, Schema, number]>([
    ['a number', 'long', 9],
    ['a number', 'long', 200],
    ['a count', ints, 9],
    ['a count', ints, 200],
  ])('leaves %s (%j) behind %i bytes that only go on to avsc', (_what, type, bytes) => {
    for (const end of [[0], [0, 0], [0, 2, 4, 0]])
      expect(readerOf(type)(Buffer.concat([Buffer.alloc(bytes, 0x80), Buffer.from(end)]), 0)).toBeUndefined()
  })

  it('gives up on what is longer than it takes', () => {
    // Two bytes say how long the text is.
    expect(readOf('string', 'x'.repeat(1_022))).toEqual({ a: 'x'.repeat(1_022) })
    expect(readOf('string', 'x'.repeat(1_023))).toBeUndefined()
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
