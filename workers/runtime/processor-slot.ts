/**
 * One partition of one input topic of a processor: packs what was fetched, has its thread run it, publishes what follows, and
 * checkpoints: outputs acknowledged first, then state, positions and offset together under the fence, then the Kafka offset.
 */
import type { KafkaMessage } from 'kafkajs'
import { CheckpointTimer } from './checkpoint-timer.ts'
import type { Processor } from './definitions.ts'
import { classify, oneLine } from './errors.ts'
import type { Crash, Fault } from './faults.ts'
import { Intake } from './intake.ts'
import type { Sender } from './kafka/accumulator.ts'
import type { Resumption, Slot, SlotControl } from './kafka/slot.ts'
import { ThreadDied } from './lane.ts'
import { LeftOut } from './left-out.ts'
import type { Ownership } from './ownership.ts'
import type { ProcessorShared } from './processor-host.ts'
import { Publisher } from './publisher.ts'
import { Refusals } from './refusals.ts'
import type { ClaimedSlot } from './state/redis-store.ts'
import { leftOutIn, leftOutChanges, noteIn, refusalsField, acceptedField } from './state/task-notes.ts'
import { assertReadable, storedGeneration } from './state/version.ts'
import { SlotSnapshots } from './state/slot-snapshots.ts'
import { indispensable, Suspects } from './suspects.ts'
import { TaskFaults } from './task-faults.ts'
import { packTask, readSchemas } from './task-packer.ts'
import { guarded } from './test-switches.ts'
import type { RunAnswer, ThreadTask } from './thread.ts'

let openings = 0
const retryMs = 250
const acknowledgedFirst = guarded('acknowledgement')

/** What is held under one ownership: all of it is read from the store, and forgotten with the ownership. */
interface Task {
  readonly ownership: Ownership
  readonly sender: Sender
  readonly refusals: Refusals
  readonly claimed: ClaimedSlot
  /** Name in its thread; never used again, so that what is late cannot meet its successor. */
  readonly thread: string
  readonly learned: Set<number>
  offset: number
  appendTime: number | undefined
  /** Where the store stands. */
  expected: number | undefined
}

export class ProcessorSlot implements Slot {
  readonly #step: Processor
  readonly #shared: ProcessorShared
  readonly #control: SlotControl
  readonly #origin: string
  readonly #intake: Intake
  readonly #publisher: Publisher
  readonly #snapshots: SlotSnapshots
  #task: Task | undefined
  #working: Promise<void> | undefined
  /** Whether the thread undoes calls into the step that throw: only where one has, since it costs something. */
  #careful = false
  readonly #suspects: Suspects
  readonly #faults: TaskFaults
  readonly #timer: CheckpointTimer
  progress = 0

  constructor(step: Processor, shared: ProcessorShared, control: SlotControl) {
    this.#step = step
    this.#shared = shared
    this.#control = control
    this.#origin = `${step.name}:${control.topic.name}:${control.partition}`
    this.#intake = new Intake(step.name)
    this.#suspects = new Suspects(this.#origin)
    this.#faults = new TaskFaults({ topic: control.topic, registry: shared.registry, intake: this.#intake })
    this.#timer = new CheckpointTimer(shared.context.config, () => this.#work())
    this.#publisher = new Publisher(step, shared, control.topic, control.partition)
    const fatal = (error: unknown): void => this.#task?.ownership.fail(error)
    const lost = (): void => void (this.#task && this.#overtaken(this.#task))
    this.#snapshots = new SlotSnapshots(shared, this.#name, lost, fatal)
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
    return this.#timer.age
  }

  async open(ownership: Ownership): Promise<Resumption> {
    this.#drop()
    const claimed = await this.#snapshots.claim()
    const { fields, positions, offset, appendTime } = claimed
    assertReadable(this.#step, fields)
    const leftOut = new LeftOut(leftOutIn(fields))
    const thread = `${this.#origin}#${++openings}`
    await this.#shared.threads.open({
      op: 'open',
      slot: thread,
      module: this.#step.module,
      step: this.#step.name,
      topic: this.#control.topic.name,
      settings: this.#shared.settings,
      schemaIds: this.#shared.schemaIds,
      stored: fields,
      leftOut: [...leftOut.ids()],
      careful: this.#careful,
    })
    if (ownership.over) void this.#shared.threads.close(thread)
    else {
      const origins = positions.map(([origin]) => origin)
      const acceptedUntil = Number(noteIn(fields, acceptedField) ?? 0)
      this.#task = {
        ownership,
        sender: this.#shared.accumulator.sender((error) => ownership.fail(error)),
        refusals: new Refusals(this.#name, noteIn(fields, refusalsField), origins, acceptedUntil),
        claimed,
        thread,
        learned: new Set(),
        offset: offset ?? 0,
        appendTime,
        expected: offset,
      }
      this.#publisher.generation = storedGeneration(fields)
      this.#snapshots.begin(claimed)
      this.#intake.reset(positions, leftOut)
    }
    return { offset, appendTime }
  }

