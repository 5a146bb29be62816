/** Messages as a topic holds them and as the consumer gets them: schemas, headers, positions, Kafka's record format. */
import { existsSync, readFileSync } from 'node:fs'
import type { Type } from 'avsc'
import type { KafkaMessage } from 'kafkajs'
import { topics } from '../../../schemas/topics.ts'
import { Encoder, schemaText, typeOf } from '../../../workers/runtime/codec.ts'
import type { Topic } from '../../../workers/runtime/definitions.ts'
import { markHeaders, placeHeaders, type Headers } from '../../../workers/runtime/headers.ts'
import { decodeRecord } from '../../../workers/runtime/kafka/record-format.ts'
import { emissionPosition, sequencePosition, sessionPosition } from '../../../workers/runtime/position.ts'
import type { Message } from '../../support/driver-slot.ts'
import { schemaIds } from '../../support/driver.ts'
import type { SchemaIds } from '../avro-edits.ts'
import { counted, varint } from '../avro-tokens.ts'

export { schemaIds } from '../../support/driver.ts'

/** Headers in their order; a name may come twice. */
export type HeaderList = readonly (readonly [name: Uint8Array, value: Uint8Array | null])[]

/** A message that has no offset yet. */
export interface Loose {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: HeaderList
  /** When the broker appended it, in milliseconds. */
  readonly appended: number
}

/** Bytes of the wire format before the record: zero, the id of the schema. */
export const wirePrefix = 5

export const allTopics: readonly Topic[] = Object.values(topics)

export function topicOf(name: string): Topic {
  const topic = allTopics.find((one) => one.name === name)
  if (topic === undefined) throw new Error(`there is no topic ${name}`)
  return topic
}

/** @returns the schema by which a topic's records are taken apart. */
export const schemaOf = (topic: string): Type => typeOf(topic)

const encoder = new Encoder(schemaIds)

/** @returns a record as its topic holds it. */
export const encoded = (topic: Topic, record: object): Buffer => Buffer.from(encoder.encode(topic, record))

/** What a registry might hold besides the topics' own schemas. */
const recordedFrom = 1_000
const narrowFrom = 2_000
const foreign: readonly (readonly [number, string])[] = [
  [3_000, '"string"'],
  [3_001, '"bytes"'],
  [3_002, '{"type":"array","items":"null"}'],
  [3_003, '{"type":"record","name":"Other","namespace":"cryptointel","fields":[]}'],
  [3_004, '{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}'],
]

/** @returns the schema that an id stands for, as a registry would give it. */
export const schemaById: ReadonlyMap<number, string> = new Map([
  ...allTopics.flatMap(({ name }): [number, string][] => {
    const id = schemaIds.get(name) ?? 0
    const text = schemaText(name)
    const narrow = text.replaceAll('"long"', '"int"')
    return [[id, text], [recordedFrom + id, recordedText(name) ?? text], [narrowFrom + id, narrow]] // prettier-ignore
  }),
  ...foreign,
])

function recordedText(topic: string): string | undefined {
  const file = new URL(`../../../schemas/history/${topic}.1.avsc`, import.meta.url)
  return existsSync(file) ? JSON.stringify(JSON.parse(readFileSync(file, 'utf8'))) : undefined
}

/** @returns the ids that a message of a topic should not have, and those that it may have. */
export function idsBeside(topic: string): SchemaIds {
  const own = schemaIds.get(topic) ?? 0
  const others = [...schemaIds.values()].filter((id) => id !== own)
  return { wrong: [...others, ...foreign.map(([id]) => id)], older: [recordedFrom + own, narrowFrom + own] }
}

const ascii = (text: string): Buffer => Buffer.from(text)

/** @returns headers as they are sent. */
export const headerList = (headers: Headers): HeaderList =>
  Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).flatMap((one) =>
      one === undefined ? [] : ([[ascii(name), Buffer.from(one)]] as const),
    ),
  )

/** Room between the positions of good messages. */
const room = 1_024

/** @returns a position of the same form that stands at `place` in a sequence; between whole places are others. */
export function positionAt(form: string, place: number): string {
  const number = Math.round(place * room)
  const [first = '', second, third] = form.split('.')
  if (second === undefined) return sequencePosition(number)
  if (third === undefined) return sessionPosition(Number(first), number)
  return emissionPosition(Number(first), number, 0)
}

/** @returns a message of the test driver as a topic holds it, at a place of its own in its origin's sequence. */
export function loosened({ key, value, place, mark }: Message, index: number, appended: number): Loose {
  const position = place === undefined ? undefined : positionAt(place.position, index + 1)
  const headers: Headers =
    mark !== undefined
      ? markHeaders(mark, position)
      : placeHeaders({ ...place, origin: place?.origin ?? '', position: position ?? '' })
  return { key: ascii(key), value, headers: headerList(headers), appended }
}

/** @returns a message as the consumer gets it: through Kafka's record format. */
export function received({ key, value, headers, appended }: Loose, offset: number): KafkaMessage {
  const bytes = (some: Uint8Array | null): Uint8Array => (some === null ? varint(-1) : counted(some))
  const parts = headers.flatMap(([name, content]) => [counted(name), bytes(content)])
  // No attributes, no time and no offset of its own: those of the batch.
  const buffer = Buffer.concat([Buffer.alloc(3), bytes(key), bytes(value), varint(headers.length), ...parts])
  const time = String(appended)
  const batch = {
    firstOffset: String(offset),
    firstTimestamp: time,
    maxTimestamp: time,
    timestampType: 1,
    magicByte: 2,
  }
  const message: object = decodeRecord({ buffer }, batch)
  if (!isMessage(message)) throw new Error('a record has no offset')
  return message
}

const isMessage = (message: object): message is KafkaMessage => 'offset' in message && 'value' in message
