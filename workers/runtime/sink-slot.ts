/** One partition of a sink's topic: decodes what is new and writes it with positions and the next offset in one transaction. */
import type { KafkaMessage } from 'kafkajs'
import { schemaIdOf, type Decoder } from './codec.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Context, Sink } from './definitions.ts'
import { classify, oneLine, PoisonError } from './errors.ts'
import { markOf } from './headers.ts'
import { Intake } from './intake.ts'
import type { Accumulator } from './kafka/accumulator.ts'
import type { Resumption, Slot, SlotControl } from './kafka/slot.ts'
import type { Registry } from './kafka/registry.ts'
import type { SinkWriter } from './sink-writer.ts'
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

export class SinkSlot implements Slot {
  readonly #sink: Sink
  readonly #shared: SinkShared
  readonly #control: SlotControl
  readonly #intake: Intake
  #epoch = 0
  #open = false
  #expected: number | undefined
  #working: Promise<void> | undefined
  progress = 0

  constructor(sink: Sink, shared: SinkShared, control: SlotControl) {
    this.#sink = sink
    this.#shared = shared
    this.#control = control
    this.#intake = new Intake(sink.name)
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

  async open(): Promise<Resumption> {
    const epoch = this.#drop()
    const stored = await this.#shared.writer.open(this.#name)
    if (epoch === this.#epoch) {
      this.#expected = stored.nextOffset
      this.#intake.reset(stored.positions)
      this.#open = true
    }
    const { nextOffset: offset, appendTime } = stored
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

  #drop(): number {
    this.#open = false
    this.#intake.reset([])
    return ++this.#epoch
  }

  #work(): void {
    this.#working ??= this.#loop(this.#epoch).finally(() => {
      this.#working = undefined
      if (this.#open && this.#intake.length > 0) this.#work()
    })
  }

  async #loop(epoch: number): Promise<void> {
    try {
      while (epoch === this.#epoch && this.#open && this.#intake.length > 0) await this.#batch(epoch)
    } catch (error) {
      if (epoch !== this.#epoch) return
      if (classify(error) !== 'retryable') return this.#control.fatal(error)
      this.#drop()
      this.#shared.retried(error)
      this.#control.reopen(oneLine(error))
    }
  }

  async #batch(epoch: number): Promise<void> {
    const { context, writer, accumulator } = this.#shared
    const { metrics } = context
    const [step, topic] = [this.#sink.name, this.#control.topic.name]
    const messages = this.#intake.take(rowsPerTransaction)
    const last = messages.at(-1)
    if (last === undefined) return
    await this.#learn(messages)
    if (epoch !== this.#epoch) return
    const { records, sources, bytes, written: bytesOut, dropped } = this.#decode(messages)
    await accumulator.flushed()
    if (epoch !== this.#epoch) return
    const started = performance.now()
    const nextOffset = Number(last.offset) + 1
    const written = await writer.write({
      slot: this.#name,
      sink: this.#sink,
      expectedOffset: this.#expected,
      nextOffset,
      appendTime: Number(last.timestamp) * 1_000,
      positions: this.#intake.positions.changes(),
      records,
      traces: this.#sink.traced === true ? sources.map(({ headers }) => traceparentOf(headers)) : [],
      onRejected: async (rejected) => {
        for (const { index, error } of rejected) {
          const message = sources[index]
          if (message === undefined) continue
          const dead = { reason: 'rejected', code: 'refused', error: oneLine(error) } as const
          this.#shared.deadLetters.add(this.#control.topic, this.#control.partition, message, dead)
        }
        await accumulator.flushed()
      },
    })
    if (epoch !== this.#epoch) return
    if (written === 'lost') return this.#overtaken()
    this.#expected = nextOffset
    this.progress++
    metrics.commitSeconds.observe({ step }, (performance.now() - started) / 1_000)
    metrics.batchSize.observe({ step }, records.length)
    metrics.recordsIn.inc({ step, topic }, records.length)
    metrics.bytesIn.inc({ step, topic }, bytes)
    metrics.recordsOut.inc({ step, topic: databaseTopic }, records.length)
    metrics.bytesOut.inc({ step, topic: databaseTopic }, bytesOut)
    if (dropped > 0) metrics.dropped.inc({ step, topic }, dropped)
    const now = context.now()
    const stride = Math.ceil(records.length / latenciesPerTransaction)
    for (let at = 0; at < records.length; at += stride) {
      const time = eventTimeOf(records[at] ?? {})
      if (time !== undefined) metrics.latency.observe({ step }, (now - time) / 1_000_000)
    }
    void this.#control.commit(nextOffset)
    this.#control.relieved()
  }

  async #learn(messages: readonly KafkaMessage[]): Promise<void> {
    const { decoder, registry } = this.#shared
    for (const { value, timestamp } of messages) {
      const id = value === null ? undefined : schemaIdOf(value)
      if (id === undefined || decoder.knows(id)) continue
      const schema = await registry.schema(id, Number(timestamp))
      if (schema !== undefined) decoder.learn(id, schema)
    }
  }

  #decode(messages: readonly KafkaMessage[]) {
    const records: object[] = []
    const sources: KafkaMessage[] = []
    let [bytes, written, dropped] = [0, 0, 0]
    for (const message of messages) {
      bytes += message.value?.length ?? 0
      if (!this.#intake.accepts(message)) {
        dropped++
        continue
      }
      if (markOf(message.headers) !== undefined) continue
      try {
        if (message.value === null) throw new PoisonError('undecodable', 'the message has no value and is no mark')
        records.push(this.#shared.decoder.decode(message.value))
        sources.push(message)
        written += message.value.length
      } catch (error) {
        const dead = { reason: 'poison', code: 'undecodable', error: oneLine(error) } as const
        this.#shared.deadLetters.add(this.#control.topic, this.#control.partition, message, dead)
      }
    }
    return { records, sources, bytes, written, dropped }
  }

  /** Another worker has written: if we still belong here, it was only late: read again; else let go. */
  async #overtaken(): Promise<void> {
    const offset = this.#expected ?? 0
    const epoch = this.#drop()
    await new Promise((resolve) => setTimeout(resolve, retryMs))
    if (epoch !== this.#epoch) return
    if (await this.#control.commit(offset)) this.#control.reopen('another worker has written')
    else this.#control.letGo()
  }
}
