/**
 * Checks the bytes of a record before avsc reads them. avsc believes whatever they say: it makes room for as many items as a
 * count tells, puts U+FFFD in the place of broken text, and loses a key called `__proto__`. What passes here it reads in time
 * and memory that are bounded by the bytes.
 *
 * Format: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
import { isUtf8 } from 'node:buffer'
import avro, { type Type } from 'avsc'
import { PoisonError, type PoisonCode } from './errors.ts'

/**
 * Checks the record that fills a buffer from a place on.
 * @throws PoisonError `undecodable` where the bytes do not fit the schema, `invalid` where a value cannot be kept: each
 *   names the field
 */
export type Checker = (bytes: Buffer, at: number) => void

/** Where a check stands in a record's bytes. */
interface Walk {
  readonly bytes: Buffer
  readonly view: DataView
  at: number
  depth: number
  /** Items without bytes (null, a record without fields) that may still come. */
  empty: number
}

type Check = (walk: Walk) => void

/** Records within records; only a schema that holds itself has more than a few. */
const mostDepth = 64
const mostEmpty = 1_000
/** The specification's: a long has 64 bits, an int 32, in bytes of seven. */
const longBytes = 10
const intBytes = 5
/** Up to this length a loop over the bytes is faster than a call into the engine. */
const shortText = 256
/** The highest bit of each of four bytes. */
const beyondAscii = 0x8080_8080

/**
 * @param writer the type that the records were written with
 * @param reader the type that they are read as: bytes may become text there
 */
export function compileChecker(writer: Type, reader: Type = writer): Checker {
  const check = new Compiler().check(writer, reader, '')
  return (bytes, at) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const walk: Walk = { bytes, view, at, depth: 0, empty: mostEmpty }
    check(walk)
    if (walk.at < bytes.length) fail('undecodable', '', `${bytes.length - walk.at} bytes are left over`)
  }
}

function fail(code: PoisonCode, path: string, why: string): never {
  throw new PoisonError(code, path === '' ? why : `${path}: ${why}`)
}

/** Makes the checks of a type; those of a record that holds itself come back to themselves. */
class Compiler {
  readonly #records = new Map<Type, Map<Type | undefined, Check>>()
  readonly #least = new Map<Type, number>()

  /** @param path names the field in errors */
  check(type: Type, reader: Type | undefined, path: string): Check {
    const { types } = avro
    if (type instanceof types.NullType) return (walk) => passEmpty(walk, path)
    if (type instanceof types.BooleanType) return (walk) => passBoolean(walk, path)
    if (type instanceof types.IntType) return (walk) => passInt(walk, path)
    if (type instanceof types.LongType) return (walk) => passLong(walk, path)
    if (type instanceof types.FloatType) return (walk) => passFloat(walk, path, 4)
    if (type instanceof types.DoubleType) return (walk) => passFloat(walk, path, 8)
    if (type instanceof types.StringType) return (walk) => passText(walk, path)
    if (type instanceof types.BytesType) {
      if (reader !== undefined && branchOf(reader, 'bytes') === undefined) return (walk) => passText(walk, path)
      return (walk) => passBytes(walk, path)
    }
    if (type instanceof types.FixedType) return (walk) => passFixed(walk, path, type.size)
    if (type instanceof types.EnumType) return (walk) => void indexOf(walk, path, type.symbols.length)
    if (type instanceof types.ArrayType) return this.#array(type, reader, path)
    if (type instanceof types.MapType) return this.#map(type, reader, path)
    if (type instanceof types.RecordType) return this.#record(type, reader, path)
    if (type instanceof types.UnwrappedUnionType || type instanceof types.WrappedUnionType) {
      const branches = type.types.map((branch) => this.check(branch, reader, path))
      return (walk) => branches[indexOf(walk, path, branches.length)]?.(walk)
    }
    throw new Error(`${path}: nothing is known of ${type.typeName}`)
  }

