/**
 * Batches what a step produces and sends it with acknowledgements from all replicas, one awaited send at a time, so that a
 * retry never overtakes. A send that failed is sent again as it was; the position rule drops what arrived twice. What the
 * brokers refuse for good is given back to those who produced it, and to nobody else.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CompressionTypes, type Message, type Producer, type RecordMetadata } from 'kafkajs'
import type { Config } from '../config.ts'
import type { Micros } from '../definitions.ts'
import { classify, FatalError, oneLine, RetryableError } from '../errors.ts'
import { mayFail } from '../test-errors.ts'
import { SendQueues, type OutgoingMessage, type Owner, type Taken } from './send-queues.ts'

const firstBackoffMs = 50
const longestBackoffMs = 5_000
/** How long what is in no hurry waits for what else goes out: each send costs as much as hundreds of messages. */
const patienceMs = 100

/** What one owner produces through the accumulator. */
export type Sender = Pick<Accumulator, 'append' | 'appendPatiently' | 'flushed'>

export interface AccumulatorOptions {
  readonly producer: Producer
  readonly config: Config
  /** Told what a send brought a partition, after its acknowledgement; `time` of the last message. */
  onAcknowledged?(topic: string, messages: number, bytes: number, time: Micros | undefined): void
  /** Told why a send has to be tried again. */
  onRetry(error: string): void
  /** Told of an error that trying again does not mend, of what was not appended by a sender. */
  onFatal(error: unknown): void
}

