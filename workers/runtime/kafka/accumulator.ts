/**
 * Batches what a step produces and sends it with acknowledgements from all replicas, one awaited send at a time, so that a
 * retry never overtakes. A send that failed is sent again as it was; the position rule drops what arrived twice.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CompressionTypes, type Message, type Producer, type RecordMetadata } from 'kafkajs'
import type { Config } from '../config.ts'
import type { Micros } from '../definitions.ts'
import { classify, oneLine, RetryableError } from '../errors.ts'
import type { Headers } from '../headers.ts'

/** What a send brings a partition at most, so that requests stay small. */
const messagesPerPartition = 2_000
/** Below the usual `max.message.bytes` of 1 MiB, which bounds what one send brings a partition. */
const bytesPerPartition = 768 * 1024
/** Origin, position and trace in the headers. */
const overheadPerMessage = 200
const firstBackoffMs = 50
const longestBackoffMs = 5_000
/** How long what is in no hurry waits for what else goes out: each send costs as much as hundreds of messages. */
const patienceMs = 100

export interface OutgoingMessage {
  readonly key: Buffer | string
  readonly value: Buffer | null
  readonly headers: Headers
  /** Event time of a record that comes from outside, by which its latency is measured. */
  readonly time?: Micros | undefined
}

interface Queue {
  readonly topic: string
  readonly partition: number
  readonly compressed: boolean
  readonly messages: OutgoingMessage[]
  /** Number of the first message, counted over all queues. */
  readonly numbers: number[]
}

export interface AccumulatorOptions {
  readonly producer: Producer
  readonly config: Config
  /** Told what a send brought a partition, after its acknowledgement; `time` of the last message. */
  onAcknowledged?(topic: string, messages: number, bytes: number, time: Micros | undefined): void
  /** Told why a send has to be tried again. */
  onRetry(error: string): void
  /** Told of an error that trying again does not mend. */
  onFatal(error: unknown): void
}

interface Waiter {
  readonly upTo: number
  readonly resolve: () => void
}

export class Accumulator {
  readonly #options: AccumulatorOptions
  readonly #queues: Queue[] = []
  /** By topic and partition: a look-up for each message must not build a name. */
  readonly #queuesOf = new Map<string, Queue[]>()
  readonly #waiters: Waiter[] = []
  readonly #ending = new AbortController()
  /** Whether the newest send has failed and is tried again. */
  retrying = false
  #appended = 0
  #bytes = 0
  #sending = false
  #timer: NodeJS.Timeout | undefined
  #patience: NodeJS.Timeout | undefined
  /** Where messages of watched partitions came to stand; for journals. */
  readonly #places = new Map<string, { readonly offset: number; readonly count: number }[]>()

  constructor(options: AccumulatorOptions) {
    this.#options = options
  }

  /** Bytes that wait for their acknowledgement. */
  get queuedBytes(): number {
    return this.#bytes
  }

  /**
   * @param topic as the servers call it
   * @param compressed whether the topic's messages are large and travel compressed
   */
  append(topic: string, partition: number, message: OutgoingMessage, compressed = false): void {
    this.#queue(topic, partition, message, compressed)
    this.#schedule(this.#bytes >= this.#options.config.producerBatchBytes ? 0 : this.#options.config.producerLingerMs)
  }

