/**
 * One partition of one input topic of a processor: packs what was fetched, has its thread run it, publishes what follows, and
 * checkpoints: outputs acknowledged first, then state, positions and offset together under the fence, then the Kafka offset.
 */
import type { KafkaMessage } from 'kafkajs'
import type { Processor } from './definitions.ts'
import { classify, oneLine } from './errors.ts'
import { Intake } from './intake.ts'
import type { Resumption, Slot, SlotControl } from './kafka/slot.ts'
import { ThreadDied } from './lane.ts'
import type { ProcessorShared } from './processor-host.ts'
import { Publisher } from './publisher.ts'
import type { Fault } from './slot-task.ts'
import type { ClaimedSlot } from './state/redis-store.ts'
import { assertReadable, storedGeneration } from './state/version.ts'
import { SlotSnapshots } from './state/slot-snapshots.ts'
import { Suspects } from './suspects.ts'
import { packTask, readSchemas } from './task-packer.ts'
import { guarded } from './test-switches.ts'
import type { RunAnswer, ThreadTask } from './thread.ts'

let openings = 0
const retryMs = 250
const acknowledgedFirst = guarded('acknowledgement')

export class ProcessorSlot implements Slot {
  readonly #step: Processor
  readonly #shared: ProcessorShared
  readonly #control: SlotControl
  /** Name of this slot in its thread; never used again, so that what is late cannot meet its successor. */
  #thread = ''
  readonly #origin: string
  readonly #intake: Intake
  readonly #publisher: Publisher
  readonly #snapshots: SlotSnapshots
  /** Grows whenever memory is dropped: what began before then no longer counts. */
  #epoch = 0
  #claimed: ClaimedSlot | undefined
  #offset = 0
  #appendTime: number | undefined
  #expected: number | undefined
  #unsaved = 0
  #savedAt = 0
  #due: NodeJS.Timeout | undefined
  #overdue = false
  #working: Promise<void> | undefined
  #learned = new Set<number>()
  /** Whether the thread undoes calls into the step that throw: only where one has, since it costs something. */
  #careful = false
  readonly #suspects: Suspects
  /** Records to leave out, which cannot be undone; they are in the DLQ. */
  readonly #poison = new Set<number>()
  progress = 0

  constructor(step: Processor, shared: ProcessorShared, control: SlotControl) {
    this.#step = step
    this.#shared = shared
    this.#control = control
    this.#origin = `${step.name}:${control.topic.name}:${control.partition}`
    this.#intake = new Intake(step.name)
    this.#suspects = new Suspects(this.#origin)
    this.#publisher = new Publisher(step, shared, control.topic, control.partition)
    const fatal = (error: unknown): void => control.fatal(error)
    this.#snapshots = new SlotSnapshots(shared, this.#name, () => void this.#overtaken(), fatal)
  }

  get queued(): number {
    return this.#intake.length
  }

  get droppingMs(): number {
    return this.#intake.droppingMs
  }

  get queuedBytes(): number {
    return this.#intake.bytes
  }

  get busy(): boolean {
    return this.#working !== undefined
  }

  /** Seconds since the newest checkpoint where something is not in it, else 0. */
  get checkpointAge(): number {
    return this.#unsaved === 0 ? 0 : (Date.now() - this.#savedAt) / 1_000
  }

  async open(): Promise<Resumption> {
    const epoch = this.#drop()
    const claimed = await this.#snapshots.claim()
    assertReadable(this.#step, claimed.fields)
    const thread = `${this.#origin}#${++openings}`
    await this.#shared.threads.open({
      op: 'open',
      slot: thread,
      module: this.#step.module,
      step: this.#step.name,
      topic: this.#control.topic.name,
      settings: this.#shared.settings,
      schemaIds: this.#shared.schemaIds,
      stored: claimed.fields,
      careful: this.#careful,
    })
    if (epoch !== this.#epoch) void this.#shared.threads.close(thread)
    else {
      this.#thread = thread
      this.#claimed = claimed
      this.#publisher.generation = storedGeneration(claimed.fields)
      this.#snapshots.begin(claimed)
      this.#learned = new Set()
      this.#expected = claimed.offset
      this.#appendTime = claimed.appendTime
      this.#intake.reset(claimed.positions)
    }
    return { offset: claimed.offset, appendTime: claimed.appendTime }
  }

