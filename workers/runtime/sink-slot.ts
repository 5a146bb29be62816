/** One partition of a sink's topic: decodes what is new and writes it with positions and the next offset in one transaction. */
import type { KafkaMessage } from 'kafkajs'
import type { Decoder } from './codec.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Context, Sink } from './definitions.ts'
import { classify, oneLine } from './errors.ts'
import { Intake } from './intake.ts'
import type { Accumulator, Sender } from './kafka/accumulator.ts'
import type { Registry } from './kafka/registry.ts'
import type { Resumption, Slot, SlotControl } from './kafka/slot.ts'
import { LeftOut } from './left-out.ts'
import type { Ownership } from './ownership.ts'
import { Refusals } from './refusals.ts'
import type { Rejected } from './sink-bisection.ts'
import { outcomesOf, refusedBy, SinkDecoder, type Decoded } from './sink-decoding.ts'
import type { SinkNotes, SinkWriter } from './sink-writer.ts'
import { databaseTopic, eventTimeOf } from './step-metrics.ts'
import { traceparentOf } from './trace.ts'

/** Small transactions cost as much as large ones; COPY is at its best from some thousands of rows on. */
const rowsPerTransaction = 5_000
/** The latencies of a large transaction are sampled evenly: to observe each costs a tenth of the sink's time. */
const latenciesPerTransaction = 100
const retryMs = 250

/** What the slots of one sink share. */
export interface SinkShared {
  readonly context: Context
  readonly writer: SinkWriter
  readonly registry: Registry
  readonly accumulator: Accumulator
  readonly deadLetters: DeadLetters
  readonly decoder: Decoder<object>
  retried(error: unknown): void
}

/** What is held under one ownership: all of it is read from the store, and forgotten with the ownership. */
interface Task {
  readonly ownership: Ownership
  readonly sender: Sender
  readonly refusals: Refusals
  readonly acceptedUntil: number
  /** Where the store stands. */
  expected: number | undefined
}

export class SinkSlot implements Slot {
  readonly #sink: Sink
  readonly #shared: SinkShared
  readonly #control: SlotControl
  readonly #intake: Intake
  readonly #decoder: SinkDecoder
  #task: Task | undefined
  #working: Promise<void> | undefined
  progress = 0

  constructor(sink: Sink, shared: SinkShared, control: SlotControl) {
    this.#sink = sink
    this.#shared = shared
    this.#control = control
    this.#intake = new Intake(sink.name)
    const { decoder, registry } = shared
    this.#decoder = new SinkDecoder({ step: sink.name, topic: control.topic, decoder, registry, intake: this.#intake })
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

  async open(ownership: Ownership): Promise<Resumption> {
    this.#drop()
    const stored = await this.#shared.writer.open(this.#name)
    const { nextOffset: offset, appendTime, positions, refusals, acceptedUntil } = stored
    if (!ownership.over) {
      this.#intake.reset(positions, new LeftOut(stored.leftOut))
      const origins = positions.map(([origin]) => origin)
      this.#task = {
        ownership,
        sender: this.#shared.accumulator.sender((error) => ownership.fail(error)),
        refusals: new Refusals(this.#name, refusals, origins, acceptedUntil),
        acceptedUntil,
        expected: offset,
      }
    }
    return { offset, appendTime: appendTime === undefined ? undefined : Math.floor(appendTime / 1_000) }
  }

  opened(): void {}

  take(messages: readonly KafkaMessage[]): void {
    this.#intake.add(messages)
    this.#work()
  }

  close(): void {
    this.#drop()
  }

  /** Ends the transaction in flight; what is still queued is left to whoever comes next. */
  async drain(): Promise<void> {
    this.#intake.take(Infinity)
    await this.#working
  }

  get #name() {
    return { step: this.#sink.name, topic: this.#control.topic.name, partition: this.#control.partition }
  }

  #drop(): void {
    this.#task = undefined
    this.#intake.reset([])
  }

