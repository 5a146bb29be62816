/** The check of a record's bytes: all that avsc writes passes, and nothing that would cost avsc more than the bytes or lose a value. */
import avro, { type Schema, type Type } from 'avsc'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { compileChecker } from '../../../workers/runtime/avro-checker.ts'
import { typeOf } from '../../../workers/runtime/codec.ts'
import { PoisonError } from '../../../workers/runtime/errors.ts'
import { soundValuesOf } from './avro-values.ts'

const typeFor = (schema: Schema): Type => avro.Type.forSchema(schema)
const recordOf = (type: Schema): Type =>
  typeFor({ type: 'record', name: 'Any', fields: [{ name: 'a', type }] } satisfies Schema)
/** @returns what is wrong with a record's bytes, code and text; undefined where nothing is */
function faultOf(type: Type, bytes: Buffer, reader?: Type): string | undefined {
  try {
    compileChecker(type, reader)(bytes, 0)
    return undefined
  } catch (error) {
    if (!(error instanceof PoisonError)) throw error
    return `${error.code} ${error.message}`
  }
}
const varint = (value: bigint): Buffer => {
  const bytes: number[] = []
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...bytes, Number(rest)])
    bytes.push(Number(rest & 127n) | 128)
  }
}
/** A count or a length as Avro writes it. */
const count = (value: bigint): Buffer => varint(value < 0n ? -2n * value - 1n : 2n * value)
const bytesOf = (...parts: readonly (Buffer | readonly number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(part)))

describe.each(Object.values(topics))('$name', ({ name }) => {
  const type = typeOf(name)
  const check = compileChecker(type)

  it('passes as avsc writes it', () => {
    fc.assert(
      fc.property(soundValuesOf(type), (record) => check(Buffer.concat([Buffer.alloc(5), type.toBuffer(record)]), 5)),
    )
  })

  it('passes cut off, longer or changed only where avsc reads it, and reads no text that is none', () => {
    fc.assert(
      fc.property(soundValuesOf(type), fc.nat(), fc.nat(255), (record, place, byte) => {
        const bytes = type.toBuffer(record)
        const at = place % bytes.length
        expect(faultOf(type, bytes.subarray(0, at))).toBeDefined()
        expect(faultOf(type, bytesOf(bytes, [0]))).toBeDefined()
        bytes[at] = byte
        if (faultOf(type, bytes) === undefined) expect(JSON.stringify(type.fromBuffer(bytes))).not.toContain('\ufffd')
      }),
    )
  })
})

const empty: Schema = { type: 'record', name: 'Empty', fields: [] }
const lists: Schema = { type: 'array', items: 'string' }
const nothings: Schema = { type: 'array', items: 'null' }
const tree: Schema = {
  type: 'record',
  name: 'Tree',
  fields: [{ name: 'next', type: { type: 'array', items: 'Tree' } }],
}
const far = count(100_000_000n)
/** Records of two records of two records …: a million values of no bytes. */
const doubled = Array.from({ length: 20 }).reduce<Schema>(
  (inner, _, level) => ({
    type: 'record',
    name: `Level${level}`,
    fields: [
      { name: 'a', type: inner },
      { name: 'b', type: level === 0 ? 'Empty' : `Level${level - 1}` },
    ],
  }),
  empty,
)

