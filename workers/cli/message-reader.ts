/** Reads any message of a topic as people want to see it: a record, a mark, or bytes that nobody can read. */
import type { KafkaMessage } from 'kafkajs'
import { Decoder, schemaIdOf } from '../runtime/codec.ts'
import type { Topic } from '../runtime/definitions.ts'
import { oneLine } from '../runtime/errors.ts'
import { markOf } from '../runtime/headers.ts'
import type { Registry } from '../runtime/kafka/registry.ts'
import type { Mark } from '../runtime/state/engine.ts'

export type Content<T extends object> =
  | { readonly kind: 'record'; readonly record: T }
  | { readonly kind: 'mark'; readonly mark: Mark }
  | { readonly kind: 'unreadable'; readonly error: string; readonly bytes: Buffer }

export class MessageReader<T extends object> {
  readonly #registry: Registry
  readonly #decoder: Decoder<T>

  constructor(topic: Topic<T>, registry: Registry) {
    this.#registry = registry
    // People want to see what is there, whether its values mean something or not.
    const { check: _, ...unchecked } = topic
    this.#decoder = new Decoder(unchecked)
  }

  async read({ headers, value }: Pick<KafkaMessage, 'headers' | 'value'>): Promise<Content<T>> {
    const mark = markOf(headers)
    if (mark !== undefined) return { kind: 'mark', mark }
    if (value === null) return { kind: 'unreadable', error: 'it has no value and is no mark', bytes: Buffer.alloc(0) }
    const id = schemaIdOf(value)
    if (id !== undefined && !this.#decoder.knows(id)) {
      const schema = await this.#registry.schema(id)
      if (schema !== undefined) this.#decoder.learn(id, schema)
    }
    try {
      return { kind: 'record', record: this.#decoder.decode(value) }
    } catch (error) {
      return { kind: 'unreadable', error: oneLine(error), bytes: value }
    }
  }
}
