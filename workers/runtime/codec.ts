/**
 * Avro in the Confluent wire format: a zero byte, the schema's id in four bytes, the encoded record
 * (Confluent documentation, Schema Registry, "Wire format"). Types are compiled once and used inside the thread that needs
 * them; nothing here asks the registry.
 */
import { readFileSync } from 'node:fs'
import avro, { type Schema, type Type } from 'avsc'
import { compileChecker } from './avro-checker.ts'
import { valueFault } from './avro-faults.ts'
import { compileReader, type Reader } from './avro-reader.ts'
import { compileWriter, unusual, type Writer } from './avro-writer.ts'
import { FatalError, PoisonError } from './errors.ts'
import type { Topic } from './definitions.ts'

const folder = new URL('../../schemas/', import.meta.url)
const magic = 0
const prefixBytes = 5
/** Room for one small record; a slab holds many, so that encoding rarely allocates. */
const slabBytes = 1 << 20
/** Ours have some thousand characters; one of many megabytes would take seconds to compile. */
const longestSchema = 1 << 20

/** Makes a thing once for each topic. */
function once<Made>(make: (topic: string) => Made): (topic: string) => Made {
  const made = new Map<string, Made>()
  return (topic) => {
    let one = made.get(topic)
    if (one === undefined) made.set(topic, (one = make(topic)))
    return one
  }
}

const compile = (text: string): Type => {
  const schema: Schema = JSON.parse(text)
  return avro.Type.forSchema(schema)
}

function compileForeign(text: string): Type {
  if (text.length > longestSchema) throw new RangeError(`it is longer than ${longestSchema} characters`)
  const type = compile(text)
  if (!(type instanceof avro.types.RecordType)) throw new TypeError(`it is no record but ${type.typeName}`)
  return type
}

/** @returns the text of schemas/<topic>.avsc. */
export const schemaText = once((topic) =>
  JSON.stringify(JSON.parse(readFileSync(new URL(`${topic}.avsc`, folder), 'utf8'))),
)

/** @returns the compiled type by which this version of the code reads and writes a topic. */
export const typeOf = once((topic) => compile(schemaText(topic)))

/** @returns the quick writer of a topic's records, or one that leaves all to avsc. */
const writerOf = once((topic): Writer => compileWriter(typeOf(topic)) ?? (() => unusual))

/** @returns the quick reader of a topic's records, or one that leaves all to avsc. */
const readerOf = once((topic): Reader => compileReader(typeOf(topic)) ?? (() => undefined))

/** @returns the check that comes before avsc's reading. */
const checkerOf = once((topic) => compileChecker(typeOf(topic)))

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
    return this.#encode(this.#idOf(topic), writerOf(topic.name), topic.name, record)
  }

  /** `encode` for the records of one topic. */
  encoderOf(topic: Topic): (record: object) => Buffer {
    const [id, write] = [this.#idOf(topic), writerOf(topic.name)]
    return (record) => this.#encode(id, write, topic.name, record)
  }

  #idOf(topic: Topic): number {
    const id = this.#ids.get(topic.name)
    if (id === undefined) throw new FatalError('schema', `no schema id is known for ${topic.name}`)
    return id
  }

  #encode(id: number, write: Writer, topic: string, record: object): Buffer {
    let start = this.#at
    let end = write(record, this.#slab, start + prefixBytes)
    if (end < 0 || end > this.#slab.length) {
      end = this.#encodeAnyway(write, topic, record)
      start = this.#at
    }
    const slab = this.#slab
    slab[start] = magic
    slab.writeUInt32BE(id, start + 1)
    this.#at = end
    return slab.subarray(start, end)
  }

  /** Encodes what is unusual, and with new slabs what there is no room for. */
  #encodeAnyway(write: Writer, topic: string, record: object): number {
    for (let size = slabBytes; ; size *= 2) {
      const end = this.#at + prefixBytes < this.#slab.length ? this.#tryToWrite(write, topic, record) : -1
      if (end >= 0 && end <= this.#slab.length) return end
      this.#slab = Buffer.allocUnsafeSlow(size)
      this.#at = 0
    }
  }

  /** @returns the end, below zero or beyond the slab where there is no room. */
  #tryToWrite(write: Writer, topic: string, record: object): number {
    const start = this.#at + prefixBytes
    const end = write(record, this.#slab, start)
    if (end !== unusual) return end
    const fault = valueFault(typeOf(topic), record)
    if (fault !== undefined) throw new PoisonError('unprocessable', `a record of ${topic} cannot be kept: ${fault}`)
    try {
      return typeOf(topic).encode(record, this.#slab, start)
    } catch (cause) {
      throw new PoisonError('unprocessable', `a record does not fit the schema of ${topic}`, { cause })
    }
  }
}

/** Reads records of one topic, whatever version of its schema they were written in. */
export class Decoder<T extends object> {
  readonly #topic: string
  readonly #check: Topic<T>['check']
  readonly #decoders = new Map<number, (value: Buffer) => T>()

  constructor(topic: Topic<T>) {
    this.#topic = topic.name
    this.#check = topic.check
  }

  /** Makes the schema that the registry holds under `id` known; where it cannot be read as the topic's, each record of it says why. */
  learn(id: number, writerSchema: string): void {
    if (!this.#decoders.has(id)) this.#decoders.set(id, this.#decoderOf(writerSchema))
  }

  knows(id: number): boolean {
    return this.#decoders.has(id)
  }

  /** @throws PoisonError `undecodable` where the bytes are not a record of a known schema, `invalid` where its values are none. */
  decode(value: Buffer): T {
    const record = this.#read(value)
    const fault = this.#check?.(record)
    if (fault !== undefined) throw new PoisonError('invalid', fault)
    return record
  }

  #read(value: Buffer): T {
    const id = schemaIdOf(value)
    const decode = id === undefined ? undefined : this.#decoders.get(id)
    if (decode === undefined)
      throw new PoisonError('undecodable', `the value is not a known ${this.#topic} in the wire format`)
    try {
      return decode(value)
    } catch (cause) {
      if (cause instanceof PoisonError && cause.code === 'invalid') throw cause
      throw new PoisonError('undecodable', `the value does not decode as ${this.#topic}, schema ${id}`, { cause })
    }
  }

  #decoderOf(writerSchema: string): (value: Buffer) => T {
    const type = typeOf(this.#topic)
    try {
      const writer = writerSchema === schemaText(this.#topic) ? type : compileForeign(writerSchema)
      if (writer === type || writer.equals(type)) {
        const [read, check] = [readerOf(this.#topic), checkerOf(this.#topic)]
        return (value) => {
          const record: T | undefined = read(value, prefixBytes)
          if (record !== undefined) return record
          check(value, prefixBytes)
          return type.fromBuffer(value.subarray(prefixBytes))
        }
      }
      const [resolver, check] = [type.createResolver(writer), compileChecker(writer, type)]
      return (value) => {
        check(value, prefixBytes)
        return type.fromBuffer(value.subarray(prefixBytes), resolver)
      }
    } catch (cause) {
      const unreadable = new PoisonError('undecodable', "the schema cannot be read as this topic's", { cause })
      return () => {
        throw unreadable
      }
    }
  }
}

/** @returns the id of the schema that a value was written with, or undefined where it is not in the wire format. */
export const schemaIdOf = (value: Buffer): number | undefined =>
  value.length < prefixBytes || value[0] !== magic ? undefined : value.readUInt32BE(1)