  opened(offset: number): void {
    this.#offset = offset
    this.#savedAt = Date.now()
    this.#work()
  }

  take(messages: readonly KafkaMessage[]): void {
    this.#intake.add(messages)
    this.#work()
  }

  close(): void {
    this.#drop()
  }

  /** Ends what is in flight and checkpoints; what is still queued is left to whoever comes next. */
  async drain(): Promise<void> {
    this.#intake.take(Infinity)
    await this.#working
    if (this.#unsaved === 0 || this.#claimed === undefined) return
    await this.#checkpoint(this.#epoch).catch((error: unknown) => {
      // What is not stored went with the thread, and is done again.
      if (!(error instanceof ThreadDied)) throw error
    })
  }

  get #name() {
    return { step: this.#step.name, topic: this.#control.topic.name, partition: this.#control.partition }
  }

  #drop(): number {
    if (this.#claimed !== undefined) void this.#shared.threads.close(this.#thread)
    this.#claimed = undefined
    this.#snapshots.end()
    this.#intake.reset([])
    this.#unsaved = 0
    clearTimeout(this.#due)
    this.#due = undefined
    this.#overdue = false
    return ++this.#epoch
  }

  #work(): void {
    this.#working ??= this.#loop(this.#epoch).finally(() => {
      this.#working = undefined
      // What came while an epoch ended belongs to the next.
      if (this.#claimed !== undefined && (this.#intake.length > 0 || this.#isDue())) this.#work()
    })
  }

  async #loop(epoch: number): Promise<void> {
    const { accumulator, context } = this.#shared
    const { producerQueueBytes } = context.config
    try {
      while (epoch === this.#epoch && this.#claimed !== undefined) {
        if (this.#isDue()) await this.#checkpoint(epoch)
        // What is published waits in memory while the brokers are away.
        else if (accumulator.queuedBytes > producerQueueBytes) await accumulator.flushed()
        else if (this.#intake.length > 0) await this.#task(epoch)
        else return
      }
    } catch (error) {
      if (epoch !== this.#epoch) return
      if (classify(error) !== 'retryable') return this.#control.fatal(error)
      // A task that failed had been accepted whole: nothing of this memory may be stored.
      this.#drop()
      this.#shared.retried(error)
      this.#control.reopen(oneLine(error))
    }
  }

  async #task(epoch: number): Promise<void> {
    const { config, metrics } = this.#shared.context
    const step = this.#step.name
    const topic = this.#control.topic.name
    const messages = this.#suspects.take(this.#intake, config.batchRecords)
    const last = messages.at(-1)
    if (last === undefined) return
    const { task, origins, unknown, dropped } = packTask(messages, this.#intake, this.#poison, this.#learned)
    const schemas = await readSchemas(this.#shared.registry, unknown)
    if (epoch !== this.#epoch) return
    const sent = performance.now()
    const answer = await this.#run({ op: 'run', slot: this.#thread, task, origins, schemas }, messages)
    if (epoch !== this.#epoch) return
    for (const [id] of schemas) this.#learned.add(id)
    metrics.threadRunSeconds.observe({ step }, answer.runMs / 1_000)
    metrics.threadQueueSeconds.observe({ step }, Math.max(0, performance.now() - sent - answer.runMs) / 1_000)
    metrics.batchSize.observe({ step }, messages.length)
    if (dropped > 0) metrics.dropped.inc({ step, topic }, dropped)
    if (answer.crash !== undefined) return this.#crashed(messages, answer.crash)
    metrics.recordsIn.inc({ step, topic }, answer.records)
    const bytes = messages.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
    metrics.bytesIn.inc({ step, topic }, bytes)
    this.#publisher.publish(answer, messages)
    this.#offset = Number(last.offset) + 1
    this.#appendTime = Number(last.timestamp)
    this.#suspects.passed(Number(last.offset))
    this.#progressed(messages.length)
    this.#control.relieved()
  }

  /** Has the thread run a task. @throws ThreadDied, after a record that kills threads has gone to the DLQ */
  async #run(request: ThreadTask, messages: readonly KafkaMessage[]): Promise<RunAnswer> {
    try {
      return await this.#shared.threads.run(request)
    } catch (error) {
      if (!(error instanceof ThreadDied) || error.offset === undefined) throw error
      const { offset } = error
      this.#shared.context.metrics.restarts.inc({ step: this.#step.name, reason: 'thread' })
      this.progress++
      if (this.#suspects.died(offset, error))
        await this.#leaveOut(messages, { offset, reason: 'poison', code: 'thread-crash', error: oneLine(error) })
      throw error
    }
  }

  /**
   * The step threw, and the slot's memory may be half changed: what came since the checkpoint is done again carefully. Where
   * that has been so already, the fault lies outside the calls that can be undone, and the record is left out.
   */
  async #crashed(messages: readonly KafkaMessage[], crash: Fault): Promise<void> {
    const wasCareful = this.#careful
    this.#careful = true
    this.#drop()
    if (wasCareful) await this.#leaveOut(messages, crash)
    this.#control.reopen(crash.error)
  }

  async #leaveOut(messages: readonly KafkaMessage[], fault: Fault): Promise<void> {
    this.#poison.add(fault.offset)
    this.#publisher.bury([fault], messages)
    await this.#shared.accumulator.flushed()
  }

  #progressed(records: number): void {
    if (this.#unsaved === 0) this.#savedAt = Date.now()
    this.#unsaved += records
    this.progress++
    this.#due ??= setTimeout(() => {
      this.#overdue = true
      this.#work()
    }, this.#shared.context.config.checkpointMs)
  }

  #isDue(): boolean {
    const { checkpointMs, checkpointRecords } = this.#shared.context.config
    const old = this.#overdue || Date.now() - this.#savedAt >= checkpointMs
    return this.#unsaved > 0 && (old || this.#unsaved >= checkpointRecords)
  }

  async #checkpoint(epoch: number): Promise<void> {
    const claimed = this.#claimed
    if (claimed === undefined) return
    const started = performance.now()
    clearTimeout(this.#due)
    this.#due = undefined
    this.#overdue = false
    this.#unsaved = 0
    const [offset, appendTime, positions] = [this.#offset, this.#appendTime, this.#intake.positions.changes()]
    const changes = await this.#shared.threads.changes(this.#thread)
    if (acknowledgedFirst) await this.#shared.accumulator.flushed()
    const checkpoint = { token: claimed.token, expected: this.#expected, offset, appendTime, positions, changes }
    const saved = await this.#shared.store.checkpoint(this.#name, checkpoint)
    if (epoch !== this.#epoch) return
    if (!saved) return this.#overtaken()
    this.#expected = offset
    this.progress++
    for (const poison of this.#poison) if (poison < offset) this.#poison.delete(poison)
    const seconds = (performance.now() - started) / 1_000
    this.#shared.context.metrics.checkpointSeconds.observe({ step: this.#step.name }, seconds)
    void this.#control.commit(offset)
  }

  /** Somebody else claimed the slot. If we still belong here, the other was only late: read again; else let go. */
  async #overtaken(): Promise<void> {
    const offset = this.#expected
    const epoch = this.#drop()
    await new Promise((resolve) => setTimeout(resolve, retryMs))
    if (epoch !== this.#epoch) return
    if (await this.#control.commit(offset ?? 0)) this.#control.reopen('another worker had claimed the slot')
    else this.#control.letGo()
  }
}
