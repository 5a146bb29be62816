/** What one run of a connector is given: sending, marks, cursors, congestion, journals. */
import { topics } from '../../schemas/topics.ts'
import type { FeedCursor } from '../../schemas/types.ts'
import type { Connector, ConnectorSession, Context, Journal, Lane, Micros, Stamp, Topic } from './definitions.ts'
import type { Installation } from './installation.ts'
import { TopicJournal } from './journal.ts'
import type { Accumulator } from './kafka/accumulator.ts'
import { sessionPosition } from './position.ts'
import { RecordSender } from './record-sender.ts'

const saveMs = 1_000

export interface SessionOptions {
  readonly step: Connector
  readonly feeds: ConnectorSession['feeds']
  readonly context: Context
  readonly signal: AbortSignal
  readonly installation: Installation
  readonly accumulator: Accumulator
  readonly schemaIds: ReadonlyMap<string, number>
  /** The newest session that has saved a cursor of these feeds. */
  readonly lastSession: number
}

export class Session implements ConnectorSession {
  readonly feeds: ConnectorSession['feeds']
  readonly context: Context
  readonly signal: AbortSignal
  readonly #options: SessionOptions
  readonly #sender: RecordSender
  readonly #cursors = new Map<string, string>()
  readonly #saver: NodeJS.Timeout
  readonly #session: number
  #saved = 0

  constructor(options: SessionOptions) {
    this.#options = options
    this.feeds = options.feeds
    // A clock that was set back must not make newer cursors look older.
    this.#session = Math.max(Date.now(), options.lastSession + 1)
    this.context = options.context
    this.signal = options.signal
    const { step, installation, accumulator, schemaIds } = options
    this.#sender = new RecordSender({
      step: step.name,
      topics: [...step.outputs, topics.feedsCursors],
      names: installation.names,
      schemaIds,
      append: (topic, partition, message, compressed) => accumulator.append(topic, partition, message, compressed),
    })
    this.#saver = setInterval(() => void this.#save(), saveMs)
  }

  send<T extends object>(topic: Topic<T>, record: T, stamp: Stamp): void {
    this.#sender.send(topic, record, stamp)
  }

  lane<T extends object>(topic: Topic<T>, key: string, origin: string): Lane<T> {
    return this.#sender.lane(topic, key, origin)
  }

  mark(topic: Topic, key: string, origin: string, time: Micros): void {
    this.#sender.mark(topic, key, origin, time)
  }

  saveCursor(feed: string, cursor: string): void {
    this.#cursors.set(feed, cursor)
  }

  congested(): boolean {
    return this.#options.accumulator.queuedBytes > this.context.config.producerQueueBytes
  }

  acknowledged(): Promise<void> {
    return this.#options.accumulator.flushed()
  }

  journal<T extends object>(topic: Topic<T>, key: string): Journal<T> {
    return new TopicJournal(topic, key, this.#options.installation, this.#options.accumulator, this.#sender.encoder)
  }

  /** Saves what is to be saved and ends. */
  async close(): Promise<void> {
    clearInterval(this.#saver)
    await this.#save()
  }

  /** A cursor is saved after the acknowledgement of all that was sent before it. */
  async #save(): Promise<void> {
    if (this.#cursors.size === 0) return
    const cursors = [...this.#cursors]
    this.#cursors.clear()
    await this.#options.accumulator.flushed()
    for (const [feed, cursor] of cursors) {
      const position = sessionPosition(this.#session, ++this.#saved)
      const record: FeedCursor = { id: `${feed}:${position}`, feed, ts: this.context.now(), cursor }
      this.send(topics.feedsCursors, record, { origin: feed, position })
    }
  }
}