  #array(type: avro.types.ArrayType, reader: Type | undefined, path: string): Check {
    const within = branchOf(reader, 'array')
    const items = within instanceof avro.types.ArrayType ? within.itemsType : undefined
    const [check, least] = [this.check(type.itemsType, items, `${path}[]`), this.#leastOf(type.itemsType)]
    return (walk) => passBlocks(walk, path, least, check)
  }

  #map(type: avro.types.MapType, reader: Type | undefined, path: string): Check {
    const within = branchOf(reader, 'map')
    const values = within instanceof avro.types.MapType ? within.valuesType : undefined
    const check = this.check(type.valuesType, values, `${path}{}`)
    return (walk) => {
      const keys = new Set<string>()
      passBlocks(walk, path, 1 + this.#leastOf(type.valuesType), () => {
        passKey(walk, path, keys)
        check(walk)
      })
    }
  }

  #record(type: avro.types.RecordType, reader: Type | undefined, path: string): Check {
    const within = branchOf(reader, 'record')
    const known = this.#records.get(type) ?? new Map<Type | undefined, Check>()
    this.#records.set(type, known)
    const made = known.get(within)
    if (made !== undefined) return made
    const fields: Check[] = []
    const check: Check = (walk) => {
      if (++walk.depth > mostDepth) fail('undecodable', path, `records lie more than ${mostDepth} deep in each other`)
      if (fields.length === 0) passEmpty(walk, path)
      for (const field of fields) field(walk)
      walk.depth--
    }
    known.set(within, check)
    for (const { name, type: inner } of type.fields)
      fields.push(this.check(inner, fieldOf(within, name), path === '' ? name : `${path}.${name}`))
    return check
  }

  /** The fewest bytes that a value takes. */
  #leastOf(type: Type): number {
    const { types } = avro
    const known = this.#least.get(type)
    if (known !== undefined) return known
    // Of one that holds itself, where it does.
    this.#least.set(type, 0)
    let least = 1
    if (type instanceof types.NullType) least = 0
    else if (type instanceof types.FixedType) least = type.size
    else if (type instanceof types.FloatType) least = 4
    else if (type instanceof types.DoubleType) least = 8
    else if (type instanceof types.RecordType)
      least = type.fields.reduce((sum, field) => sum + this.#leastOf(field.type), 0)
    this.#least.set(type, least)
    return least
  }
}

/** @returns the type itself, or the branch of a union, that has a name such as 'array' */
function branchOf(type: Type | undefined, name: string): Type | undefined {
  const { types } = avro
  if (type instanceof types.UnwrappedUnionType || type instanceof types.WrappedUnionType)
    return type.types.find((branch) => branch.typeName === name)
  return type?.typeName === name ? type : undefined
}

function fieldOf(type: Type | undefined, name: string): Type | undefined {
  if (!(type instanceof avro.types.RecordType)) return undefined
  return type.fields.find((field) => field.name === name || field.aliases.includes(name))?.type
}

function passEmpty(walk: Walk, path: string): void {
  if (--walk.empty < 0) fail('undecodable', path, `more than ${mostEmpty} values take no bytes`)
}

function passBoolean(walk: Walk, path: string): void {
  const code = walk.bytes[walk.at++]
  if (code === undefined) fail('undecodable', path, 'the bytes end')
  if (code > 1) fail('undecodable', path, `${code} is no boolean`)
}

/** Passes a number in bytes of seven bits. @returns it as it is written: doubled, or for those below zero 2 · |n| − 1 */
function varint(walk: Walk, path: string, most: number): number {
  const { bytes } = walk
  let [value, scale] = [0, 1]
  for (let count = 0; count < most; count++) {
    const code = bytes[walk.at++]
    if (code === undefined) fail('undecodable', path, 'the bytes end')
    value += (code & 0x7f) * scale
    if (code < 0x80) return value
    scale *= 0x80
  }
  return fail('undecodable', path, `a number takes more than ${most} bytes`)
}

