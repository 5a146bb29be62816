/**
 * Batches what a step produces and sends it with acknowledgements from all replicas, one awaited send at a time, so that a
 * retry never overtakes. A send that failed is sent again as it was; the position rule drops what arrived twice.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CompressionTypes, type Producer } from 'kafkajs'
import type { Config } from '../config.ts'
import { classify, oneLine } from '../errors.ts'
import type { Headers } from '../headers.ts'

/** More messages per partition in one send make kafkajs slow: it copies its list with each (groupMessagesPerPartition). */
const messagesPerPartition = 500
/** Below the usual `max.message.bytes` of 1 MiB, which bounds what one send brings a partition. */
const bytesPerPartition = 768 * 1024
const overheadPerMessage = 120
const firstBackoffMs = 50
const longestBackoffMs = 5_000

export interface OutgoingMessage {
  readonly key: Buffer | string
  readonly value: Buffer | null
  readonly headers: Headers
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
  /** Told what a send brought, after its acknowledgement. */
  onAcknowledged?(topic: string, messages: number, bytes: number): void
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
  readonly #queues = new Map<string, Queue>()
  readonly #waiters: Waiter[] = []
  readonly #ending = new AbortController()
  #appended = 0
  #bytes = 0
  #sending = false
  #timer: NodeJS.Timeout | undefined
  /** Highest offset + 1 that an acknowledgement named, per topic and partition; for journals. */
  readonly #ends = new Map<string, number>()

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
    const name = `${topic}:${partition}`
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      queue = { topic, partition, compressed, messages: [], numbers: [] }
      this.#queues.set(name, queue)
    }
    queue.messages.push(message)
    queue.numbers.push(++this.#appended)
    this.#bytes += sizeOf(message)
    this.#schedule(this.#bytes >= this.#options.config.producerBatchBytes ? 0 : this.#options.config.producerLingerMs)
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
    clearTimeout(this.#timer)
    this.#ending.abort()
  }

  /** Offset behind the newest acknowledged message of a partition, where a send has told it. */
  endOf(topic: string, partition: number): number | undefined {
    return this.#ends.get(`${topic}:${partition}`)
  }

  #schedule(delayMs: number): void {
    if (this.#sending) return
    if (delayMs === 0) {
      clearTimeout(this.#timer)
      this.#timer = undefined
      this.#sending = true
      void this.#send()
    } else this.#timer ??= setTimeout(() => this.#schedule(0), delayMs)
  }

  async #send(): Promise<void> {
    // One turn, so that all that the present task appends goes into the same send.
    await Promise.resolve()
    while (this.#bytes > 0 && !this.#ending.signal.aborted) {
      const batch = [...this.#queues.values()].filter((queue) => queue.messages.length > 0).map(takeFirst)
      await this.#deliver(batch)
      for (const { queue, messages, bytes } of batch) {
        queue.messages.splice(0, messages.length)
        queue.numbers.splice(0, messages.length)
        this.#bytes -= bytes
        this.#options.onAcknowledged?.(queue.topic, messages.length, bytes)
      }
      this.#release()
    }
    this.#sending = false
    this.#timer = undefined
  }

  async #deliver(batch: readonly Taken[]): Promise<void> {
    for (
      let backoff = firstBackoffMs;
      !this.#ending.signal.aborted;
      backoff = Math.min(backoff * 2, longestBackoffMs)
    ) {
      try {
        await Promise.all([
          this.#sendAll(
            batch.filter(({ queue }) => !queue.compressed),
            CompressionTypes.None,
          ),
          this.#sendAll(
            batch.filter(({ queue }) => queue.compressed),
            CompressionTypes.GZIP,
          ),
        ])
        return
      } catch (error) {
        if (classify(error) !== 'retryable') this.#options.onFatal(error)
        else this.#options.onRetry(oneLine(error))
        await sleep(backoff, undefined, { signal: this.#ending.signal }).catch(() => {})
      }
    }
  }

  async #sendAll(batch: readonly Taken[], compression: CompressionTypes): Promise<void> {
    if (batch.length === 0) return
    const byTopic = new Map<
      string,
      { key: Buffer | string; value: Buffer | null; headers: Headers; partition: number }[]
    >()
    for (const { queue, messages } of batch) {
      const list = byTopic.get(queue.topic) ?? []
      for (const { key, value, headers } of messages) list.push({ key, value, headers, partition: queue.partition })
      byTopic.set(queue.topic, list)
    }
    const topicMessages = [...byTopic].map(([topic, messages]) => ({ topic, messages }))
    const answers = await this.#options.producer.sendBatch({ topicMessages, acks: -1, compression })
    for (const { topicName, partition, baseOffset } of answers) {
      const taken = batch.find(({ queue }) => queue.topic === topicName && queue.partition === partition)
      if (taken !== undefined && baseOffset !== undefined)
        this.#ends.set(`${topicName}:${partition}`, Number(baseOffset) + taken.messages.length)
    }
  }

  #release(): void {
    const oldest = this.#oldest()
    for (let at = this.#waiters.length - 1; at >= 0; at--) {
      const waiter = this.#waiters[at]
      if (waiter === undefined || waiter.upTo >= oldest) continue
      this.#waiters.splice(at, 1)
      waiter.resolve()
    }
  }

  /** Number of the oldest message without an acknowledgement. */
  #oldest(): number {
    let oldest = this.#appended + 1
    for (const { numbers } of this.#queues.values()) oldest = Math.min(oldest, numbers[0] ?? oldest)
    return oldest
  }
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
