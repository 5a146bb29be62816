/**
 * A consumer that stays a member of its group: started again after a crash or a stall, and telling at each rebalance what it
 * holds. kafkajs has no revoke hook and does not await its join listeners, so everything that must happen before the first
 * fetch happens synchronously in `assigned`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { PartitionAssigners, type Consumer, type Kafka, type KafkaMessage } from 'kafkajs'
import type { Context } from '../definitions.ts'
import { RetryableError, classify, oneLine } from '../errors.ts'
import type { Unit } from '../units.ts'
import { stickyAssigner, type Assignment, type Claim } from './sticky-assigner.ts'

export interface MemberOptions {
  readonly context: Context
  readonly kafka: Kafka
  readonly step: string
  /** Group and topics as the servers call them. */
  readonly groupId: string
  readonly topics: readonly string[]
  /** Of the state that this member can read. */
  readonly version: number
  /** What is held now and should stay. */
  held(): Assignment
  /** @param lapsed whether the group had given us up: others may have owned, and moved, what we hold */
  assigned(assignment: Assignment, lapsed: boolean): void
  taken(topic: string, partition: number, messages: readonly KafkaMessage[], highWatermark: number): void
  /** How it is reported that the group cannot be joined, and that it can again. */
  readonly unit: Unit
}

/** A fetch answers at once when there is data; see also client.ts, which has it wait less while a partition is paused. */
const fetchWaitMs = 500
const firstBackoffMs = 100
const longestBackoffMs = 5_000
const leaveMs = 3_000

export class Member {
  readonly #options: MemberOptions
  #consumer: Consumer | undefined
  readonly #ending = new AbortController()
  #stopped = false
  #restarting = false
  #memberId: string | undefined
  /** The newest generation heard of, and how often we have joined since. */
  #generation = 0
  #joinsSince = 0
  /** Resolves when the present consumer has begun to fetch. */
  #fetching: Promise<void> = Promise.resolve()
  readonly #commits = new Set<Promise<unknown>>()
  joined = false

  constructor(options: MemberOptions) {
    this.#options = options
  }

  /** Generation of the group, which grows with each rebalance; known some seconds after a join. */
  get generation(): number {
    return this.#generation
  }

  /** Joins the group; a join that fails is tried again. */
  async start(): Promise<void> {
    await this.#connect()
  }

  /** No crash or stall starts the consumer again. */
  settle(): void {
    this.#stopped = true
    this.#ending.abort()
  }

  /** Ends the commits that are under way and leaves the group. */
  async leave(): Promise<void> {
    this.settle()
    // kafkajs leaves its group only once it has begun to fetch, and waits for a join that is under way. Everything is stored
    // by now: where it takes too long the group will notice by itself.
    const leave = async (): Promise<void> => {
      await Promise.allSettled(this.#commits)
      await this.#fetching
      await this.#consumer?.disconnect().catch(() => {})
    }
    await Promise.race([leave(), sleep(leaveMs)])
  }

  /** Gives the consumer up and joins with a new one, until it works. */
  restart(reason: 'crash' | 'stall', cause: unknown): void {
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
          if (this.#stopped) break
          const pauseMs = classify(error) === 'fatal' ? this.#options.unit.fail(error) : backoff
          await Promise.race([this.#consumer?.disconnect().catch(() => {}), sleep(longestBackoffMs)])
          await sleep(pauseMs, undefined, { signal: this.#ending.signal }).catch(() => {})
        }
      }
      this.#restarting = false
    })()
  }

  /** @returns whether the broker took it. */
  async commit(topic: string, partition: number, offset: number): Promise<boolean> {
    const commit = this.#consumer?.commitOffsets([{ topic, partition, offset: String(offset) }])
    if (commit === undefined) return false
    this.#commits.add(commit)
    try {
      await commit
      return true
    } catch (error) {
      this.#options.context.log.debug({ error: oneLine(error) }, 'offset commit failed')
      return false
    } finally {
      this.#commits.delete(commit)
    }
  }

  seek(topic: string, partition: number, offset: number): void {
    this.#tell((consumer) => consumer.seek({ topic, partition, offset: String(offset) }))
  }

  pause(topic: string, partition: number): void {
    this.#tell((consumer) => consumer.pause([{ topic, partitions: [partition] }]))
  }

  resume(topic: string, partition: number): void {
    this.#tell((consumer) => consumer.resume([{ topic, partitions: [partition] }]))
  }

  #tell(what: (consumer: Consumer) => void): void {
    try {
      if (this.#consumer !== undefined) what(this.#consumer)
    } catch {
      // A consumer that does not run refuses; the one after it is told when it joins.
    }
  }

  #create(): Consumer {
    const { kafka, context, groupId, version } = this.#options
    const { sessionTimeoutMs } = context.config
    const claim = (): Claim => ({
      generation: this.#generation + this.#joinsSince,
      version,
      partitions: this.#options.held(),
    })
    return kafka.consumer({
      groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: Math.max(sessionTimeoutMs, 10_000),
      heartbeatInterval: Math.floor(sessionTimeoutMs / 4),
      maxWaitTimeInMs: fetchWaitMs,
      maxBytes: 16 * 1024 * 1024,
      // Replicas of before the sticky one know the round robin alone.
      partitionAssigners: [stickyAssigner(claim), PartitionAssigners.roundRobin],
      // Whatever happens our supervisor starts a new consumer; kafkajs gives up on some errors and restarts on others.
      retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 5, restartOnFailure: async () => false },
    })
  }

  async #connect(): Promise<void> {
    const { topics } = this.#options
    // The first connection's crash is left to the restart that it begins.
    const again = this.#restarting
    const consumer = this.#create()
    this.#consumer = consumer
    consumer.on(consumer.events.GROUP_JOIN, ({ payload: { memberId, memberAssignment } }) => {
      if (this.#consumer !== consumer) return
      const lapsed = this.#memberId !== undefined && this.#memberId !== memberId
      this.#memberId = memberId
      this.#joinsSince++
      this.joined = true
      this.#options.unit.recovered()
      this.#options.assigned(memberAssignment, lapsed)
    })
    // kafkajs tells the generation with these alone.
    const hear = ({ payload }: { payload: { groupGenerationId: number } }): void => {
      if (this.#consumer !== consumer) return
      this.#generation = payload.groupGenerationId
      this.#joinsSince = 0
    }
    consumer.on(consumer.events.HEARTBEAT, hear)
    consumer.on(consumer.events.COMMIT_OFFSETS, hear)
    this.#fetching = new Promise((resolve) => consumer.on(consumer.events.FETCH_START, () => resolve()))
    let crash: unknown
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      crash = payload.error
      if (this.#consumer === consumer) this.restart('crash', payload.error)
    })
    await consumer.connect()
    await consumer.subscribe({ topics: [...topics], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async (fetched) => {
        // What was fetched before a seek would hide what the seek goes back to.
        if (this.#consumer !== consumer || fetched.isStale()) return
        const { topic, partition, messages, highWatermark } = fetched.batch
        this.#options.taken(topic, partition, messages, Number(highWatermark))
      },
    })
    // kafkajs reports a failed join as a crash and returns: a crash while restarting is this restart's failure.
    if (crash !== undefined && again) throw new RetryableError('unavailable', 'Joining the group', { cause: crash })
  }
}
