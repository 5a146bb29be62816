/** Takes an Avro value apart by its schema, so that each part can be replaced by a hostile one. */
import avro, { type Type } from 'avsc'

/** What a part of a value says. `list` is a whole array or map, `count` the number in front of its items. */
export type Role =
  'string' | 'bytes' | 'long' | 'int' | 'double' | 'boolean' | 'enum' | 'union' | 'count' | 'list' | 'key'

/** A part of a value, from byte to byte. */
export interface Token {
  readonly role: Role
  readonly from: number
  readonly to: number
  /** Name of the field that it belongs to. */
  readonly field: string
  /** Of a union and an enum: how many branches or symbols there are, and which one it is. */
  readonly choices?: number
  readonly chosen?: number
  /** Of a union: where its content ends, and each branch with a small content, in the order of the schema. */
  readonly end?: number
  readonly branches?: readonly Buffer[]
  /** Of a list: its items, in one block. */
  readonly items?: readonly (readonly [from: number, to: number])[]
}

/** @returns the parts of an encoded record of a type, in their order, with the ends of lists left out. */
export function tokensOf(type: Type, value: Buffer, from: number): Token[] {
  const reader = new TokenReader(value, from)
  reader.read(type, '')
  return reader.tokens.toSorted((a, b) => a.from - b.from || b.to - a.to)
}

class TokenReader {
  readonly tokens: Token[] = []
  readonly #value: Buffer
  #at: number

  constructor(value: Buffer, from: number) {
    this.#value = value
    this.#at = from
  }

  read(type: Type, field: string): void {
    const { types } = avro
    if (type instanceof types.RecordType) for (const one of type.fields) this.read(one.type, one.name)
    else if (type instanceof types.UnwrappedUnionType) this.#union(type.types, field)
    else if (type instanceof types.ArrayType) this.#list(field, () => this.read(type.itemsType, field))
    else if (type instanceof types.MapType)
      this.#list(field, () => {
        this.#part('key', field, () => this.#skip(this.#varint()))
        this.read(type.valuesType, field)
      })
    else if (type instanceof types.EnumType) this.#enum(type.symbols.length, field)
    else if (!(type instanceof types.NullType)) this.#leaf(type, field)
  }

  #leaf(type: Type, field: string): void {
    const { types } = avro
    if (type instanceof types.StringType) this.#part('string', field, () => this.#skip(this.#varint()))
    else if (type instanceof types.BytesType) this.#part('bytes', field, () => this.#skip(this.#varint()))
    else if (type instanceof types.LongType) this.#part('long', field, () => this.#varint())
    else if (type instanceof types.IntType) this.#part('int', field, () => this.#varint())
    else if (type instanceof types.DoubleType) this.#part('double', field, () => this.#skip(8))
    else if (type instanceof types.BooleanType) this.#part('boolean', field, () => this.#skip(1))
    else throw new Error(`no parts are known of ${type.typeName}`)
  }

  #part(role: Role, field: string, read: () => unknown): void {
    const from = this.#at
    read()
    this.tokens.push({ role, field, from, to: this.#at })
  }

  #enum(choices: number, field: string): void {
    const from = this.#at
    const chosen = this.#varint()
    this.tokens.push({ role: 'enum', field, from, to: this.#at, choices, chosen })
  }

  #union(types: readonly Type[], field: string): void {
    const from = this.#at
    const chosen = this.#varint()
    const to = this.#at
    const branch = types[chosen]
    if (branch !== undefined) this.read(branch, field)
    const branches = types.map((type, index) => Buffer.concat([varint(index), smallest(type)]))
    this.tokens.push({ role: 'union', field, from, to, choices: types.length, chosen, end: this.#at, branches })
  }

  #list(field: string, item: () => void): void {
    const from = this.#at
    const items: [number, number][] = []
    for (let count = this.#count(field); count > 0; count = this.#count(field))
      for (; count > 0; count--) {
        const start = this.#at
        item()
        items.push([start, this.#at])
      }
    this.tokens.push({ role: 'list', field, from, to: this.#at, items })
  }

  #count(field: string): number {
    const from = this.#at
    const count = this.#varint()
    this.tokens.push({ role: 'count', field, from, to: this.#at, chosen: count })
    return count
  }

  #skip(bytes: number): void {
    this.#at += bytes
  }

  #varint(): number {
    let [number, scale, byte] = [0, 1, 0]
    do {
      byte = this.#value[this.#at++] ?? 0
      number += (byte & 0x7f) * scale
      scale *= 128
    } while (byte > 0x7f)
    return number % 2 === 0 ? number / 2 : -(number + 1) / 2
  }
}

/** A number as Avro writes a long, however large. */
export function varint(number: number | bigint): Buffer {
  const value = BigInt(number)
  let rest = value < 0n ? -2n * value - 1n : 2n * value
  const bytes: number[] = []
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  return Buffer.from([...bytes, Number(rest)])
}

/** Bytes with their length in front, as Avro writes a text. */
export const counted = (bytes: Uint8Array): Buffer => Buffer.concat([varint(bytes.length), bytes])

/** The shortest value of a type. */
function smallest(type: Type): Buffer {
  const { types } = avro
  if (type instanceof types.NullType) return Buffer.alloc(0)
  if (type instanceof types.DoubleType) return Buffer.alloc(8)
  if (type instanceof types.RecordType) return Buffer.concat(type.fields.map((field) => smallest(field.type)))
  if (type instanceof types.UnwrappedUnionType) return Buffer.concat([varint(0), smallest(type.types[0] ?? type)])
  return Buffer.alloc(1)
}
