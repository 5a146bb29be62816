/** What one run of a connector is given: sending, marks, cursors, congestion, journals. */
import { topics } from '../../schemas/topics.ts'
import type { FeedCursor } from '../../schemas/types.ts'
import { Encoder } from './codec.ts'
import type { Connector, ConnectorSession, Context, Journal, Micros, Stamp, Topic } from './definitions.ts'
import { markHeaders, placeHeaders } from './headers.ts'
import type { Installation } from './installation.ts'
import { TopicJournal } from './journal.ts'
import type { Accumulator } from './kafka/accumulator.ts'
import { Partitioner } from './kafka/client.ts'
import { sessionPosition } from './position.ts'
import { newTraceparent } from './trace.ts'

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

interface Target {
  readonly name: string
  readonly partitioner: Partitioner
  readonly compressed: boolean
}

export class Session implements ConnectorSession {
  readonly feeds: ConnectorSession['feeds']
  readonly context: Context
  readonly signal: AbortSignal
  readonly #options: SessionOptions
  readonly #encoder: Encoder
  readonly #targets = new Map<string, Target>()
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
    this.#encoder = new Encoder(options.schemaIds)
    for (const topic of [...options.step.outputs, topics.feedsCursors]) {
      const compressed = topic.maxMessageBytes !== undefined
      this.#targets.set(topic.name, {
        name: options.installation.names.topic(topic),
        partitioner: new Partitioner(topic),
        compressed,
      })
    }
    this.#saver = setInterval(() => void this.#save(), saveMs)
  }

  send<T extends object>(topic: Topic<T>, record: T, stamp: Stamp): void {
    const { name, partitioner, compressed } = this.#target(topic)
    const key = topic.key(record)
    const value = this.#encoder.encode(topic, record)
    const headers = { ...placeHeaders(stamp), traceparent: newTraceparent() }
    const message = { key, value, headers }
    this.#options.accumulator.append(name, partitioner.of(key), message, compressed)
  }

  mark(topic: Topic, key: string, origin: string, time: Micros): void {
    const { name, partitioner } = this.#target(topic)
    const headers = markHeaders({ origin, time, block: null, finalized: null, removed: false }, undefined)
    this.#options.accumulator.append(name, partitioner.of(key), { key, value: null, headers })
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
    return new TopicJournal(topic, key, this.#options.installation, this.#options.accumulator, this.#encoder)
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

  #target(topic: Topic): Target {
    const target = this.#targets.get(topic.name)
    if (target === undefined)
      throw new Error(`${this.#options.step.name} sends to ${topic.name}, which is none of its outputs`)
    return target
  }
}
