/**
 * Readers of records, compiled from their Avro schema: the counterpart of `avro-writer.ts`.
 *
 * avsc makes each text by a call into the engine, behind three calls a field; that is most of what decoding costs. A reader here
 * makes one text of the whole value and cuts the short ones out of it (µs a record, before → after: trade 0.58 → 0.32,
 * transfer 0.84 → 0.75). It reads what is plain; anything else (short text beyond ASCII, a number that may not be exact, bytes
 * that are missing or left over, text that may be none, NaN) it leaves to avsc and to the check before it, which says what is wrong.
 *
 * Format: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
import { compileFunction } from 'node:vm'
import avro, { type Type } from 'avsc'

/**
 * Reads the record that fills a buffer from a place on.
 * @returns a plain object of what avsc would read, or undefined where avsc must read it
 */
export type Reader = (bytes: Buffer, at: number) => ReturnType<Type['fromBuffer']>

/** Records that are longer are left to avsc; lengths have two bytes at most. */
const longest = 1024
/** The engine copies a part of so many characters; a longer one would be a view that keeps the whole text in memory. */
const shortText = 12

/** @returns the reader of a record type, or undefined where the type has parts that only avsc knows. */
export function compileReader(type: Type): Reader | undefined {
  const parts = partsOf(type, 'record')
  if (parts === undefined) return undefined
  const read: unknown = compileFunction(
    `const { length } = bytes
    if (length > ${longest}) return undefined
    const whole = bytes.latin1Slice()
    let code = 0, number = 0, scale = 0, start = 0, bits = 0
    ${parts}
    return at === length && bits < 128 ? record : undefined`,
    ['bytes', 'at'],
  )
  return isReader(read) ? read : undefined
}

const isReader = (compiled: unknown): compiled is Reader => typeof compiled === 'function'

/** @returns statements that declare `name` and read into it; bytes beyond the end are undefined, which `at` tells at last. */
function partsOf(type: Type, name: string): string | undefined {
  const { types } = avro
  if (type instanceof types.StringType) return text(name)
  if (type instanceof types.LongType) return `${varint(Number.MAX_SAFE_INTEGER, 9)} const ${name} = ${unzigzag};`
  if (type instanceof types.IntType) return `${varint(0xffff_ffff, 5)} const ${name} = ${unzigzag};`
  if (type instanceof types.DoubleType)
    return `if (!(at + 8 <= length)) return undefined; const ${name} = bytes.readDoubleLE(at); at += 8;
      if (!Number.isFinite(${name})) return undefined;`
  if (type instanceof types.BooleanType)
    return `code = bytes[at++]; if (code > 1) return undefined; const ${name} = code === 1;`
  if (type instanceof types.EnumType) return symbol(type.symbols, name)
  if (type instanceof types.RecordType) return fields(type, name)
  if (type instanceof types.UnwrappedUnionType) return option(type.types, name)
  if (type instanceof types.ArrayType) return list(type.itemsType, name)
  return undefined
}

const text = (name: string): string => `
  number = bytes[at++];
  if (number > 127) { code = bytes[at++]; if (code > 127) return undefined; number += 128 * code - 128; }
  if (number & 1) return undefined;
  start = at; at += number / 2;
  if (!(at <= length)) return undefined;
  let ${name} = '';
  if (at - start > ${shortText}) {
    ${name} = bytes.utf8Slice(start, at);
    if (${name}.includes('\\ufffd')) return undefined;
  } else { for (let index = start; index < at; index++) bits |= bytes[index]; ${name} = whole.slice(start, at); }`

const varint = (most: number, mostBytes: number): string => `
  number = 0; scale = 1;
  do { code = bytes[at++]; number += (code & 127) * scale; scale *= 128; } while (code > 127 && scale < ${128 ** mostBytes});
  if (code > 127 || number > ${most}) return undefined;`

const unzigzag = '(number & 1) === 0 ? number / 2 : -(number + 1) / 2'

/** Numbers of one byte. */
const mostSymbols = 64

function symbol(symbols: readonly string[], name: string): string | undefined {
  if (symbols.length > mostSymbols) return undefined
  const choice = symbols.map((one, index) => `code === ${2 * index} ? ${JSON.stringify(one)} : `)
  return `code = bytes[at++]; const ${name} = ${choice.join('')}undefined; if (${name} === undefined) return undefined;`
}

function fields(type: avro.types.RecordType, name: string): string | undefined {
  // Of a list of such the bytes would not bound the items.
  if (type.fields.length === 0) return undefined
  const parts = type.fields.map((field, index) => partsOf(field.type, `${name}_${index}`))
  if (parts.includes(undefined)) return undefined
  const members = type.fields.map((field, index) => `${JSON.stringify(field.name)}: ${name}_${index}`)
  return `${parts.join(' ')} const ${name} = { ${members.join(', ')} };`
}

/** Unions of null and one other type, which is what an optional field is. */
function option(types: readonly Type[], name: string): string | undefined {
  const empty = types.findIndex((type) => type instanceof avro.types.NullType)
  const other = types[1 - empty]
  if (types.length !== 2 || empty < 0 || other === undefined) return undefined
  const parts = partsOf(other, `${name}_some`)
  if (parts === undefined) return undefined
  return `let ${name} = null; code = bytes[at++];
    if (code === ${2 - 2 * empty}) { ${parts} ${name} = ${name}_some; } else if (code !== ${2 * empty}) return undefined;`
}

/** Blocks of items, each behind its count; the last counts none. */
function list(items: Type, name: string): string | undefined {
  const parts = partsOf(items, `${name}_item`)
  if (parts === undefined) return undefined
  return `const ${name} = [];
    for (;;) {
      ${varint(2 * longest, 9)}
      if (number === 0) break;
      if (number & 1) return undefined;
      for (let ${name}_left = number / 2; ${name}_left > 0; ${name}_left--) { ${parts} ${name}.push(${name}_item); }
    }`
}