interface Waiter {
  readonly upTo: number
  readonly owner: Owner
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class Accumulator {
  readonly #options: AccumulatorOptions
  readonly #queues = new SendQueues()
  #waiters: Waiter[] = []
  #step: Owner
  readonly #ending = new AbortController()
  /** Whether the newest send has failed and is tried again. */
  retrying = false
  #sending = false
  #timer: NodeJS.Timeout | undefined
  #patience: NodeJS.Timeout | undefined
  /** Where messages of watched partitions came to stand; for journals. */
  readonly #places = new Map<string, { readonly offset: number; readonly count: number }[]>()

  constructor(options: AccumulatorOptions) {
    this.#options = options
    this.#step = { failed: (error) => options.onFatal(error), failure: undefined }
  }

  /** @param failed told once where the brokers refuse something of this sender for good: all that waits of it is dropped */
  sender(failed: (error: unknown) => void): Sender {
    const owner: Owner = { failed, failure: undefined }
    return {
      append: (topic, partition, message, compressed) => {
        this.#queues.add(owner, topic, partition, message, compressed ?? false)
        this.#scheduleSoon()
      },
      appendPatiently: (topic, partition, message, compressed) => {
        this.#queues.add(owner, topic, partition, message, compressed ?? false)
        this.#schedulePatiently()
      },
      flushed: () => this.#flushed(owner),
    }
  }

  /** Bytes that wait for their acknowledgement. */
  get queuedBytes(): number {
    return this.#queues.bytes
  }

  /**
   * @param topic as the servers call it
   * @param compressed whether the topic's messages are large and travel compressed
   */
  append(topic: string, partition: number, message: OutgoingMessage, compressed = false): void {
    this.#queues.add(this.#step, topic, partition, message, compressed)
    this.#scheduleSoon()
  }

  /** `append` for what is in no hurry. */
  appendPatiently(topic: string, partition: number, message: OutgoingMessage, compressed = false): void {
    this.#queues.add(this.#step, topic, partition, message, compressed)
    this.#schedulePatiently()
  }

  /**
   * Resolves when everything appended so far is acknowledged.
   * @throws what the brokers refused this owner's messages with
   */
  flushed(): Promise<void> {
    return this.#flushed(this.#step)
  }

  /** Sends what is there without waiting for more. */
  push(): void {
    if (this.#queues.bytes > 0) this.#schedule(0)
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

  #flushed(owner: Owner): Promise<void> {
    if (owner.failure !== undefined) return Promise.reject(owner.failure)
    if (this.#queues.oldest > this.#queues.appended) return Promise.resolve()
    this.#schedule(0)
    return new Promise((resolve, reject) => this.#waiters.push({ upTo: this.#queues.appended, owner, resolve, reject }))
  }

  #scheduleSoon(): void {
    this.#schedule(
      this.#queues.bytes >= this.#options.config.producerBatchBytes ? 0 : this.#options.config.producerLingerMs,
    )
  }

  #schedulePatiently(): void {
    if (this.#queues.bytes >= this.#options.config.producerBatchBytes) this.#schedule(0)
    else this.#patience ??= setTimeout(() => this.#schedule(0), patienceMs)
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
    while (this.#queues.bytes > 0 && !this.#ending.signal.aborted) {
      const batch = this.#queues.take()
      const refused = await this.#deliver(batch)
      // What was not acknowledged must not look as if it were.
      if (this.#ending.signal.aborted) break
      for (const taken of batch) {
        if (refused.has(taken)) continue
        const { queue, messages, bytes } = taken
        this.#queues.acknowledged(taken)
        this.#options.onAcknowledged?.(queue.topic, messages.length, bytes, messages.at(-1)?.time)
      }
      for (const [taken, error] of refused) this.#giveBack(taken, error)
      this.#release()
    }
    this.#clearTimers()
    this.#sending = false
  }

  /** Drops all that waits of those who produced what was refused, and tells them: they begin again from their stores. */
  #giveBack(taken: Taken, cause: unknown): void {
    const { topic, partition } = taken.queue
    const owners = this.#queues.giveBack(taken)
    const error = new FatalError('produce', `the brokers refuse what is sent to ${topic}:${partition}`, {
      cause,
      hint: 'look at the topic with `topics list`, and at the rights of the user',
    })
    const [gone, open] = [[] as Waiter[], [] as Waiter[]]
    for (const waiter of this.#waiters) (owners.has(waiter.owner) ? gone : open).push(waiter)
    this.#waiters = open
    for (const owner of owners) {
      owner.failure = error
      owner.failed(error)
    }
    // Whoever has no sender of its own waits in the same turn in which it appends.
    if (this.#step.failure !== undefined) this.#step = { failed: this.#step.failed, failure: undefined }
    for (const { reject } of gone) reject(error)
  }

  #clearTimers(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#patience)
    this.#timer = this.#patience = undefined
  }

  /** Sends until all of it is acknowledged or refused for good. @returns what was refused, and with what */
  async #deliver(batch: readonly Taken[]): Promise<ReadonlyMap<Taken, unknown>> {
    const refused = new Map<Taken, unknown>()
    let left = batch
    for (let backoff = firstBackoffMs; ; backoff = Math.min(backoff * 2, longestBackoffMs)) {
      try {
        await this.#sendBoth(left)
        this.retrying = false
        return refused
      } catch (error) {
        if (classify(error) !== 'retryable') {
          // Alone each partition tells whether it is the one.
          if (left.length === 1 && left[0] !== undefined) return refused.set(left[0], error)
          for (const taken of left) for (const [one, why] of await this.#deliver([taken])) refused.set(one, why)
          return refused
        }
        this.retrying = true
        this.#options.onRetry(oneLine(error))
        await sleep(backoff, undefined, { signal: this.#ending.signal }).catch(() => {})
        if (this.#ending.signal.aborted) return refused
        left = batch.filter((taken) => !refused.has(taken))
      }
    }
  }

  async #sendBoth(batch: readonly Taken[]): Promise<void> {
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
  }

  async #sendAll(batch: readonly Taken[], compression: CompressionTypes): Promise<void> {
    if (batch.length === 0) return
    const topics = new Set(batch.map(({ queue }) => queue.topic))
    const topicMessages = [...topics].map((topic) => ({
      topic,
      messages: grouped(batch.filter(({ queue }) => queue.topic === topic)),
    }))
    mayFail('publish')
    const answers = await this.#options.producer.sendBatch({ topicMessages, acks: -1, compression })
    mayFail('publish')
    assertAnswered(batch, answers)
    for (const { topicName, partition, baseOffset } of answers) {
      const places = this.#places.get(`${topicName}:${partition}`)
      const taken = batch.find(({ queue }) => queue.topic === topicName && queue.partition === partition)
      if (places !== undefined && taken !== undefined && baseOffset !== undefined)
        places.push({ offset: Number(baseOffset), count: taken.messages.length })
    }
  }

  #release(): void {
    const oldest = this.#queues.oldest
    const done = this.#waiters.filter(({ upTo }) => upTo < oldest)
    if (done.length === 0) return
    this.#waiters = this.#waiters.filter(({ upTo }) => upTo >= oldest)
    for (const { resolve } of done) resolve()
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