describe('bytes that say more than they hold', () => {
  it.each<[string, Schema, Buffer, RegExp]>([
    ['a list', lists, far, /^undecodable a: 100000000 items are to come, and 0 bytes are left$/],
    [
      'a list of doubles',
      { type: 'array', items: 'double' },
      bytesOf(count(2n), Buffer.alloc(15)),
      /2 items .* 15 bytes/,
    ],
    [
      'a list of lists',
      { type: 'array', items: lists },
      bytesOf(count(1n), far),
      /^undecodable a\[\]: 100000000 items/,
    ],
    ['a list with a size', lists, bytesOf(count(-100_000_000n), count(4n)), /a length|4 bytes are to come/],
    ['a list with a size below zero', lists, bytesOf(count(-1n), count(-1n), [0, 0]), /a length is below zero/],
    ['a list with a wrong size', lists, bytesOf(count(-1n), count(2n), [2, 65, 0]), /^$/],
    [
      'a list whose size is too small',
      lists,
      bytesOf(count(-1n), count(1n), [2, 65, 0]),
      /another length than it says/,
    ],
    ['a count of 63 bits', lists, count(2n ** 62n), /4611686018427388000 items/],
    [
      'the least count',
      lists,
      bytesOf(count(-(2n ** 63n)), count(0n)),
      /9223372036854775000 items|9223372036854776000 items/,
    ],
    ['a map', { type: 'map', values: 'int' }, far, /^undecodable a: 100000000 items/],
    ['nothings', nothings, far, /more than 1000 values take no bytes/],
    [
      'nothings in many blocks',
      nothings,
      bytesOf(...Array.from({ length: 600 }, () => count(2n)), [0]),
      /more than 1000/,
    ],
    ['empty records', { type: 'array', items: empty }, far, /more than 1000/],
    [
      'empty texts of no size',
      { type: 'array', items: { type: 'fixed', name: 'Fixed', size: 0 } },
      far,
      /more than 1000/,
    ],
    ['records within records', doubled, Buffer.alloc(0), /more than 1000/],
    ['text', 'string', far, /^undecodable a: 100000000 bytes are to come, and 0 are left$/],
    ['text of 62 bits', 'string', count(2n ** 61n), /bytes are to come/],
    ['text of a length below zero', 'string', count(-1n), /a length is below zero/],
    ['bytes', 'bytes', bytesOf(count(3n), [1, 2]), /3 bytes are to come, and 2 are left/],
    ['a fixed text', { type: 'fixed', name: 'Fixed', size: 16 }, Buffer.alloc(15), /the bytes end/],
    ['a double', 'double', Buffer.alloc(7), /the bytes end/],
    ['a float', 'float', Buffer.alloc(3), /the bytes end/],
    ['a number', 'long', Buffer.from([0x80]), /the bytes end/],
    ['a flag', 'boolean', Buffer.alloc(0), /the bytes end/],
    ['nothing at the end', 'int', Buffer.from([2, 0]), /^undecodable 1 bytes are left over$/],
  ])('are refused: %s', (_what, type, bytes, fault) => {
    expect(faultOf(recordOf(type), bytes) ?? '').toMatch(fault)
  })

  it('are refused where records lie in each other without end', () => {
    const deep = Buffer.alloc(2_000, 2)
    expect(faultOf(typeFor(tree), deep)).toMatch(/^undecodable records lie more than 64 deep in each other$/)
    expect(faultOf(typeFor(tree), bytesOf([2, 2, 2, 0], [0, 0, 0]))).toBeUndefined()
  })
})

