/**
 * A sink as its host runs it: intake, decoder, its own writing, transaction and bisection; the server's part is played here. All
 * is one batch: what a batch replaces within itself a server would delete between two.
 */
import type { KafkaMessage } from 'kafkajs'
import { Decoder, schemaIdOf } from '../../../workers/runtime/codec.ts'
import type { Sink } from '../../../workers/runtime/definitions.ts'
import { oneLine, PoisonError } from '../../../workers/runtime/errors.ts'
import { aheadOf, appendTimeOf } from '../../../workers/runtime/event-time.ts'
import { markOf } from '../../../workers/runtime/headers.ts'
import { Intake } from '../../../workers/runtime/intake.ts'
import { createSinkWriter } from '../../../workers/runtime/sink-writer.ts'
import { traceparentOf } from '../../../workers/runtime/trace.ts'
import { schemaById, topicOf } from './messages.ts'
import { Outbox } from './outbox.ts'
import { PlayedServer } from './played-server.ts'
import { Book, type Outcome, type Reader } from './reader.ts'

interface Decoded {
  readonly message: KafkaMessage
  readonly record: object
}

/** Teaches a decoder the schemas that messages name, as a slot does. */
export function learn(decoder: Decoder<object>, messages: readonly KafkaMessage[]): void {
  for (const { value } of messages) {
    const id = value === null ? undefined : schemaIdOf(value)
    const schema = id === undefined || decoder.knows(id) ? undefined : schemaById.get(id)
    if (id !== undefined && schema !== undefined) decoder.learn(id, schema)
  }
}

export class SinkReader implements Reader {
  readonly name: string
  readonly topic: string
  readonly isTable = true
  readonly #sink: Sink
  readonly #outbox: Outbox

  constructor(sink: Sink) {
    this.name = sink.name
    this.topic = sink.input.name
    this.#sink = sink
    this.#outbox = new Outbox(sink.name, sink.input)
  }

  async read(messages: readonly KafkaMessage[]): Promise<Outcome> {
    const book = new Book()
    const intake = new Intake(this.name)
    const decoder = new Decoder(this.#sink.input)
    try {
      const decoded = book.measure(messages, () => this.#decode(messages, intake, decoder, book))
      await this.#write(messages, decoded, intake, book)
    } catch (error) {
      book.end(messages, oneLine(error))
    }
    book.faults.push(...(await this.#outbox.flush()))
    return book.outcome()
  }

  #decode(messages: readonly KafkaMessage[], intake: Intake, decoder: Decoder<object>, book: Book): Decoded[] {
    learn(decoder, messages)
    return messages.flatMap((message) => {
      const offset = Number(message.offset)
      const admitted = intake.accepts(message)
      if (admitted === undefined) book.fate(offset, 'dropped')
      else if (admitted instanceof PoisonError) this.#refuse(book, message, admitted)
      else if (markOf(message.headers) !== undefined) book.fate(offset, 'mark')
      else {
        try {
          if (message.value === null) throw new PoisonError('undecodable', 'the message has no value and is no mark')
          const record = decoder.decode(message.value)
          const ahead = aheadOf(topicOf(this.topic), record, appendTimeOf(message))
          if (ahead !== undefined) throw new PoisonError('ahead', ahead)
          return [{ message, record }]
        } catch (error) {
          this.#refuse(book, message, error)
        }
      }
      return []
    })
  }

  #refuse(book: Book, message: KafkaMessage, error: unknown): void {
    const code = error instanceof PoisonError ? error.code : 'undecodable'
    book.fate(Number(message.offset), code)
    this.#outbox.add(message, { reason: 'poison', code, error: oneLine(error) })
  }

  async #write(
    messages: readonly KafkaMessage[],
    decoded: readonly Decoded[],
    intake: Intake,
    book: Book,
  ): Promise<void> {
    const last = messages.at(-1)
    const refused = new Set<number>()
    const offsetOf = new Map(decoded.map(({ record, message }) => [record, Number(message.offset)]))
    const server = new PlayedServer(offsetOf)
    const began = book.begin()
    await createSinkWriter(server).write({
      slot: { step: this.name, topic: this.topic, partition: 0 },
      sink: this.#sink,
      expectedOffset: undefined,
      nextOffset: Number(last?.offset) + 1,
      appendTime: Number(last?.timestamp) * 1_000,
      positions: intake.positions.changes(),
      records: decoded.map(({ record }) => record),
      traces: this.#sink.traced === true ? decoded.map(({ message }) => traceparentOf(message.headers)) : [],
      onRejected: (rejected) => {
        for (const { index, error } of rejected) {
          const message = decoded[index]?.message
          refused.add(index)
          if (message === undefined) continue
          book.fate(Number(message.offset), 'refused')
          this.#outbox.add(message, { reason: 'rejected', code: 'refused', error: oneLine(error) })
        }
        return Promise.resolve()
      },
    })
    book.outputs.push(...server.rows)
    book.took(messages, began)
    for (const [index, { message }] of decoded.entries())
      if (!refused.has(index)) book.fate(Number(message.offset), 'record')
  }
}
