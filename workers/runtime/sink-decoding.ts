/** What a sink makes of the messages that were fetched: records to be written, and those that cannot be. */
import type { KafkaMessage } from 'kafkajs'
import { schemaIdOf, type Decoder } from './codec.ts'
import { refusalText } from './database.ts'
import type { Dead } from './dead-letters.ts'
import type { Topic } from './definitions.ts'
import { oneLine, PoisonError } from './errors.ts'
import { aheadOf, appendTimeOf } from './event-time.ts'
import { markOf } from './headers.ts'
import type { Intake } from './intake.ts'
import type { Registry } from './kafka/registry.ts'
import type { Outcome } from './refusals.ts'
import type { Rejected } from './sink-bisection.ts'
import { noValue } from './task-packer.ts'
import { asDecoded } from './test-errors.ts'

/** A message that is not written. */
export interface Refused {
  readonly message: KafkaMessage
  readonly origin: string
  readonly dead: Dead
}

/** What a batch's messages are. */
export interface Decoded {
  readonly records: object[]
  /** The message of each record, and where it came from. */
  readonly sources: KafkaMessage[]
  readonly origins: string[]
  /** Of redriven copies among the records, by index: where the record stood first. */
  readonly originals: Map<number, number>
  readonly refused: Refused[]
  /** Ids of schemas that the registry does not know. */
  readonly missed: readonly number[]
  bytes: number
  /** Bytes of the records. */
  written: number
  dropped: number
}

export interface SinkDecoderOptions {
  readonly step: string
  readonly topic: Topic
  readonly decoder: Decoder<object>
  readonly registry: Registry
  readonly intake: Intake
}

export class SinkDecoder {
  readonly #options: SinkDecoderOptions

  constructor(options: SinkDecoderOptions) {
    this.#options = options
  }

  /** Decodes what is new, which then counts as accepted; schemas that are not known yet are asked for first. */
  async decode(messages: readonly KafkaMessage[], over: () => boolean): Promise<Decoded | undefined> {
    const missed = await this.#learn(messages)
    if (over()) return undefined
    const { intake } = this.#options
    const decoded: Decoded = { records: [], sources: [], origins: [], originals: new Map(), refused: [], missed, bytes: 0, written: 0, dropped: 0 } // prettier-ignore
    for (const message of messages) {
      decoded.bytes += message.value?.length ?? 0
      const admitted = intake.accepts(message)
      if (admitted === undefined) decoded.dropped++
      else if (admitted instanceof PoisonError) refuse(decoded, message, '', admitted, { id: this.#idIn(message) })
      else if (admitted.original !== undefined || markOf(message.headers) === undefined)
        this.#decodeOne(decoded, message, admitted.origin, admitted.original)
    }
    return decoded
  }

  /** @returns ids of schemas that the registry does not know */
  async #learn(messages: readonly KafkaMessage[]): Promise<readonly number[]> {
    const { decoder, registry } = this.#options
    const missed = new Set<number>()
    for (const { value, timestamp } of messages) {
      const id = value === null ? undefined : schemaIdOf(value)
      if (id === undefined || decoder.knows(id)) continue
      const schema = await registry.schema(id, Number(timestamp))
      if (schema === undefined) missed.add(id)
      else decoder.learn(id, schema)
    }
    return [...missed]
  }

  #decodeOne(decoded: Decoded, message: KafkaMessage, origin: string, original: number | undefined): void {
    const { step, decoder, intake, topic } = this.#options
    try {
      if (message.value === null) throw new PoisonError('undecodable', noValue)
      const record = asDecoded(step, decoder.decode(message.value))
      // What was left out is not there to be taken back.
      if (isRemoval(record) && intake.leftOut.strikeId(record.id)) return
      const ahead = topic.maxAhead === undefined ? undefined : aheadOf(topic, record, appendTimeOf(message))
      if (ahead !== undefined) {
        refuse(decoded, message, origin, new PoisonError('ahead', ahead), { id: idOf(record), original })
        return
      }
      if (original !== undefined) decoded.originals.set(decoded.records.length, original)
      decoded.records.push(record)
      decoded.sources.push(message)
      decoded.origins.push(origin)
      decoded.written += message.value.length
    } catch (error) {
      refuse(decoded, message, origin, error, { original })
    }
  }

  /** @returns the id of a message's record, as far as it can be read. */
  #idIn({ value }: KafkaMessage): string | undefined {
    try {
      return value === null ? undefined : idOf(this.#options.decoder.decode(value))
    } catch {
      return undefined
    }
  }
}

interface About {
  readonly id?: string | undefined
  readonly original?: number | undefined
}

function refuse(decoded: Decoded, message: KafkaMessage, origin: string, error: unknown, about: About): void {
  const code = error instanceof PoisonError ? error.code : 'undecodable'
  decoded.refused.push({ message, origin, dead: { reason: 'poison', code, error: oneLine(error), ...about } })
}

/** @returns the records that the database refused, as messages that are not written. */
export function refusedBy(decoded: Decoded, rejected: readonly Rejected[]): Refused[] {
  return rejected.flatMap(({ index, error }): Refused[] => {
    const [message, origin = ''] = [decoded.sources[index], decoded.origins[index]]
    const about: About = { id: idOf(decoded.records[index]), original: decoded.originals.get(index) }
    const dead: Dead = { reason: 'rejected', code: 'refused', error: refusalText(error), ...about }
    return message === undefined ? [] : [{ message, origin, dead }]
  })
}

/** What became of each record, in the order of the log. */
export function outcomesOf(decoded: Decoded, refused: readonly Refused[], rejected: readonly Rejected[]): Outcome[] {
  const rejectedAt = new Set(rejected.map(({ index }) => index))
  const taken = decoded.sources.flatMap(({ offset }, index): Outcome[] =>
    rejectedAt.has(index) ? [] : [{ offset: Number(offset), origin: decoded.origins[index] ?? '', refused: undefined }],
  )
  const left = refused.map(({ message, origin, dead }): Outcome => ({ offset: Number(message.offset), origin, refused: dead })) // prettier-ignore
  return [...taken, ...left].toSorted((a, b) => a.offset - b.offset)
}

const idOf = (record: object | undefined): string =>
  record !== undefined && 'id' in record && typeof record.id === 'string' ? record.id : ''

const isRemoval = (record: object): record is { readonly id: string } =>
  'removed' in record && record.removed === true && 'id' in record && typeof record.id === 'string'