function passInt(walk: Walk, path: string): void {
  if (varint(walk, path, intBytes) > 0xffff_ffff) fail('undecodable', path, 'the number has more than 32 bits')
}

function passLong(walk: Walk, path: string): void {
  const first = walk.bytes[walk.at] ?? 0
  const value = varint(walk, path, longBytes)
  // Beyond 2^53 only even numbers are exact, and the lowest bit is the sign.
  const most = (first & 1) === 0 ? 2 * Number.MAX_SAFE_INTEGER : Number.MAX_SAFE_INTEGER
  if (value > most) fail('undecodable', path, 'the number is too large to be exact')
}

function passFloat(walk: Walk, path: string, size: 4 | 8): void {
  const { bytes, at } = walk
  if (at + size > bytes.length) fail('undecodable', path, 'the bytes end')
  const value = size === 8 ? bytes.readDoubleLE(at) : bytes.readFloatLE(at)
  if (!Number.isFinite(value)) fail('invalid', path, `${value} is not finite`)
  walk.at += size
}

function passFixed(walk: Walk, path: string, size: number): void {
  if (size > walk.bytes.length - walk.at) fail('undecodable', path, 'the bytes end')
  if (size === 0) passEmpty(walk, path)
  walk.at += size
}

/** Passes the length of text or bytes, which then lies within the record. */
function lengthOf(walk: Walk, path: string): number {
  const code = varint(walk, path, longBytes)
  const [length, left] = [code / 2, walk.bytes.length - walk.at]
  if (code % 2 !== 0) fail('undecodable', path, 'a length is below zero')
  if (length > left) fail('undecodable', path, `${length} bytes are to come, and ${left} are left`)
  return length
}

function passBytes(walk: Walk, path: string): void {
  const length = lengthOf(walk, path)
  walk.at += length
}

/** @returns where the text begins */
function passText(walk: Walk, path: string): number {
  const length = lengthOf(walk, path)
  const { bytes, view, at } = walk
  const end = (walk.at = at + length)
  if (length <= shortText) {
    let [bits, index] = [0, at]
    for (; index + 4 <= end; index += 4) bits |= view.getInt32(index)
    for (; index < end; index++) bits |= view.getUint8(index)
    if ((bits & beyondAscii) === 0) return at
  }
  if (!isUtf8(bytes.subarray(at, end))) fail('invalid', path, 'the text is not UTF-8')
  return at
}

/** Assigned to an object `__proto__` is lost, and of keys that come twice the first is. */
function passKey(walk: Walk, path: string, keys: Set<string>): void {
  const start = passText(walk, `a key of ${path}`)
  const key = walk.bytes.toString('utf8', start, walk.at)
  if (key === '__proto__') fail('invalid', path, 'no key can be __proto__')
  if (keys.has(key)) fail('invalid', path, `the key ${JSON.stringify(key)} comes twice`)
  keys.add(key)
}

function indexOf(walk: Walk, path: string, count: number): number {
  const code = varint(walk, path, longBytes)
  if (code % 2 !== 0 || code / 2 >= count) fail('undecodable', path, 'there is no choice of this number')
  return code / 2
}

/** Passes blocks of items, each behind its count; one below zero has the block's length behind it. The last counts none. */
function passBlocks(walk: Walk, path: string, least: number, item: Check): void {
  for (;;) {
    const code = varint(walk, path, longBytes)
    if (code === 0) return
    const sized = code % 2 === 1
    const count = sized ? (code + 1) / 2 : code / 2
    const end = sized ? lengthOf(walk, path) + walk.at : walk.bytes.length
    const left = end - walk.at
    if (count * least > left) fail('undecodable', path, `${count} items are to come, and ${left} bytes are left`)
    // Where items take no bytes, each is counted as it passes.
    for (let index = 0; index < count; index++) item(walk)
    if (sized && walk.at !== end) fail('undecodable', path, 'a block has another length than it says')
  }
}