  /** `append` for what is in no hurry. */
  appendPatiently(topic: string, partition: number, message: OutgoingMessage, compressed = false): void {
    this.#queue(topic, partition, message, compressed)
    if (this.#bytes >= this.#options.config.producerBatchBytes) this.#schedule(0)
    else this.#patience ??= setTimeout(() => this.#schedule(0), patienceMs)
  }

  /** Resolves when everything appended so far is acknowledged. */
  flushed(): Promise<void> {
    if (this.#oldest() > this.#appended) return Promise.resolve()
    this.#schedule(0)
    return new Promise((resolve) => this.#waiters.push({ upTo: this.#appended, resolve }))
  }

  /** Sends what is there without waiting for more. */
  push(): void {
    if (this.#bytes > 0) this.#schedule(0)
  }

  /** Ends; what waits is not sent any more. */
  close(): void {
    this.#clearTimers()
    this.#ending.abort()
  }

  /**
   * Where the messages of a partition came to stand since the last call, in order; the first call begins to watch.
   * @param topic as the servers call it
   */
  takePlaces(topic: string, partition: number): readonly { readonly offset: number; readonly count: number }[] {
    const places = this.#places.get(`${topic}:${partition}`) ?? []
    this.#places.set(`${topic}:${partition}`, [])
    return places
  }

  #queue(topic: string, partition: number, message: OutgoingMessage, compressed: boolean): void {
    const queue = this.#queuesOf.get(topic)?.[partition] ?? this.#open(topic, partition, compressed)
    queue.messages.push(message)
    queue.numbers.push(++this.#appended)
    this.#bytes += sizeOf(message)
  }

  #open(topic: string, partition: number, compressed: boolean): Queue {
    const queue: Queue = { topic, partition, compressed, messages: [], numbers: [] }
    const queues = this.#queuesOf.get(topic) ?? []
    queues[partition] = queue
    this.#queuesOf.set(topic, queues)
    this.#queues.push(queue)
    return queue
  }

  #schedule(delayMs: number): void {
    if (this.#sending) return
    if (delayMs === 0) {
      this.#clearTimers()
      this.#sending = true
      void this.#send()
    } else this.#timer ??= setTimeout(() => this.#schedule(0), delayMs)
  }

  async #send(): Promise<void> {
    // One turn, so that all that the present task appends goes into the same send.
    await Promise.resolve()
    while (this.#bytes > 0 && !this.#ending.signal.aborted) {
      const batch = this.#queues.filter((queue) => queue.messages.length > 0).map(takeFirst)
      await this.#deliver(batch)
      // What was not acknowledged must not look as if it were.
      if (this.#ending.signal.aborted) break
      for (const { queue, messages, bytes } of batch) {
        queue.messages.splice(0, messages.length)
        queue.numbers.splice(0, messages.length)
        this.#bytes -= bytes
        this.#options.onAcknowledged?.(queue.topic, messages.length, bytes, messages.at(-1)?.time)
      }
      this.#release()
    }
    this.#clearTimers()
    this.#sending = false
  }

  #clearTimers(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#patience)
    this.#timer = this.#patience = undefined
  }

  async #deliver(batch: readonly Taken[]): Promise<void> {
    for (
      let backoff = firstBackoffMs;
      !this.#ending.signal.aborted;
      backoff = Math.min(backoff * 2, longestBackoffMs)
    ) {
      try {
        // Both end before either is tried again, or a late one would overtake.
        const sends = await Promise.allSettled([
          this.#sendAll(
            batch.filter(({ queue }) => !queue.compressed),
            CompressionTypes.None,
          ),
          this.#sendAll(
            batch.filter(({ queue }) => queue.compressed),
            CompressionTypes.GZIP,
          ),
        ])
        for (const send of sends) if (send.status === 'rejected') throw send.reason
        this.retrying = false
        return
      } catch (error) {
        this.retrying = true
        if (classify(error) !== 'retryable') this.#options.onFatal(error)
        else this.#options.onRetry(oneLine(error))
        await sleep(backoff, undefined, { signal: this.#ending.signal }).catch(() => {})
      }
    }
  }

  async #sendAll(batch: readonly Taken[], compression: CompressionTypes): Promise<void> {
    if (batch.length === 0) return
    const topics = new Set(batch.map(({ queue }) => queue.topic))
    const topicMessages = [...topics].map((topic) => ({
      topic,
      messages: grouped(batch.filter(({ queue }) => queue.topic === topic)),
    }))
    const answers = await this.#options.producer.sendBatch({ topicMessages, acks: -1, compression })
    assertAnswered(batch, answers)
    for (const { topicName, partition, baseOffset } of answers) {
      const places = this.#places.get(`${topicName}:${partition}`)
      const taken = batch.find(({ queue }) => queue.topic === topicName && queue.partition === partition)
      if (places !== undefined && taken !== undefined && baseOffset !== undefined)
        places.push({ offset: Number(baseOffset), count: taken.messages.length })
    }
  }

  #release(): void {
    const oldest = this.#oldest()
    const done = this.#waiters.filter(({ upTo }) => upTo < oldest)
    if (done.length === 0) return
    const open = this.#waiters.filter(({ upTo }) => upTo >= oldest)
    this.#waiters.splice(0, this.#waiters.length, ...open)
    for (const { resolve } of done) resolve()
  }

  /** Number of the oldest message without an acknowledgement. */
  #oldest(): number {
    let oldest = this.#appended + 1
    for (const { numbers } of this.#queues) oldest = Math.min(oldest, numbers[0] ?? oldest)
    return oldest
  }
}

/**
 * kafkajs takes a send for done when the leader of a partition moves, in the midst of it, to a broker that has answered for
 * others already: that partition's messages were never sent (src/producer/sendMessages.js).
 */
function assertAnswered(batch: readonly Taken[], answers: readonly RecordMetadata[]): void {
  const answered = new Set(answers.map(({ topicName, partition }) => `${topicName}:${partition}`))
  const missing = batch.find(({ queue }) => !answered.has(`${queue.topic}:${queue.partition}`))
  if (missing === undefined) return
  const { topic, partition } = missing.queue
  throw new RetryableError('unavailable', `the brokers did not answer for ${topic}:${partition}`)
}

/**
 * The messages of a topic, which are grouped by partition already. kafkajs groups by reducing the list, and copies a group
 * for each message that it adds (src/producer/groupMessagesPerPartition.js).
 */
function grouped(batch: readonly Taken[]): Message[] {
  const byPartition = Object.fromEntries(batch.map(({ queue, messages }) => [queue.partition, messages]))
  const all: Message[] = batch.flatMap(({ messages }) => messages)
  return Object.defineProperty(all, 'reduce', { value: () => byPartition })
}

interface Taken {
  readonly queue: Queue
  readonly messages: readonly OutgoingMessage[]
  readonly bytes: number
}

function takeFirst(queue: Queue): Taken {
  let [count, bytes] = [0, 0]
  for (const message of queue.messages) {
    const size = sizeOf(message)
    if (count > 0 && (count >= messagesPerPartition || bytes + size > bytesPerPartition)) break
    count++
    bytes += size
  }
  return { queue, messages: queue.messages.slice(0, count), bytes }
}

const sizeOf = (message: OutgoingMessage): number =>
  message.key.length + (message.value?.length ?? 0) + overheadPerMessage
