/** One partition of a sink's topic: decodes what is new and writes it with positions and the next offset in one transaction. */
import type { KafkaMessage } from 'kafkajs'
import { schemaIdOf, type Decoder } from './codec.ts'
import type { DeadLetters, Dead } from './dead-letters.ts'
import type { Context, Sink } from './definitions.ts'
import { classify, oneLine, PoisonError } from './errors.ts'
import { aheadOf, appendTimeOf } from './event-time.ts'
import { markOf } from './headers.ts'
import { Intake } from './intake.ts'
import type { Accumulator, Sender } from './kafka/accumulator.ts'
import type { Resumption, Slot, SlotControl } from './kafka/slot.ts'
import type { Registry } from './kafka/registry.ts'
import { LeftOut } from './left-out.ts'
import { Ownership } from './ownership.ts'
import { Refusals, type Outcome } from './refusals.ts'
import { refusalText } from './database.ts'
import type { Rejected } from './sink-bisection.ts'
import type { SinkNotes, SinkWriter } from './sink-writer.ts'
import { databaseTopic, eventTimeOf } from './step-metrics.ts'
import { noValue } from './task-packer.ts'
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

/** A message that is not written. */
interface Refused {
  readonly message: KafkaMessage
  readonly origin: string
  readonly dead: Dead
}

/** What a batch's messages are. */
interface Decoded {
  readonly records: object[]
  /** The message of each record, and where it came from. */
  readonly sources: { readonly message: KafkaMessage; readonly origin: string; readonly original: number | undefined }[]
  readonly refused: Refused[]
  bytes: number
  written: number
  dropped: number
}

export class SinkSlot implements Slot {
  readonly #sink: Sink
  readonly #shared: SinkShared
  readonly #control: SlotControl
  readonly #intake: Intake
  #task: Task | undefined
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
      this.#drop()
      if (classify(error) !== 'retryable') return task.ownership.fail(error, { stored: task.expected })
      this.#shared.retried(error)
      this.#control.reopen(oneLine(error))
    }
  }

  async #batch(task: Task): Promise<void> {
    const { ownership, expected, acceptedUntil } = task
    const messages = this.#intake.take(rowsPerTransaction)
    const last = messages.at(-1)
    if (last === undefined) return
    await this.#learn(messages)
    if (ownership.over) return
    const decoded = this.#decode(messages)
    if (decoded.refused.some(({ dead }) => dead.code === 'undecodable')) await this.#shared.registry.assertOwnSchemas()
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
      traces: this.#sink.traced === true ? decoded.sources.map(({ message }) => traceparentOf(message.headers)) : [],
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
    const { sources, records } = decoded
    const refused = [...decoded.refused]
    const rejectedAt = new Set(rejected.map(({ index }) => index))
    for (const { index, error } of rejected) {
      const source = sources[index]
      if (source === undefined) continue
      const { message, origin, original } = source
      const dead: Dead = { reason: 'rejected', code: 'refused', error: refusalText(error), id: idOf(records[index]), ...(original === undefined ? {} : { original }) } // prettier-ignore
      refused.push({ message, origin, dead })
    }
    if (refused.length === 0) refusals.allTaken(new Set(sources.map(({ origin }) => origin)), sources.length)
    else {
      refusals.judge(outcomes(decoded, refused, rejectedAt))
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

  async #learn(messages: readonly KafkaMessage[]): Promise<void> {
    const { decoder, registry } = this.#shared
    for (const { value, timestamp } of messages) {
      const id = value === null ? undefined : schemaIdOf(value)
      if (id === undefined || decoder.knows(id)) continue
      const schema = await registry.schema(id, Number(timestamp))
      if (schema !== undefined) decoder.learn(id, schema)
    }
  }

  #decode(messages: readonly KafkaMessage[]): Decoded {
    const decoded: Decoded = { records: [], sources: [], refused: [], bytes: 0, written: 0, dropped: 0 }
    for (const message of messages) {
      decoded.bytes += message.value?.length ?? 0
      const admitted = this.#intake.accepts(message)
      if (admitted === undefined) decoded.dropped++
      else if (admitted instanceof PoisonError) refuse(decoded, message, '', admitted, this.#idIn(message))
      else if (admitted.original !== undefined || markOf(message.headers) === undefined)
        this.#decodeOne(decoded, message, admitted.origin, admitted.original)
    }
    return decoded
  }

  #decodeOne(decoded: Decoded, message: KafkaMessage, origin: string, original: number | undefined): void {
    try {
      if (message.value === null) throw new PoisonError('undecodable', noValue)
      const record = this.#shared.decoder.decode(message.value)
      // What was left out is not there to be taken back.
      if (isRemoval(record) && this.#intake.leftOut.strikeId(record.id)) return
      const { topic } = this.#control
      const ahead = topic.maxAhead === undefined ? undefined : aheadOf(topic, record, appendTimeOf(message))
      if (ahead !== undefined) return refuse(decoded, message, origin, new PoisonError('ahead', ahead), idOf(record), original) // prettier-ignore
      decoded.records.push(record)
      decoded.sources.push({ message, origin, original })
      decoded.written += message.value.length
    } catch (error) {
      refuse(decoded, message, origin, error, undefined, original)
    }
  }

  /** @returns the id of a message's record, as far as it can be read. */
  #idIn({ value }: KafkaMessage): string | undefined {
    try {
      return value === null ? undefined : idOf(this.#shared.decoder.decode(value))
    } catch {
      return undefined
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

function refuse(
  decoded: Decoded,
  message: KafkaMessage,
  origin: string,
  error: unknown,
  id?: string,
  original?: number,
): void {
  // prettier-ignore
  const code = error instanceof PoisonError ? error.code : 'undecodable'
  const about = { ...(id === undefined ? {} : { id }), ...(original === undefined ? {} : { original }) }
  decoded.refused.push({ message, origin, dead: { reason: 'poison', code, error: oneLine(error), ...about } })
}

/** What became of each record, in the order of the log. */
function outcomes({ sources }: Decoded, refused: readonly Refused[], rejectedAt: ReadonlySet<number>): Outcome[] {
  const taken = sources.flatMap(({ message, origin }, index): Outcome[] =>
    rejectedAt.has(index) ? [] : [{ offset: Number(message.offset), origin, refused: undefined }],
  )
  const left = refused.map(({ message, origin, dead }): Outcome => ({ offset: Number(message.offset), origin, refused: dead })) // prettier-ignore
  return [...taken, ...left].toSorted((a, b) => a.offset - b.offset)
}

const idOf = (record: object | undefined): string =>
  record !== undefined && 'id' in record && typeof record.id === 'string' ? record.id : ''

const isRemoval = (record: object): record is { readonly id: string } =>
  'removed' in record && record.removed === true && 'id' in record && typeof record.id === 'string'
