/**
 * A step's membership in its consumer group. Each assigned partition is a slot: it is paused until its owner has read where
 * the store of results stands, and then read from there. kafkajs has no revoke hook and does not await its join listeners,
 * so everything that must happen before the first fetch happens synchronously in the listener.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer, Kafka, KafkaMessage } from 'kafkajs'
import type { Context, Topic } from '../definitions.ts'
import { FatalError, RetryableError, classify, oneLine } from '../errors.ts'
import type { Names } from './client.ts'
import { startOf, type LogEnds } from './log-ends.ts'
import type { Slot, SlotControl } from './slot.ts'

export interface GroupOptions {
  readonly context: Context
  readonly kafka: Kafka
  readonly ends: LogEnds
  readonly names: Names
  readonly step: string
  readonly topics: readonly Topic[]
  createSlot(control: SlotControl): Slot
  fatal(error: unknown): void
}

interface Held {
  readonly topic: Topic
  readonly partition: number
  readonly slot: Slot
  state: 'opening' | 'reading' | 'full'
  /** Next offset expected from the broker. */
  next: number
  highWatermark: number
  /** When the newest message fetched was appended, in milliseconds. */
  newest: number
  progressAt: number
  progress: number
  attempt: number
  /** Openings since something was last worked off. */
  failures: number
  /** When the slot let go, in milliseconds. */
  abandonedAt: number | undefined
  probedAt: number
}

const fetchWaitMs = 250
const firstBackoffMs = 100
const longestBackoffMs = 5_000
const watchMs = 1_000
const leaveMs = 3_000

export class Group {
  readonly #options: GroupOptions
  readonly #held = new Map<string, Held>()
  readonly #logical: Map<string, Topic>
  #consumer: Consumer | undefined
  #watchdog: NodeJS.Timeout | undefined
  #stopped = false
  #restarting = false
  #memberId: string | undefined
  /** Resolves when the present consumer has begun to fetch. */
  #fetching: Promise<void> = Promise.resolve()
  joined = false

  constructor(options: GroupOptions) {
    this.#options = options
    this.#logical = new Map(options.topics.map((topic) => [options.names.topic(topic), topic]))
  }

  async start(): Promise<void> {
    await this.#connect()
    this.#watchdog = setInterval(() => this.#watch(), watchMs)
  }

  /** Stops fetching; what is queued stays with the slots. */
  async pauseAll(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#watchdog)
    for (const held of this.#held.values()) this.#pause(held)
  }

  /** Leaves the group. */
  async stop(): Promise<void> {
    await this.pauseAll()
    // kafkajs leaves its group only once it has begun to fetch, and waits for a join that is under way. Everything is stored
    // by now: where it takes too long the group will notice by itself.
    const leave = async (): Promise<void> => {
      await this.#fetching
      await this.#consumer?.disconnect().catch(() => {})
    }
    await Promise.race([leave(), sleep(leaveMs)])
    for (const held of this.#held.values()) held.slot.close()
    this.#held.clear()
  }

  /** The slots held now. */
  get slots(): Slot[] {
    return [...this.#held.values()].map(({ slot }) => slot)
  }

  /** Lag of each partition held: records that are not worked off, and the age of what was fetched last. */
  lags(): { topic: string; partition: number; records: number; seconds: number }[] {
    return [...this.#held.values()].map(({ topic, partition, highWatermark, next, newest, slot }) => {
      const records = Math.max(0, highWatermark - next) + slot.queued
      const seconds = records === 0 ? 0 : Math.max(0, Date.now() - newest) / 1_000
      return { topic: topic.name, partition, records, seconds }
    })
  }

  /** How long a slot has had work and done none of it, in milliseconds; the longest. */
  stalledMs(): number {
    const now = Date.now()
    return Math.max(
      0,
      ...[...this.#held.values()].filter(({ slot }) => slot.busy).map(({ progressAt }) => now - progressAt),
    )
  }

  async #connect(): Promise<void> {
    const { kafka, names, step, context } = this.#options
    // The first connection's crash is left to the restart that it begins.
    const again = this.#restarting
    const consumer = kafka.consumer({
      groupId: names.group(step),
      sessionTimeout: context.config.sessionTimeoutMs,
      rebalanceTimeout: Math.max(context.config.sessionTimeoutMs, 10_000),
      heartbeatInterval: Math.floor(context.config.sessionTimeoutMs / 4),
      maxWaitTimeInMs: fetchWaitMs,
      maxBytes: 16 * 1024 * 1024,
      // Whatever happens our supervisor starts a new consumer; kafkajs gives up on some errors and restarts on others.
      retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 5, restartOnFailure: async () => false },
    })
    this.#consumer = consumer
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      if (this.#consumer === consumer) this.#assigned(payload.memberId, payload.memberAssignment)
    })
    this.#fetching = new Promise((resolve) => consumer.on(consumer.events.FETCH_START, () => resolve()))
    let crash: unknown
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      crash = payload.error
      if (this.#consumer === consumer) this.#restart('crash', payload.error)
    })
    await consumer.connect()
    await consumer.subscribe({ topics: [...this.#logical.keys()], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async (fetched) => {
        // What was fetched before a seek would hide what the seek goes back to.
        if (this.#consumer !== consumer || fetched.isStale()) return
        const { topic, partition, messages, highWatermark } = fetched.batch
        this.#take(topic, partition, messages, Number(highWatermark))
      },
    })
    // kafkajs reports a failed join as a crash and returns: a crash while restarting is this restart's failure.
    if (crash !== undefined && again) throw new RetryableError('unavailable', 'Joining the group', { cause: crash })
  }

