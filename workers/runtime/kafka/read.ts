/** Reads a stretch of a partition once, outside any step's group: for journals, `tail`, dead letters and replays. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, Batch, Consumer, Kafka, KafkaMessage } from 'kafkajs'
import { RetryableError, classify } from '../errors.ts'
import type { Names } from './client.ts'

export interface Stretch {
  /** As the servers call it. */
  readonly topic: string
  readonly partition: number
  /** First offset. */
  readonly from: number
  /** Offset behind the last. */
  readonly to: number
}

export interface ReadOptions {
  readonly kafka: Kafka
  readonly admin: Admin
  readonly names: Names
}

/** Without news for so long while messages should be there, or with nothing but errors for so long, the read fails. */
const patienceMs = 15_000
const firstPauseMs = 100
const longestPauseMs = 1_000

/**
 * Reads the messages of a stretch in order; offsets that were compacted away are missing.
 * @throws RetryableError where the broker does not deliver
 */
export async function readStretch(options: ReadOptions, stretch: Stretch): Promise<KafkaMessage[]> {
  const messages: KafkaMessage[] = []
  await followPartition(options, stretch, (message) => {
    messages.push(message)
  })
  return messages
}

/**
 * Calls `each` with every message of a stretch.
 * @param signal ends the reading early
 */
export async function followPartition(
  options: ReadOptions,
  { topic, ...stretch }: Stretch,
  each: (message: KafkaMessage) => void,
  signal?: AbortSignal,
): Promise<void> {
  await followTopic(options, topic, [stretch], each, signal)
}

type Each = (message: KafkaMessage, partition: number) => Promise<void> | void

/**
 * Calls `each` with every message of several stretches of a topic, each partition's in order; a stretch that ends at
 * Infinity goes on with what is appended. A broker that refuses is asked again, and goes on where it was.
 * @param signal ends the reading early
 * @throws RetryableError where the broker does not deliver, and whatever `each` throws
 */
export async function followTopic(
  options: ReadOptions,
  topic: string,
  stretches: readonly Omit<Stretch, 'topic'>[],
  each: Each,
  signal?: AbortSignal,
): Promise<void> {
  const reading = new Reading(options, topic, stretches, each, signal)
  let failingSince = Infinity
  for (let pauseMs = firstPauseMs; !reading.done; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    const { batches } = reading
    try {
      await reading.read()
    } catch (error) {
      if (reading.over || classify(error) !== 'retryable') throw error
      const now = performance.now()
      if (reading.batches > batches || reading.memberMs > patienceMs) [failingSince, pauseMs] = [now, firstPauseMs]
      failingSince = Math.min(failingSince, now)
      if (now - failingSince > patienceMs) throw new RetryableError('unavailable', `Reading ${topic}`, { cause: error })
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }
}

interface Open {
  readonly partition: number
  readonly to: number
  /** Next offset to hand over. */
  from: number
}

/** Stretches of a topic as far as they are not read. */
class Reading {
  readonly #options: ReadOptions
  readonly #topic: string
  readonly #open: Map<number, Open>
  readonly #each: Each
  readonly #signal: AbortSignal | undefined
  #timer: NodeJS.Timeout | undefined
  /** Whether it has failed for good: `each` has thrown, or nothing came for too long. */
  over = false
  /** Batches that came. */
  batches = 0
  /** For how long the last consumer read before it failed, in milliseconds. */
  memberMs = 0

  constructor(
    options: ReadOptions,
    topic: string,
    stretches: readonly Omit<Stretch, 'topic'>[],
    each: Each,
    signal: AbortSignal | undefined,
  ) {
    this.#options = options
    this.#topic = topic
    const open = stretches.filter(({ from, to }) => from < to)
    this.#open = new Map(open.map(({ partition, from, to }) => [partition, { partition, from, to }]))
    this.#each = each
    this.#signal = signal
  }

  get done(): boolean {
    return this.#open.size === 0 || this.#signal?.aborted === true
  }

  /** Reads on until all is read or the signal aborts. @throws what `each` or the client throws */
  async read(): Promise<void> {
    const { kafka, admin, names } = this.#options
    const groupId = `${names.group('reader')}-${randomUUID()}`
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, retry: { restartOnFailure: async () => false } })
    const { promise: ended, resolve, reject } = Promise.withResolvers<void>()
    // It may also end while the consumer connects or disconnects.
    ended.catch(() => {})
    const ending = new AbortController()
    let taking: Promise<void> = Promise.resolve()
    let joinedAt: number | undefined
    this.#signal?.addEventListener('abort', () => resolve(), { once: true, signal: ending.signal })
    try {
      await consumer.connect()
      this.#wait(reject)
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        joinedAt ??= performance.now()
        this.#joined(consumer, payload.memberAssignment)
      })
      await consumer.subscribe({ topic: this.#topic, fromBeginning: true })
      consumer
        .run({
          autoCommit: false,
          eachBatch: ({ batch }) => {
            taking = this.#take(consumer, batch, ending.signal).then(
              () => (this.#open.size === 0 ? resolve() : this.#wait(reject)),
              (error: unknown) => {
                this.over = true
                reject(error)
              },
            )
            return taking
          },
        })
        .catch(reject)
      await ended
    } finally {
      this.memberMs = joinedAt === undefined ? 0 : performance.now() - joinedAt
      ending.abort()
      clearTimeout(this.#timer)
      await consumer.disconnect().catch(() => {})
      // What is handed over is handed over once, in order: nobody reads on while it is.
      await taking
      clearTimeout(this.#timer)
      await admin.deleteGroups([groupId]).catch(() => {})
    }
  }

  #joined(consumer: Consumer, assignment: Readonly<Record<string, readonly number[]>>): void {
    const others = (assignment[this.#topic] ?? []).filter((partition) => !this.#open.has(partition))
    if (others.length > 0) consumer.pause([{ topic: this.#topic, partitions: others }])
    for (const { partition, from } of this.#open.values())
      consumer.seek({ topic: this.#topic, partition, offset: String(from) })
  }

  /** Begins to wait anew for messages that should be there. */
  #wait(reject: (error: unknown) => void): void {
    clearTimeout(this.#timer)
    const due = [...this.#open.values()].find(({ to }) => to !== Infinity)
    if (due === undefined) return
    this.#timer = setTimeout(() => {
      this.over = true
      const what = `reading ${this.#topic}:${due.partition} from ${due.from} brought nothing for ${patienceMs} ms`
      reject(new RetryableError('timeout', what))
    }, patienceMs)
  }

  async #take(consumer: Consumer, batch: Batch, ended: AbortSignal): Promise<void> {
    const open = this.#open.get(batch.partition)
    if (open === undefined || ended.aborted) return
    clearTimeout(this.#timer)
    this.batches++
    for (const message of batch.messages) {
      const offset = Number(message.offset)
      if (ended.aborted || this.#signal?.aborted) return
      if (offset < open.from || offset >= open.to) continue
      // A rejoin or another consumer goes on behind it.
      open.from = offset + 1
      await this.#each(message, open.partition)
    }
    // Offsets that were compacted away have no message.
    open.from = Math.max(open.from, Number(batch.lastOffset()) + 1)
    if (open.from < open.to) return
    this.#open.delete(open.partition)
    if (this.#open.size > 0) consumer.pause([{ topic: this.#topic, partitions: [open.partition] }])
  }
}
