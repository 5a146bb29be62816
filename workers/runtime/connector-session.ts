/** What one run of a connector is given: sending, marks, cursors, congestion, journals. */
import { topics } from '../../schemas/topics.ts'
import type { FeedCursor } from '../../schemas/types.ts'
import type { Connector, ConnectorSession, Context, Journal, Lane, Micros, Stamp, Topic } from './definitions.ts'
import type { Installation } from './installation.ts'
import { TopicJournal } from './journal.ts'
import type { Accumulator, Sender } from './kafka/accumulator.ts'
import type { Ownership } from './ownership.ts'
import { sessionPosition } from './position.ts'
import { RecordSender } from './record-sender.ts'
import { mayFail } from './test-errors.ts'

const saveMs = 1_000

export interface SessionOptions {
  readonly step: Connector
  readonly feeds: ConnectorSession['feeds']
  readonly context: Context
  readonly signal: AbortSignal
  /** Of this run: once it is over nothing is sent or saved any more. */
  readonly ownership: Ownership
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
  readonly #outgoing: Sender
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
    const { step, installation, accumulator, schemaIds, ownership } = options
    this.#outgoing = accumulator.sender((error) => ownership.fail(error))
    this.#sender = new RecordSender({
      step: step.name,
      topics: [...step.outputs, topics.feedsCursors],
      names: installation.names,
      schemaIds,
      append: (topic, partition, message, compressed) => {
        if (!ownership.over) this.#outgoing.append(topic, partition, message, compressed)
      },
    })
    this.#saver = setInterval(() => void this.#save().catch(() => {}), saveMs)
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
    return this.#outgoing.flushed()
  }

  journal<T extends object>(topic: Topic<T>, key: string): Journal<T> {
    const { installation, accumulator, ownership } = this.#options
    return new TopicJournal({ topic, key, installation, accumulator, ownership, sender: this.#outgoing, encoder: this.#sender.encoder }) // prettier-ignore
  }

  /** Saves what is to be saved, unless the run has failed, and ends. */
  async close(): Promise<void> {
    clearInterval(this.#saver)
    try {
      await this.#save()
    } finally {
      this.#options.ownership.end()
    }
  }

  /** A cursor is saved after the acknowledgement of all that was sent before it. */
  async #save(): Promise<void> {
    const { ownership } = this.#options
    if (this.#cursors.size === 0 || ownership.over) return
    const cursors = [...this.#cursors]
    this.#cursors.clear()
    mayFail('cursor')
    await this.#outgoing.flushed()
    if (ownership.over) return
    for (const [feed, cursor] of cursors) {
      const position = sessionPosition(this.#session, ++this.#saved)
      const record: FeedCursor = { id: `${feed}:${position}`, feed, ts: this.context.now(), cursor }
      this.send(topics.feedsCursors, record, { origin: feed, position })
    }
  }
}
