/**
 * What a step holds of its consumer group. Each assigned partition is a slot: it is paused until its owner has read where
 * the store of results stands, and then read from there.
 */
import type { Kafka, KafkaMessage } from 'kafkajs'
import type { Context, Topic } from '../definitions.ts'
import type { Unit, Units } from '../units.ts'
import type { Names } from './client.ts'
import { Held } from './held.ts'
import type { LogEnds } from './log-ends.ts'
import { Member } from './member.ts'
import { Opener } from './opening.ts'
import type { Slot, SlotControl } from './slot.ts'
import type { Assignment } from './sticky-assigner.ts'
import { Watchdog } from './watchdog.ts'

export interface GroupOptions {
  readonly context: Context
  readonly kafka: Kafka
  readonly ends: LogEnds
  readonly names: Names
  readonly step: string
  readonly topics: readonly Topic[]
  /** Of the state that the step keeps, where it keeps any: replicas of a newer one go first, see sticky-assigner.ts. */
  readonly version?: number
  createSlot(control: SlotControl): Slot
  /** Whether the step waits for a server that it tries again and again: that is no stall. */
  waiting?(): boolean
  readonly units: Units
}

export class Group {
  readonly #options: GroupOptions
  readonly #member: Member
  readonly #held = new Map<string, Held>()
  readonly #logical: Map<string, Topic>
  readonly #membership: Unit
  #watchdog: Watchdog | undefined
  readonly #opener: Opener
  #stopped = false