  /** Runs inside kafkajs's join, before it fetches. */
  #assigned(memberId: string, assignment: Record<string, number[]>): void {
    this.joined = true
    // Under a new name we had been given up: others may have owned, and moved, what we hold.
    const lapsed = this.#memberId !== undefined && this.#memberId !== memberId
    this.#memberId = memberId
    const now = new Map<string, [Topic, number]>()
    for (const [name, partitions] of Object.entries(assignment)) {
      const topic = this.#logical.get(name)
      if (topic !== undefined)
        for (const partition of partitions) now.set(`${topic.name}:${partition}`, [topic, partition])
    }
    for (const [name, held] of this.#held) {
      if (now.has(name)) continue
      this.#held.delete(name)
      held.slot.close()
    }
    for (const [name, [topic, partition]] of now) {
      const held = this.#held.get(name)
      if (held === undefined) this.#open(this.#hold(name, topic, partition))
      else if (lapsed || held.abandonedAt !== undefined) this.#open(held)
      else {
        if (held.state !== 'reading') this.#pause(held)
        if (held.state !== 'opening') this.#seek(held, held.next)
      }
    }
  }

  #hold(name: string, topic: Topic, partition: number): Held {
    const control: SlotControl = {
      topic,
      partition,
      reopen: (reason) => {
        if (this.#held.get(name) !== held) return
        this.#options.context.log.warn({ topic: topic.name, partition, reason }, 'slot is read again from its store')
        held.failures++
        this.#open(held)
      },
      letGo: () => {
        held.abandonedAt = Date.now()
      },
      commit: (offset) => this.#commit(name, held, offset),
      relieved: () => this.#relieve(held),
      fatal: (error) => this.#options.fatal(error),
    }
    const slot = this.#options.createSlot(control)
    const held: Held = { topic, partition, slot, state: 'opening', next: 0, highWatermark: 0, newest: Date.now(), progressAt: Date.now(), progress: 0, attempt: 0, failures: 0, abandonedAt: undefined, probedAt: Date.now() } // prettier-ignore
    this.#held.set(name, held)
    return held
  }

  /** Pauses the partition, reads the store, seeks, resumes; again until it works or the assignment is gone. */
  #open(held: Held): void {
    held.state = 'opening'
    held.abandonedAt = undefined
    const attempt = ++held.attempt
    const { ends, step, names } = this.#options
    this.#pause(held)
    void (async () => {
      // A failure that opening does not share would come again at once.
      if (held.failures > 1) await sleep(Math.min(firstBackoffMs * 2 ** held.failures, longestBackoffMs))
      for (
        let backoff = firstBackoffMs;
        this.#holds(held, attempt);
        backoff = Math.min(backoff * 2, longestBackoffMs)
      ) {
        try {
          const resumption = await held.slot.open()
          const offset = await startOf(ends, step, names.topic(held.topic), held.partition, resumption)
          if (!this.#holds(held, attempt)) return
          held.slot.opened(offset)
          held.state = 'reading'
          held.next = offset
          held.progressAt = Date.now()
          this.#seek(held, offset)
          this.#resume(held)
          return
        } catch (error) {
          if (classify(error) !== 'retryable') return this.#options.fatal(error)
          this.#options.context.log.warn(
            { topic: held.topic.name, partition: held.partition, error: oneLine(error) },
            'opening a slot',
          )
          await sleep(backoff)
        }
      }
    })()
  }

  #holds(held: Held, attempt: number): boolean {
    return !this.#stopped && held.attempt === attempt && this.#held.get(`${held.topic.name}:${held.partition}`) === held
  }

  #take(name: string, partition: number, messages: readonly KafkaMessage[], highWatermark: number): void {
    const topic = this.#logical.get(name)
    const held = this.#held.get(`${topic?.name}:${partition}`)
    if (held === undefined || held.state === 'opening' || this.#stopped) return
    held.highWatermark = highWatermark
    const fresh = messages.filter((message) => Number(message.offset) >= held.next)
    const last = fresh.at(-1)
    if (last === undefined) return
    held.next = Number(last.offset) + 1
    held.newest = Number(last.timestamp)
    if (!held.slot.busy) held.progressAt = Date.now()
    held.slot.take(fresh, highWatermark)
    if (held.slot.queuedBytes > this.#bound()) {
      held.state = 'full'
      this.#pause(held)
    }
  }

  #relieve(held: Held): void {
    if (held.state !== 'full' || held.slot.queuedBytes > this.#bound() / 2) return
    held.state = 'reading'
    if (!this.#stopped) this.#resume(held)
  }

  #bound(): number {
    return this.#options.context.config.queueBytes / Math.max(1, this.#held.size)
  }

  async #commit(name: string, held: Held, offset: number): Promise<boolean> {
    if (this.#held.get(name) !== held) return false
    const consumer = this.#consumer
    if (consumer === undefined) return false
    try {
      const topic = this.#options.names.topic(held.topic)
      await consumer.commitOffsets([{ topic, partition: held.partition, offset: String(offset) }])
      return this.#held.get(name) === held
    } catch (error) {
      this.#options.context.log.debug({ error: oneLine(error) }, 'offset commit failed')
      return false
    }
  }

  /** Reports and recovers what has stopped: kafkajs at times holds a partition and never fetches it (issues 1456, 659). */
  #watch(): void {
    const { stallMs } = this.#options.context.config
    const now = Date.now()
    for (const held of this.#held.values()) {
      if (held.slot.progress !== held.progress) {
        held.progress = held.slot.progress
        held.progressAt = now
        held.failures = 0
      }
      if (held.abandonedAt !== undefined && now - held.abandonedAt > stallMs) this.#open(held)
      const idleMs = now - held.progressAt
      if (held.state !== 'reading' || held.slot.busy || idleMs < stallMs / 3) continue
      if (now - held.probedAt > stallMs / 3) void this.#probe(held)
      if (idleMs > stallMs && held.highWatermark > held.next)
        return this.#restart('stall', `no fetch of ${held.topic.name}:${held.partition}`)
    }
  }

  /** Asks where the log ends, since an empty fetch does not tell, and whether we still stand within it. */
  async #probe(held: Held): Promise<void> {
    const { ends, names, step } = this.#options
    const { next, attempt } = held
    held.probedAt = Date.now()
    try {
      const { low, high } = await ends.of(names.topic(held.topic), held.partition)
      if (!this.#holds(held, attempt) || held.state !== 'reading') return
      held.highWatermark = Math.max(held.highWatermark, high)
      if (next <= high && held.next >= low) return
      const message = `${step} stands at offset ${held.next} of ${held.topic.name}:${held.partition}, whose log holds ${low} to ${high}`
      this.#options.fatal(
        new FatalError('offset', message, { hint: 'the log was cut or the topic made anew while it was read' }),
      )
    } catch (error) {
      this.#options.context.log.debug({ error: oneLine(error) }, 'asking for the end of a log')
    }
  }

  #restart(reason: 'crash' | 'stall', cause: unknown): void {
    if (this.#stopped || this.#restarting) return
    this.#restarting = true
    const { context, step } = this.#options
    context.metrics.restarts.inc({ step, reason })
    context.log.warn({ reason, error: oneLine(cause) }, 'consumer is started again')
    const old = this.#consumer
    this.#consumer = undefined
    void (async () => {
      await Promise.race([old?.disconnect().catch(() => {}), sleep(longestBackoffMs)])
      for (let backoff = firstBackoffMs; !this.#stopped; backoff = Math.min(backoff * 2, longestBackoffMs)) {
        try {
          await this.#connect()
          break
        } catch (error) {
          if (classify(error) === 'fatal') return this.#options.fatal(error)
          await Promise.race([this.#consumer?.disconnect().catch(() => {}), sleep(longestBackoffMs)])
          await sleep(backoff)
        }
      }
      this.#restarting = false
    })()
  }

  #seek(held: Held, offset: number): void {
    const topic = this.#options.names.topic(held.topic)
    this.#tell((consumer) => consumer.seek({ topic, partition: held.partition, offset: String(offset) }))
  }

  #pause(held: Held): void {
    this.#tell((consumer) => consumer.pause([this.#of(held)]))
  }

  #resume(held: Held): void {
    this.#tell((consumer) => consumer.resume([this.#of(held)]))
  }

  #tell(what: (consumer: Consumer) => void): void {
    try {
      if (this.#consumer !== undefined) what(this.#consumer)
    } catch {
      // A consumer that does not run refuses; the one after it is told when it joins.
    }
  }

  #of(held: Held): { topic: string; partitions: number[] } {
    return { topic: this.#options.names.topic(held.topic), partitions: [held.partition] }
  }
}