describe('values that cannot be kept', () => {
  const map: Schema = { type: 'map', values: 'int' }
  it.each<[string, Schema, Buffer, string | undefined]>([
    ['true', 'boolean', Buffer.from([1]), undefined],
    ['a flag of 2', 'boolean', Buffer.from([2]), 'undecodable a: 2 is no boolean'],
    ['the largest exact number', 'long', count(BigInt(Number.MAX_SAFE_INTEGER)), undefined],
    ['the least exact number', 'long', count(-(2n ** 52n)), undefined],
    ['a larger number', 'long', count(2n ** 53n), 'undecodable a: the number is too large to be exact'],
    ['a lesser number', 'long', count(-(2n ** 52n) - 1n), 'undecodable a: the number is too large to be exact'],
    ['a number with zeros behind', 'long', Buffer.from([0x82, 0x80, 0]), undefined],
    ['a number of eleven bytes', 'long', Buffer.alloc(11, 0x80), 'undecodable a: a number takes more than 10 bytes'],
    ['the least int', 'int', count(-(2n ** 31n)), undefined],
    ['an int of 33 bits', 'int', count(2n ** 31n), 'undecodable a: the number has more than 32 bits'],
    [
      'an int of six bytes',
      'int',
      Buffer.from([0x82, 0x80, 0x80, 0x80, 0x80, 0]),
      'undecodable a: a number takes more than 5 bytes',
    ],
    ['NaN', 'double', Buffer.from('000000000000f87f', 'hex'), 'invalid a: NaN is not finite'],
    ['Infinity', 'double', Buffer.from('000000000000f07f', 'hex'), 'invalid a: Infinity is not finite'],
    ['-Infinity', 'float', Buffer.from('000080ff', 'hex'), 'invalid a: -Infinity is not finite'],
    ['text beyond ASCII', 'string', bytesOf(count(2n), Buffer.from('é')), undefined],
    ['U+FFFD', 'string', bytesOf(count(3n), Buffer.from('\ufffd')), undefined],
    ['half a character', 'string', bytesOf(count(1n), [0xc3]), 'invalid a: the text is not UTF-8'],
    ['a lone surrogate', 'string', bytesOf(count(3n), [0xed, 0xa0, 0x80]), 'invalid a: the text is not UTF-8'],
    [
      'long text with half a character',
      'string',
      bytesOf(count(101n), Buffer.alloc(100, 65), [0xff]),
      'invalid a: the text is not UTF-8',
    ],
    ['a choice', ['null', 'int'], Buffer.from([2, 4]), undefined],
    ['no choice', ['null', 'int'], Buffer.from([4, 4]), 'undecodable a: there is no choice of this number'],
    ['a choice below zero', ['null', 'int'], Buffer.from([1]), 'undecodable a: there is no choice of this number'],
    [
      'no symbol',
      { type: 'enum', name: 'Side', symbols: ['buy', 'sell'] },
      Buffer.from([4]),
      'undecodable a: there is no choice of this number',
    ],
    ['a map', map, bytesOf(count(2n), [2, 65, 2, 2, 66, 2, 0]), undefined],
    ['a key that comes twice', map, bytesOf(count(2n), [2, 65, 2, 2, 65, 2, 0]), 'invalid a: the key "A" comes twice'],
    [
      'a key that comes again in another block',
      map,
      bytesOf([2, 2, 65, 2], [2, 2, 65, 2, 0]),
      'invalid a: the key "A" comes twice',
    ],
    [
      'a key called __proto__',
      map,
      bytesOf([2], count(9n), Buffer.from('__proto__'), [2, 0]),
      'invalid a: no key can be __proto__',
    ],
    ['a key called constructor', map, bytesOf([2], count(11n), Buffer.from('constructor'), [2, 0]), undefined],
    [
      'a key of half a character',
      map,
      bytesOf([2], count(1n), [0xc3], [2, 0]),
      'invalid a key of a: the text is not UTF-8',
    ],
  ])('are told: %s', (_what, type, bytes, fault) => {
    expect(faultOf(recordOf(type), bytes)).toBe(fault)
  })

  it('are told of bytes that are read as text, and not of bytes that nobody reads', () => {
    const fields = (...list: readonly (readonly [string, Schema])[]): Type =>
      typeFor({ type: 'record', name: 'Any', fields: list.map(([name, type]) => ({ name, type })) })
    const writer = fields(['a', ['null', 'bytes']], ['b', 'bytes'])
    const broken = (field: 'a' | 'b'): Buffer =>
      writer.toBuffer({ a: Buffer.from(field === 'a' ? [0xff] : []), b: Buffer.from(field === 'b' ? [0xff] : []) })
    const reader = fields(['a', ['null', 'string']])
    expect(faultOf(writer, broken('a'), reader)).toBe('invalid a: the text is not UTF-8')
    expect(faultOf(writer, broken('b'), reader)).toBeUndefined()
    expect(faultOf(writer, broken('a'))).toBeUndefined()
  })
})
