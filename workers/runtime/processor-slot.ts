/**
 * One partition of one input topic of a processor: packs what was fetched, has its thread run it, publishes what follows, and
 * checkpoints: outputs acknowledged first, then state, positions and offset together under the fence, then the Kafka offset.
 */
import type { KafkaMessage } from 'kafkajs'
import type { Processor } from './definitions.ts'
import { classify, oneLine } from './errors.ts'
import { markHeaders, markOf, placeHeaders } from './headers.ts'
import { Intake } from './intake.ts'
import type { Resumption, Slot, SlotControl } from './kafka/slot.ts'
import { FrameWriter } from './packing.ts'
import { emissionPosition } from './position.ts'
import type { ProcessorShared } from './processor-host.ts'
import { packMark, packRecord, readOutputs } from './slot-task.ts'
import { schemaIdOf } from './codec.ts'
import type { ClaimedSlot } from './state/redis-store.ts'
import { guarded } from './test-switches.ts'
import type { RunAnswer } from './thread.ts'

let openings = 0
/** Only an explicit reprocessing raises it. */
const generation = 0
const retryMs = 250
const nothing = Buffer.alloc(0)
const acknowledgedFirst = guarded('acknowledgement')

export class ProcessorSlot implements Slot {
  readonly #step: Processor
  readonly #shared: ProcessorShared
  readonly #control: SlotControl
  /** Name of this slot in its thread; never used again, so that what is late cannot meet its successor. */
  #thread = ''
  readonly #origin: string
  readonly #intake: Intake
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
  /** Records that the step cannot process; they are in the DLQ. */
  readonly #poison = new Set<number>()
  progress = 0

