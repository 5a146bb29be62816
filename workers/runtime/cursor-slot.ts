/**
 * One partition of feeds.cursors.v1 as a connector's replica holds it. The topic is both the memory of where feeds stand
 * and the way in which replicas share them: who holds the partition of a feed's key runs the feed.
 */
import type { KafkaMessage } from 'kafkajs'
import { Decoder, schemaIdOf } from './codec.ts'
import { topics } from '../../schemas/topics.ts'
import { classify, oneLine, PoisonError } from './errors.ts'
import type { Ownership } from './ownership.ts'
import type { FeedCursor } from '../../schemas/types.ts'
import type { Installation } from './installation.ts'
import { Intake } from './intake.ts'
import type { Resumption, Slot, SlotControl } from './kafka/slot.ts'
import { sequenceOf } from './position.ts'

export class CursorSlot implements Slot {
  readonly #control: SlotControl
  readonly #installation: Installation
  readonly #changed: () => void
  readonly #decoder = new Decoder<FeedCursor>(topics.feedsCursors)
  readonly #intake: Intake
  readonly #cursors = new Map<string, string>()
  #end = 0
  #offset = 0
  #ownership: Ownership | undefined
  #openings = 0
  /** Reads and applies one batch after the other. */
  #reading: Promise<void> = Promise.resolve()
  ready = false
  readonly queued = 0
  readonly queuedBytes = 0
  readonly droppingMs = 0
  readonly busy = false
  progress = 0

  /** @param changed called when the slot has become ready or was lost */
  constructor(step: string, control: SlotControl, installation: Installation, changed: () => void) {
    this.#control = control
    this.#installation = installation
    this.#changed = changed
    this.#intake = new Intake(step)
  }

  /** Changes whenever the slot was read anew. */
  get opening(): number {
    return this.#openings
  }

  get partition(): number {
    return this.#control.partition
  }

  cursorOf(feed: string): string | undefined {
    return this.#cursors.get(feed)
  }

  /** The newest session that has saved a cursor of the feed, 0 where none has. */
  sessionOf(feed: string): number {
    return sequenceOf(this.#intake.positions.get(feed)?.position ?? '0')
  }

  async open(ownership: Ownership): Promise<Resumption> {
    this.ready = false
    this.#ownership = ownership
    this.#openings++
    this.#cursors.clear()
    this.#intake.reset([])
    const name = this.#installation.names.topic(topics.feedsCursors)
    const { high } = await this.#installation.ends.of(name, this.#control.partition)
    this.#end = high
    return { offset: undefined, appendTime: undefined }
  }

  opened(offset: number): void {
    this.#offset = offset
    this.#readyAtEnd()
  }

  take(messages: readonly KafkaMessage[]): void {
    const ownership = this.#ownership
    if (ownership === undefined) return
    this.#reading = this.#reading
      .then(() => this.#apply(messages, ownership))
      .catch((error: unknown) => {
        if (ownership.over) return
        if (classify(error) === 'retryable') this.#control.reopen(oneLine(error))
        else ownership.fail(error)
      })
  }

  close(): void {
    this.ready = false
    this.#ownership = undefined
    this.#changed()
  }

  async #apply(messages: readonly KafkaMessage[], ownership: Ownership): Promise<void> {
    for (const message of messages) {
      if (ownership.over) return
      this.#offset = Number(message.offset) + 1
      const admitted = this.#intake.accepts(message)
      if (admitted instanceof PoisonError) this.#passOver(admitted)
      if (message.value === null || admitted === undefined || admitted instanceof PoisonError) continue
      const cursor = await this.#read(message.value)
      if (ownership.over) return
      if (cursor !== undefined) this.#cursors.set(cursor.feed, cursor.cursor)
    }
    this.progress++
    this.#readyAtEnd()
  }

  /** @returns undefined where it cannot be read: the feed then goes on from the cursor before. */
  async #read(value: Buffer): Promise<FeedCursor | undefined> {
    const id = schemaIdOf(value)
    if (id !== undefined && !this.#decoder.knows(id)) {
      const schema = await this.#installation.registry.schema(id)
      if (schema !== undefined) this.#decoder.learn(id, schema)
    }
    try {
      return this.#decoder.decode(value)
    } catch (error) {
      return this.#passOver(error)
    }
  }

  #passOver(error: unknown): undefined {
    const about = { topic: this.#control.topic.name, partition: this.#control.partition, offset: this.#offset - 1 }
    this.#installation.context.log.error({ ...about, error: oneLine(error) }, 'a cursor cannot be read and is passed over') // prettier-ignore
  }

  #readyAtEnd(): void {
    if (this.ready || this.#offset < this.#end) return
    this.ready = true
    this.#changed()
  }
}