  constructor(options: GroupOptions) {
    const { names, topics, step, context, kafka, units } = options
    this.#options = options
    this.#membership = units.register({ step, unit: 'group', whole: true })
    this.#logical = new Map(topics.map((topic) => [names.topic(topic), topic]))
    this.#member = new Member({
      context,
      kafka,
      step,
      groupId: names.group(step),
      topics: [...this.#logical.keys()],
      version: options.version ?? 0,
      held: () => this.#assignment(),
      assigned: (assignment, lapsed) => this.#assigned(assignment, lapsed),
      taken: (topic, partition, messages, highWatermark) => this.#take(topic, partition, messages, highWatermark),
      unit: this.#membership,
    })
    this.#opener = new Opener({
      context,
      ends: options.ends,
      step,
      member: this.#member,
      nameOf: (held) => this.#nameOf(held),
    })
  }

  async start(): Promise<void> {
    const { context, ends, step } = this.#options
    await this.#member.start()
    if (this.#stopped) return
    this.#watchdog = new Watchdog({
      context,
      ends,
      step,
      nameOf: (held) => this.#nameOf(held),
      held: () => this.#held.values(),
      holds: (held, ownership) => this.#opener.holds(held, ownership),
      waiting: () => this.#options.waiting?.() === true,
      open: (held) => this.#opener.open(held),
      restart: (cause) => this.#member.restart('stall', cause),
    })
  }

  /** Stops fetching; what is queued stays with the slots. */
  pauseAll(): void {
    this.#stopped = true
    this.#opener.stop()
    this.#watchdog?.stop()
    this.#member.settle()
    for (const held of this.#held.values()) this.#pause(held)
  }

  /** Leaves the group. */
  async stop(): Promise<void> {
    this.pauseAll()
    await this.#member.leave()
    for (const held of this.#held.values()) this.#release(held)
    this.#held.clear()
    this.#membership.remove()
  }

  get joined(): boolean {
    return this.#member.joined
  }

  /** Generation of the group, which grows with each rebalance; 0 where it is not known yet. */
  get generation(): number {
    return this.#member.generation
  }

  /** The slots held now. */
  get slots(): Slot[] {
    return [...this.#held.values()].map(({ slot }) => slot)
  }

  /** How many partitions have been reported for making no progress, and make none yet. */
  get stalled(): number {
    return [...this.#held.values()].filter(({ stalled }) => stalled).length
  }

  /**
   * Lag of each partition held: records that are not worked off, and the age of what was fetched last. One that was never
   * opened has none that is known.
   */
  lags(): { topic: string; partition: number; records: number; seconds: number }[] {
    const known = [...this.#held.values()].filter(({ state, next }) => state !== 'opening' || next > 0)
    return known.map(({ topic, partition, newest, lag: records }) => {
      const seconds = records === 0 ? 0 : Math.max(0, Date.now() - newest) / 1_000
      return { topic: topic.name, partition, records, seconds }
    })
  }

  /** How long a slot has had work and done none of it, in milliseconds; the longest. */
  stalledMs(): number {
    return Math.max(0, ...[...this.#held.values()].filter(({ slot }) => slot.busy).map((held) => held.idleMs()))
  }

  /** What is ours to keep at a rebalance. */
  #assignment(): Assignment {
    const topics: Record<string, number[]> = {}
    for (const held of this.#held.values())
      if (held.abandonedAt === undefined && !held.refused) (topics[this.#nameOf(held)] ??= []).push(held.partition)
    return topics
  }

  /** Runs inside kafkajs's join, before it fetches. */
  #assigned(assignment: Assignment, lapsed: boolean): void {
    const now = new Map<string, [Topic, number]>()
    for (const [name, partitions] of Object.entries(assignment)) {
      const topic = this.#logical.get(name)
      if (topic !== undefined)
        for (const partition of partitions) now.set(`${topic.name}:${partition}`, [topic, partition])
    }
    for (const [name, held] of this.#held) {
      if (now.has(name)) continue
      this.#held.delete(name)
      this.#release(held)
    }
    for (const [name, [topic, partition]] of now) {
      const held = this.#held.get(name)
      if (held === undefined) this.#opener.open(this.#hold(name, topic, partition))
      else if (lapsed || held.abandonedAt !== undefined) this.#opener.open(held)
      else {
        if (held.state !== 'reading' || this.#stopped) this.#pause(held)
        if (held.state === 'opening' || held.state === 'failed') continue
        this.#member.seek(this.#nameOf(held), partition, held.next)
        void this.#opener.verify(held)
      }
    }
  }

  #hold(name: string, topic: Topic, partition: number): Held {
    const control: SlotControl = {
      topic,
      partition,
      reopen: (reason) => {
        if (this.#held.get(name) !== held || held.ownership?.over === true) return
        this.#options.context.log.warn({ topic: topic.name, partition, reason }, 'slot is read again from its store')
        held.failures++
        this.#opener.open(held)
      },
      letGo: () => {
        held.abandonedAt = Date.now()
      },
      commit: async (offset) => {
        if (this.#held.get(name) !== held || held.ownership?.over !== false) return false
        return (await this.#member.commit(this.#nameOf(held), partition, offset)) && this.#held.get(name) === held
      },
      relieved: () => this.#relieve(held),
    }
    const unit = this.#options.units.register({ step: this.#options.step, unit: name })
    const held = new Held(topic, partition, this.#options.createSlot(control), unit)
    this.#held.set(name, held)
    return held
  }

  #release(held: Held): void {
    held.ownership?.end()
    held.slot.close()
    held.unit.remove()
  }

  #take(name: string, partition: number, messages: readonly KafkaMessage[], highWatermark: number): void {
    const topic = this.#logical.get(name)
    const held = this.#held.get(`${topic?.name}:${partition}`)
    if (held === undefined || held.state === 'opening' || held.state === 'failed' || this.#stopped) return
    const end = this.#options.ends.boundOf(name, partition)
    held.highWatermark = Math.min(highWatermark, end)
    if (jumped(held, messages)) {
      held.failures++
      return this.#opener.open(held)
    }
    const fresh = messages.filter(({ offset }) => Number(offset) >= held.next && Number(offset) < end)
    if (Number(messages.at(-1)?.offset) >= end - 1) this.#pause(held)
    const last = fresh.at(-1)
    if (last === undefined) return
    held.next = Number(last.offset) + 1
    held.newest = held.appendTime = Number(last.timestamp)
    if (!held.slot.busy) held.moved()
    held.slot.take(fresh, highWatermark)
    if (held.slot.queuedBytes > this.#bound()) {
      held.state = 'full'
      this.#pause(held)
    }
  }

  #relieve(held: Held): void {
    if (held.state !== 'full' || held.slot.queuedBytes > this.#bound() / 2) return
    held.state = 'reading'
    if (!this.#stopped) this.#member.resume(this.#nameOf(held), held.partition)
  }

  #bound(): number {
    return this.#options.context.config.queueBytes / Math.max(1, this.#held.size)
  }

  #pause(held: Held): void {
    this.#member.pause(this.#nameOf(held), held.partition)
  }

  #nameOf({ topic }: Held): string {
    return this.#options.names.topic(topic)
  }
}

/**
 * Whether messages do not go on where the last ones ended: kafkajs answers an offset that the log does not hold by a silent jump
 * (src/consumer/consumerGroup.js, recoverFromOffsetOutOfRange). The next opening tells why. Compacted logs have gaps.
 */
function jumped({ next, topic }: Held, [first]: readonly KafkaMessage[]): boolean {
  if (first === undefined) return false
  const offset = Number(first.offset)
  return offset < next || (offset > next && topic.cleanup.policy === 'delete')
}