  constructor(step: Processor, shared: ProcessorShared, control: SlotControl) {
    this.#step = step
    this.#shared = shared
    this.#control = control
    this.#origin = `${step.name}:${control.topic.name}:${control.partition}`
    this.#intake = new Intake(step.name)
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
    const claimed = await this.#shared.store.claim(this.#name)
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
    })
    if (epoch !== this.#epoch) void this.#shared.threads.close(thread)
    else {
      this.#thread = thread
      this.#claimed = claimed
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
    if (this.#unsaved > 0 && this.#claimed !== undefined) await this.#checkpoint(this.#epoch)
  }

  get #name() {
    return { step: this.#step.name, topic: this.#control.topic.name, partition: this.#control.partition }
  }

  #drop(): number {
    if (this.#claimed !== undefined) void this.#shared.threads.close(this.#thread)
    this.#claimed = undefined
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
    try {
      while (epoch === this.#epoch && this.#claimed !== undefined) {
        if (this.#isDue()) await this.#checkpoint(epoch)
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
    const messages = this.#intake.take(config.batchRecords)
    const last = messages.at(-1)
    if (last === undefined) return
    const { task, origins, ids, dropped } = this.#pack(messages)
    const schemas = await this.#schemas(ids)
    if (epoch !== this.#epoch) return
    const sent = performance.now()
    const answer = await this.#shared.threads.run({ op: 'run', slot: this.#thread, task, origins, schemas })
    if (epoch !== this.#epoch) return
    for (const [id] of schemas) this.#learned.add(id)
    metrics.threadRunSeconds.observe({ step }, answer.runMs / 1_000)
    metrics.threadQueueSeconds.observe({ step }, Math.max(0, performance.now() - sent - answer.runMs) / 1_000)
    metrics.batchSize.observe({ step }, messages.length)
    if (dropped > 0) metrics.dropped.inc({ step, topic }, dropped)
    if (answer.crash !== undefined) return this.#crashed(messages, answer.crash)
    for (const fault of answer.faults) this.#bury(messages, fault)
    metrics.recordsIn.inc({ step, topic }, answer.records)
    metrics.bytesIn.inc(
      { step, topic },
      messages.reduce((sum, { value }) => sum + (value?.length ?? 0), 0),
    )
    this.#publish(answer, messages)
    this.#offset = Number(last.offset) + 1
    this.#appendTime = Number(last.timestamp)
    this.#progressed(messages.length)
    this.#control.relieved()
  }

  #pack(messages: readonly KafkaMessage[]) {
    const frames = new FrameWriter()
    const origins: string[] = []
    const known = new Map<string, number>()
    const ids = new Set<number>()
    let dropped = 0
    const indexOf = (origin: string): number => {
      let index = known.get(origin)
      if (index === undefined) known.set(origin, (index = origins.push(origin) - 1))
      return index
    }
    for (const message of messages) {
      const offset = Number(message.offset)
      const place = this.#intake.accepts(message)
      if (place === undefined || this.#poison.has(offset)) {
        dropped++
        continue
      }
      const mark = markOf(message.headers)
      if (mark !== undefined) {
        packMark(frames, offset, indexOf(mark.origin), mark)
        continue
      }
      const value = message.value ?? nothing
      const id = schemaIdOf(value)
      if (id !== undefined && !this.#learned.has(id)) ids.add(id)
      packRecord(frames, offset, indexOf(place.origin), message.key ?? nothing, value)
    }
    return { task: frames.finish(), origins, ids, dropped }
  }

  async #schemas(ids: ReadonlySet<number>): Promise<[number, string][]> {
    const schemas: [number, string][] = []
    for (const id of ids) {
      const schema = await this.#shared.registry.schema(id)
      if (schema !== undefined) schemas.push([id, schema])
    }
    return schemas
  }

  #publish(answer: RunAnswer, messages: readonly KafkaMessage[]): void {
    const { context, outputs, accumulator } = this.#shared
    let source = 0
    for (const output of readOutputs(answer.outputs)) {
      const target = outputs[output.topic]
      if (target === undefined) throw new Error(`${this.#step.name} emits to a topic that is none of its outputs`)
      const position = emissionPosition(generation, output.offset, output.index)
      if (output.mark === undefined) {
        while (Number(messages[source]?.offset ?? Infinity) < output.offset) source++
        const headers = placeHeaders({ origin: this.#origin, position })
        const trace = messages[source]?.headers?.traceparent
        if (trace !== undefined) headers.traceparent = trace
        accumulator.append(target.name, target.partitioner.of(output.key), {
          key: output.key,
          value: output.value,
          headers,
        })
        continue
      }
      const headers = markHeaders({ ...output.mark, origin: this.#origin }, position)
      for (let partition = 0; partition < target.topic.partitions; partition++)
        accumulator.append(target.name, partition, { key: '', value: null, headers })
    }
    accumulator.push()
    if (answer.newest < 0) return
    const { newest } = answer
    void accumulator.flushed().then(() => {
      context.metrics.latency.observe({ step: this.#step.name }, (context.now() - newest) / 1_000_000)
    })
  }

  #bury(messages: readonly KafkaMessage[], fault: RunAnswer['faults'][number]): void {
    const wanted = String(fault.offset)
    const message = messages.find(({ offset }) => offset === wanted)
    if (message !== undefined)
      this.#shared.deadLetters.add(this.#control.topic, this.#control.partition, message, fault)
  }

  /** The step threw: the record goes to the DLQ, and the slot's memory, which may be half changed, is read again without it. */
  async #crashed(messages: readonly KafkaMessage[], crash: NonNullable<RunAnswer['crash']>): Promise<void> {
    this.#bury(messages, crash)
    this.#poison.add(crash.offset)
    this.#drop()
    await this.#shared.accumulator.flushed()
    this.#control.reopen(crash.error)
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
    this.#shared.context.metrics.checkpointSeconds.observe(
      { step: this.#step.name },
      (performance.now() - started) / 1_000,
    )
    void this.#control.commit(offset)
  }

  /** Somebody else claimed the slot. If we still belong here, the other was only late: read again; else let go. */
  async #overtaken(): Promise<void> {
    const offset = this.#expected
    this.#drop()
    await new Promise((resolve) => setTimeout(resolve, retryMs))
    if (await this.#control.commit(offset ?? 0)) this.#control.reopen('another worker had claimed the slot')
    else this.#control.letGo()
  }
}
