/** Reads a topic without a step: what is decoded must be what was written. */
import type { KafkaMessage } from 'kafkajs'
import { Decoder, Encoder } from '../../../workers/runtime/codec.ts'
import { oneLine } from '../../../workers/runtime/errors.ts'
import { schemaIds, topicOf } from './messages.ts'
import { Book, type Outcome, type Reader } from './reader.ts'
import { learn } from './sink.ts'

/** What a record that is not the same when it is written again is called. */
export const altered = 'altered'
/** Name of the reader that only decodes. */
export const decoding = 'decoding'

const encoder = new Encoder(schemaIds)

export class DecodingReader implements Reader {
  readonly name = decoding
  readonly topic: string
  readonly isTable = false

  constructor(topic: string) {
    this.topic = topic
  }

  read(messages: readonly KafkaMessage[]): Promise<Outcome> {
    const topic = topicOf(this.topic)
    const decoder: Decoder<object> = new Decoder(topic)
    const book = new Book()
    try {
      learn(decoder, messages)
      book.measure(messages, () => {
        for (const { offset, value } of messages) if (value !== null) book.fate(Number(offset), fateOf(value))
      })
    } catch (error) {
      book.end(messages, oneLine(error))
    }
    return Promise.resolve(book.outcome())

    function fateOf(value: Buffer): string {
      let record: object
      try {
        record = decoder.decode(value)
      } catch {
        return 'undecodable'
      }
      try {
        // The id is that of this version, whatever it was.
        return encoder.encode(topic, record).equals(value) ? 'record' : altered
      } catch {
        return altered
      }
    }
  }
}
