/**
 * Avro in the Confluent wire format: a zero byte, the schema's id in four bytes, the encoded record
 * (Confluent documentation, Schema Registry, "Wire format"). Types are compiled once and used inside the thread that needs
 * them; nothing here asks the registry.
 */
import { readFileSync } from 'node:fs'
import avro, { type Schema, type Type } from 'avsc'
import { FatalError, PoisonError } from './errors.ts'
import type { Topic } from './definitions.ts'

const folder = new URL('../../schemas/', import.meta.url)
const magic = 0
const prefixBytes = 5
/** Room for one small record; a slab holds many, so that encoding rarely allocates. */
const slabBytes = 1 << 20

const texts = new Map<string, string>()
const readers = new Map<string, Type>()

/** @returns the text of schemas/<topic>.avsc. */
export function schemaText(topic: string): string {
  let text = texts.get(topic)
  if (text === undefined) {
    text = JSON.stringify(JSON.parse(readFileSync(new URL(`${topic}.avsc`, folder), 'utf8')))
    texts.set(topic, text)
  }
  return text
}

/** @returns the compiled type by which this version of the code reads and writes a topic. */
export function typeOf(topic: string): Type {
  let type = readers.get(topic)
  if (type === undefined) {
    type = compile(schemaText(topic))
    readers.set(topic, type)
  }
  return type
}

const compile = (text: string): Type => {
  const schema: Schema = JSON.parse(text)
  return avro.Type.forSchema(schema)
}

/** Writes records of any topic, one behind the other, into slabs; what it returns stays valid. */
export class Encoder {
  #slab = Buffer.allocUnsafeSlow(slabBytes)
  #at = 0
  readonly #ids: ReadonlyMap<string, number>

  /** @param ids the registry's id of each topic's schema */
  constructor(ids: ReadonlyMap<string, number>) {
    this.#ids = ids
  }

  /**
   * @returns the record's bytes in the wire format, a view into a slab.
   * @throws PoisonError where the record does not fit its schema.
   */
  encode(topic: Topic, record: object): Buffer {
    const id = this.#ids.get(topic.name)
    if (id === undefined) throw new FatalError('schema', `no schema id is known for ${topic.name}`)
    const type = typeOf(topic.name)
    let end = this.#write(type, record, topic.name)
    for (let size = slabBytes; end < 0; size *= 2) {
      this.#slab = Buffer.allocUnsafeSlow(size)
      this.#at = 0
      end = this.#write(type, record, topic.name)
    }
    const start = this.#at
    this.#slab[start] = magic
    this.#slab.writeUInt32BE(id, start + 1)
    this.#at = end
    return this.#slab.subarray(start, end)
  }

  #write(type: Type, record: object, topic: string): number {
    if (this.#at + prefixBytes >= this.#slab.length) return -1
    try {
      return type.encode(record, this.#slab, this.#at + prefixBytes)
    } catch (cause) {
      throw new PoisonError('unprocessable', `a record does not fit the schema of ${topic}`, { cause })
    }
  }
}

/** Reads records of one topic, whatever version of its schema they were written in. */
export class Decoder<T extends object> {
  readonly #topic: string
  readonly #decoders = new Map<number, (bytes: Buffer) => T>()

  constructor(topic: Topic<T>) {
    this.#topic = topic.name
  }

  /** Makes the schema that the registry holds under `id` readable. */
  learn(id: number, writerSchema: string): void {
    if (this.#decoders.has(id)) return
    const reader = typeOf(this.#topic)
    const writer = writerSchema === schemaText(this.#topic) ? reader : compile(writerSchema)
    const same = writer === reader || writer.fingerprint().equals(reader.fingerprint())
    const resolver = same ? undefined : reader.createResolver(writer)
    this.#decoders.set(id, (bytes) => reader.fromBuffer(bytes, resolver))
  }

  knows(id: number): boolean {
    return this.#decoders.has(id)
  }

  /** @throws PoisonError where the bytes are not a record of a known schema. */
  decode(value: Buffer): T {
    const id = schemaIdOf(value)
    const decode = id === undefined ? undefined : this.#decoders.get(id)
    if (decode === undefined)
      throw new PoisonError('undecodable', `the value is not a known ${this.#topic} in the wire format`)
    try {
      return decode(value.subarray(prefixBytes))
    } catch (cause) {
      throw new PoisonError('undecodable', `the value does not decode as ${this.#topic}, schema ${id}`, { cause })
    }
  }
}

/** @returns the id of the schema that a value was written with, or undefined where it is not in the wire format. */
export const schemaIdOf = (value: Buffer): number | undefined =>
  value.length < prefixBytes || value[0] !== magic ? undefined : value.readUInt32BE(1)