  #work(): void {
    const task = this.#task
    if (task === undefined) return
    this.#working ??= this.#loop(task).finally(() => {
      this.#working = undefined
      if (this.#intake.length > 0) this.#work()
    })
  }

  async #loop(task: Task): Promise<void> {
    try {
      while (!task.ownership.over && this.#intake.length > 0) await this.#batch(task)
    } catch (error) {
      if (task.ownership.over) return
      if (classify(error) !== 'retryable') return task.ownership.fail(error, { stored: task.expected })
      this.#drop()
      this.#shared.retried(error)
      this.#control.reopen(oneLine(error))
    }
  }

  async #batch(task: Task): Promise<void> {
    const { ownership, expected, acceptedUntil } = task
    const messages = this.#intake.batch(rowsPerTransaction)
    const last = messages.at(-1)
    if (last === undefined) return
    const decoded = await this.#decoder.decode(messages, () => ownership.over)
    if (decoded === undefined) return
    if (decoded.refused.some(({ dead }) => dead.code === 'undecodable'))
      await this.#shared.registry.assertOwnSchemas(decoded.missed)
    if (ownership.over) return
    const started = performance.now()
    const nextOffset = Number(last.offset) + 1
    let rejected: readonly Rejected[] = []
    const written = await this.#shared.writer.write({
      slot: this.#name,
      sink: this.#sink,
      expectedOffset: expected,
      nextOffset,
      appendTime: Number(last.timestamp) * 1_000,
      positions: this.#intake.positions.changes(),
      records: decoded.records,
      traces: this.#sink.traced === true ? decoded.sources.map(({ headers }) => traceparentOf(headers)) : [],
      accepted: nextOffset <= acceptedUntil,
      onRejected: async (refused) => void (rejected = refused),
      notes: () => this.#settle(task, decoded, rejected),
      over: () => ownership.over,
    })
    if (ownership.over) return
    if (written === 'lost') return this.#overtaken(task)
    task.expected = nextOffset
    this.progress++
    this.#observe(decoded, started)
    void this.#control.commit(nextOffset)
    this.#control.relieved()
  }

  /** What is not written goes to the DLQ before the commit, unless the fault is not the records'. */
  async #settle({ sender, refusals }: Task, decoded: Decoded, rejected: readonly Rejected[]): Promise<SinkNotes> {
    const { leftOut } = this.#intake
    const refused = [...decoded.refused, ...refusedBy(decoded, rejected)]
    if (refused.length === 0) refusals.allTaken(new Set(decoded.origins), decoded.records.length)
    else {
      refusals.judge(outcomesOf(decoded, refused, rejected))
      const { topic, partition } = this.#control
      for (const { message, dead } of refused) {
        this.#shared.deadLetters.add(sender, topic, partition, message, dead)
        leftOut.add(dead.original ?? Number(message.offset), dead.id ?? '')
      }
      await sender.flushed()
    }
    return { leftOut: leftOut.changes(), refusals: refusals.changes() }
  }

  #observe({ records, bytes, written, dropped }: Decoded, started: number): void {
    const { context } = this.#shared
    const { metrics } = context
    const [step, topic] = [this.#sink.name, this.#control.topic.name]
    metrics.commitSeconds.observe({ step }, (performance.now() - started) / 1_000)
    metrics.batchSize.observe({ step }, records.length)
    metrics.recordsIn.inc({ step, topic }, records.length)
    metrics.bytesIn.inc({ step, topic }, bytes)
    metrics.recordsOut.inc({ step, topic: databaseTopic }, records.length)
    metrics.bytesOut.inc({ step, topic: databaseTopic }, written)
    if (dropped > 0) metrics.dropped.inc({ step, topic }, dropped)
    const done = context.now()
    const stride = Math.ceil(records.length / latenciesPerTransaction)
    for (let at = 0; at < records.length; at += stride) {
      const time = eventTimeOf(records[at] ?? {})
      if (time !== undefined) metrics.latency.observe({ step }, (done - time) / 1_000_000)
    }
  }

  /** Another worker has written: if we still belong here, it was only late: read again; else let go. */
  async #overtaken({ ownership, expected }: Task): Promise<void> {
    this.#drop()
    await new Promise((resolve) => setTimeout(resolve, retryMs))
    if (ownership.over) return
    if (await this.#control.commit(expected ?? 0)) this.#control.reopen('another worker has written')
    else this.#control.letGo()
  }
}