  opened(offset: number): void {
    if (this.#task !== undefined) this.#task.offset = offset
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
    const task = this.#task
    if (task === undefined || this.#timer.unsaved === 0 || task.ownership.over) return
    await this.#checkpoint(task).catch((error: unknown) => {
      // What is not stored went with the thread, and is done again.
      if (!(error instanceof ThreadDied)) throw error
    })
  }

  get #name() {
    return { step: this.#step.name, topic: this.#control.topic.name, partition: this.#control.partition }
  }

  #drop(): void {
    if (this.#task !== undefined) void this.#shared.threads.close(this.#task.thread)
    this.#task = undefined
    this.#snapshots.end()
    this.#intake.reset([])
    this.#timer.reset()
  }

  #work(): void {
    const task = this.#task
    if (task === undefined) return
    this.#working ??= this.#loop(task).finally(() => {
      this.#working = undefined
      // What came while a task ended belongs to the next.
      if (this.#task !== undefined && (this.#intake.length > 0 || this.#timer.isDue)) this.#work()
    })
  }

  async #loop(task: Task): Promise<void> {
    const { accumulator, context } = this.#shared
    const { producerQueueBytes } = context.config
    try {
      while (!task.ownership.over && task === this.#task) {
        if (this.#timer.isDue) await this.#checkpoint(task)
        // What is published waits in memory while the brokers are away.
        else if (accumulator.queuedBytes > producerQueueBytes) await task.sender.flushed()
        else if (this.#intake.length > 0) await this.#batch(task)
        else return
      }
    } catch (error) {
      if (task.ownership.over || task !== this.#task) return
      // A batch that failed had been accepted whole: nothing of this memory may be stored. Whoever is told of a failure closes this slot.
      if (classify(error) !== 'retryable') return task.ownership.fail(error, { stored: task.expected })
      this.#drop()
      this.#shared.retried(error)
      this.#control.reopen(oneLine(error))
    }
  }

  async #batch(task: Task): Promise<void> {
    const { config, metrics } = this.#shared.context
    const step = this.#step.name
    const topic = this.#control.topic.name
    const messages = this.#suspects.take(this.#intake, config.batchRecords)
    const last = messages.at(-1)
    if (last === undefined) return
    const packed = packTask(messages, this.#intake, this.#faults.poison, task.learned)
    const schemas = await readSchemas(this.#shared.registry, packed.unknown)
    if (this.#isOver(task)) return
    const sent = performance.now()
    const { task: bytes, origins } = packed
    const answer = await this.#run(task, { op: 'run', slot: task.thread, task: bytes, origins, schemas }, messages)
    if (this.#isOver(task)) return
    for (const [id] of schemas) task.learned.add(id)
    metrics.threadRunSeconds.observe({ step }, answer.runMs / 1_000)
    metrics.threadQueueSeconds.observe({ step }, Math.max(0, performance.now() - sent - answer.runMs) / 1_000)
    metrics.batchSize.observe({ step }, messages.length)
    if (packed.dropped > 0) metrics.dropped.inc({ step, topic }, packed.dropped)
    if (answer.crash !== undefined) return this.#crashed(task, messages, answer.crash)
    const known = new Set(schemas.map(([id]) => id))
    const missed = [...packed.unknown.keys()].filter((id) => !known.has(id))
    const faults = await this.#faults.judge(task.refusals, packed, answer, missed)
    if (this.#isOver(task)) return
    metrics.recordsIn.inc({ step, topic }, answer.records)
    metrics.bytesIn.inc({ step, topic }, messages.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)) // prettier-ignore
    this.#publisher.publish(task.sender, { ...answer, faults }, messages)
    task.offset = Number(last.offset) + 1
    task.appendTime = Number(last.timestamp)
    this.#suspects.passed(Number(last.offset))
    this.progress++
    this.#timer.progressed(messages.length)
    this.#control.relieved()
  }

  #isOver(task: Task): boolean {
    return task.ownership.over || task !== this.#task
  }

  /** Has the thread run a batch. @throws ThreadDied, after a record that kills threads has gone to the DLQ */
  async #run(task: Task, request: ThreadTask, messages: readonly KafkaMessage[]): Promise<RunAnswer> {
    try {
      return await this.#shared.threads.run(request)
    } catch (error) {
      if (!(error instanceof ThreadDied) || error.offset === undefined) throw error
      const { offset } = error
      this.#shared.context.metrics.restarts.inc({ step: this.#step.name, reason: 'thread' })
      this.progress++
      if (!this.#suspects.died(offset, error)) throw error
      if (error.required) throw indispensable(this.#origin, offset, error)
      await this.#leaveOut(task, messages, { offset, reason: 'poison', code: 'thread-crash', error: oneLine(error) })
      throw error
    }
  }

  /**
   * The step threw, and the slot's memory may be half changed: what came since the checkpoint is done again carefully. Where
   * that has been so already, the fault lies outside the calls that can be undone, and the record is left out.
   */
  async #crashed(task: Task, messages: readonly KafkaMessage[], crash: Crash): Promise<void> {
    const wasCareful = this.#careful
    if (wasCareful && crash.required) throw indispensable(this.#origin, crash.offset, new Error(crash.error))
    this.#careful = true
    this.#drop()
    if (wasCareful) await this.#leaveOut(task, messages, crash)
    this.#control.reopen(crash.error)
  }

  async #leaveOut({ sender }: Task, messages: readonly KafkaMessage[], fault: Fault): Promise<void> {
    await this.#faults.condemn(fault, messages)
    this.#publisher.bury(sender, [fault], messages)
    await sender.flushed()
  }

  async #checkpoint(task: Task): Promise<void> {
    const started = performance.now()
    this.#timer.reset()
    const { offset, appendTime, expected, claimed, refusals } = task
    const positions = this.#intake.positions.changes()
    const notes = leftOutChanges(this.#intake.leftOut, refusals)
    const changes = await this.#shared.threads.changes(task.thread)
    if (acknowledgedFirst) await task.sender.flushed()
    if (this.#isOver(task)) return
    const checkpoint = {
      token: claimed.token,
      expected,
      offset,
      appendTime,
      positions,
      changes: [...changes, ...notes],
    }
    const saved = await this.#shared.store.checkpoint(this.#name, checkpoint)
    if (this.#isOver(task)) return
    if (!saved) return this.#overtaken(task)
    task.expected = offset
    this.progress++
    this.#faults.stored(offset)
    const seconds = (performance.now() - started) / 1_000
    this.#shared.context.metrics.checkpointSeconds.observe({ step: this.#step.name }, seconds)
    void this.#control.commit(offset)
  }

  /** Somebody else claimed the slot. If we still belong here, the other was only late: read again; else let go. */
  async #overtaken({ ownership, expected }: Task): Promise<void> {
    this.#drop()
    await new Promise((resolve) => setTimeout(resolve, retryMs))
    if (ownership.over) return
    if (await this.#control.commit(expected ?? 0)) this.#control.reopen('another worker had claimed the slot')
    else this.#control.letGo()
  }
}
