/**
 * What a thread does for one slot: reads a packed task, decodes, runs the engine, packs what follows. The test driver and
 * the threads share it.
 */
import type { Micros, Processor, Topic } from './definitions.ts'
import { Decoder, Encoder } from './codec.ts'
import { PoisonError, oneLine } from './errors.ts'
import { aheadOf, latestTime } from './event-time.ts'
import { longestKey } from './headers.ts'
import type { Crash, Fault } from './faults.ts'
import { FrameReader, FrameWriter } from './packing.ts'
import { Engine, type Change, type Mark, type Outlet } from './state/engine.ts'
import { PassingEngine } from './state/passing-engine.ts'
import type { Input, Sourced, Undo } from './state/cell.ts'
import { storedVersion, versionField } from './state/version.ts'
import { asDecoded } from './test-errors.ts'

export type { Fault } from './faults.ts'

export interface TaskResult {
  /** Packed outputs, read by `readOutputs`. */
  readonly outputs: ArrayBuffer
  readonly records: number
  readonly faults: readonly Fault[]
  /**
   * The step threw, and what it had done was not undone: the slot's memory is not to be trusted. Nothing of the task counts; it
   * is to be run again by a slot that is careful, or where this one is, without the record; a removal or mark cannot be left out.
   */
  readonly crash: Crash | undefined
  /** Newest event time in the task, -1 where it held no record. */
  readonly newest: number
  /** Ids of records that had been left out and were removed: there was nothing to take back. */
  readonly struck: readonly string[]
}

/** An output as it goes to Kafka; `partition` is undefined where the key decides and 'all' for marks. */
export interface Output {
  readonly topic: number
  readonly offset: number
  readonly index: number
  readonly key: string
  readonly value: Buffer | null
  readonly mark: Mark | undefined
}

export interface SlotOptions {
  readonly processor: Processor
  readonly topic: Topic
  readonly settings: unknown
  readonly schemaIds: ReadonlyMap<string, number>
  readonly stored: Iterable<readonly [string, string]>
  /** Ids of the records that were left out. */
  readonly leftOut?: Iterable<string>
  /** Whether a call into the step that throws is undone. */
  readonly careful?: boolean
  /** Told each offset before its record or mark is taken, and whether that cannot be left out. */
  readonly at?: (offset: number, required: boolean) => void
}

const none = -1
const usualMessageBytes = 1024 * 1024
/** Key, headers and the batch around a value. */
const besidesValue = 16 * 1024
const largestValue = (topic: Topic): number => (topic.maxMessageBytes ?? usualMessageBytes) - besidesValue

/**
 * Packs one record of a task.
 * @param appended when its message was first appended
 */
export function packRecord(
  frames: FrameWriter,
  offset: number,
  origin: number,
  appended: Micros,
  key: Uint8Array,
  value: Uint8Array,
): void {
  frames.number(offset)
  frames.number(origin)
  frames.number(appended)
  frames.bytes(key)
  frames.bytes(value)
}

/**
 * Packs one mark of a task.
 * @param appended when its message was first appended
 */
export function packMark(frames: FrameWriter, offset: number, origin: number, appended: Micros, mark: Mark): void {
  frames.number(offset)
  frames.number(origin)
  frames.number(appended)
  frames.bytes(null)
  writeMark(frames, mark)
}

export class SlotTask implements Outlet, Undo {
  readonly #topic: Topic
  readonly #processor: Processor
  readonly #engine: Engine | PassingEngine
  readonly #decoder: Decoder<Sourced>
  readonly #encoder: Encoder
  readonly #topicIndex: ReadonlyMap<string, number>
  readonly #at: ((offset: number, required: boolean) => void) | undefined
  readonly #leftOut: Set<string>
  #recordId: string | undefined
  #frames = new FrameWriter()
  #faults: Fault[] = []
  /** Of the step that has written the slot. */
  #version: number
  #offset = 0
  #index = 0
  #wakeUps = 0
  #refolds = 0
  /** Length of the frames and index when the present call began. */
  #began: readonly [length: number, index: number] = [0, 0]

  constructor({ processor, topic, settings, schemaIds, stored, leftOut = [], careful = false, at }: SlotOptions) {
    this.#topic = topic
    this.#processor = processor
    this.#decoder = new Decoder<Sourced>({ ...topic, key: () => '' })
    this.#encoder = new Encoder(schemaIds)
    this.#topicIndex = new Map(processor.outputs.map((output, index) => [output.name, index]))
    this.#at = at
    this.#leftOut = new Set(leftOut)
    const fields = [...stored]
    this.#version = storedVersion(fields)
    const undo = careful ? this : undefined
    this.#engine =
      processor.removals === 'passed'
        ? new PassingEngine(processor, settings, this, fields, undo)
        : new Engine(processor, settings, this, fields, undo)
  }

  /** Makes schemas of the registry readable. */
  learn(schemas: readonly (readonly [id: number, schema: string])[]): void {
    for (const [id, schema] of schemas) this.#decoder.learn(id, schema)
  }

  /** @param origins the origins that the packed records name by index */
  run(task: ArrayBuffer, origins: readonly string[]): TaskResult {
    this.#frames = new FrameWriter()
    const faults: Fault[] = (this.#faults = [])
    const frames = new FrameReader(task)
    const struck: string[] = []
    let [records, newest] = [0, none]
    while (!frames.done) {
      const offset = frames.number()
      const origin = origins[frames.number()] ?? ''
      const appended = frames.number()
      const latest = latestTime(this.#topic, appended)
      const key = frames.bytes()
      this.#offset = offset
      this.#index = 0
      this.#wakeUps = 0
      this.#recordId = undefined
      this.#refolds = 0
      let required = key === null
      this.#at?.(offset, required)
      try {
        if (key === null) {
          this.#engine.mark(readMark(frames, origin), latest)
          continue
        }
        const value = frames.bytes()
        const record = this.#decode(value, offset, faults)
        if (record === undefined) continue
        required = record.removed === true
        if (required) this.#at?.(offset, required)
        this.#recordId = record.id
        if (this.#leftOut.size > 0 && this.#leftOut.delete(record.id) && record.removed === true) {
          struck.push(record.id)
          continue
        }
        const ahead = aheadOf(this.#topic, record, appended)
        if (ahead !== undefined) {
          faults.push({ offset, reason: 'poison', code: 'ahead', error: ahead, id: record.id })
          this.#leftOut.add(record.id)
          continue
        }
        records++
        if (record.ts > newest) newest = record.ts
        if (this.#engine.record(this.#topic.name, key.toString(), origin, record, latest))
          faults.push({ offset, reason: 'late', code: 'late', error: `${this.#processor.name}: its window was closed` })
      } catch (error) {
        const crash: Crash = {
          offset,
          reason: 'poison',
          code: 'crash',
          error: oneLine(error),
          required,
          ...this.#about(),
        }
        return { outputs: new ArrayBuffer(0), records: 0, faults, crash, newest: none, struck }
      }
    }
    return { outputs: this.#frames.finish(), records, faults, crash: undefined, newest, struck }
  }

  /** @returns what changed since the last call. */
  changes(): Change[] {
    const changes = this.#engine.changes()
    const { version } = this.#processor.state
    if (changes.length === 0 || this.#version === version) return changes
    this.#version = version
    return [...changes, [versionField, String(version)]]
  }

  begin(): void {
    this.#began = [this.#frames.length, this.#index]
  }

  rollBack(): void {
    const [length, index] = this.#began
    this.#frames.truncate(length)
    this.#index = index
  }

  thrown(key: string, wake: Micros | undefined, thrown: unknown): void {
    const [offset, error] = [this.#offset, oneLine(thrown)]
    if (wake === undefined) {
      this.#faults.push({ offset, reason: 'poison', code: 'unprocessable', error, ...this.#about() })
      if (this.#recordId !== undefined) this.#leftOut.add(this.#recordId)
    } else {
      const wakeUp = { key, index: this.#wakeUps++ }
      this.#faults.push({ offset, reason: 'poison', code: 'wake-up', error: `${key} at ${wake}: ${error}`, wakeUp })
    }
  }

  get offset(): number {
    return this.#offset
  }

  refoldThrew(key: string, cause: Input | Micros, thrown: unknown): void {
    if (typeof cause === 'number') return this.thrown(key, cause, thrown)
    const { topic, record, offset } = cause
    const where = offset === undefined ? topic : `${topic} at offset ${offset}`
    const error = `${record.id} of ${key} (${where}), folded again: ${oneLine(thrown)}`
    const refold = { key, id: record.id, index: this.#refolds++ }
    this.#faults.push({ offset: this.#offset, reason: 'poison', code: 'refold', error, refold })
  }

  check(topic: Topic, record: object): void {
    this.#encode(topic, record)
  }

  publish(topic: Topic, record: object): void {
    const frames = this.#frames
    const value = this.#encode(topic, record)
    frames.number(this.#topicIndex.get(topic.name) ?? none)
    frames.number(this.#offset)
    frames.number(this.#index++)
    frames.text(topic.key(record))
    frames.bytes(value)
  }

  mark(mark: Mark): void {
    const frames = this.#frames
    const index = this.#index++
    for (const topic of this.#topicIndex.values()) {
      frames.number(topic)
      frames.number(this.#offset)
      frames.number(index)
      frames.text('')
      frames.bytes(null)
      writeMark(frames, mark)
    }
  }

  #about(): { readonly id?: string } {
    return this.#recordId === undefined ? {} : { id: this.#recordId }
  }

  #encode(topic: Topic, record: object): Buffer {
    const value = this.#encoder.encode(topic, record)
    if (value.length > largestValue(topic))
      throw new PoisonError('unprocessable', `a record of ${value.length} bytes is too large for ${topic.name}`)
    const fault = topic.check?.(record)
    if (fault !== undefined)
      throw new PoisonError('unprocessable', `what it emits to ${topic.name} is invalid: ${fault}`)
    const key = topic.key(record)
    // A character takes three bytes at most, a pair of them four.
    if (3 * key.length > longestKey && Buffer.byteLength(key) > longestKey)
      throw new PoisonError(
        'unprocessable',
        `the key of what it emits to ${topic.name} is longer than ${longestKey} bytes`,
      )
    return value
  }

  #decode(value: Buffer | null, offset: number, faults: Fault[]): Sourced | undefined {
    try {
      if (value === null) throw new PoisonError('undecodable', 'the message has no value and is no mark')
      return asDecoded(this.#processor.name, this.#decoder.decode(value))
    } catch (error) {
      const code = error instanceof PoisonError ? error.code : 'undecodable'
      faults.push({ offset, reason: 'poison', code, error: oneLine(error) })
      return undefined
    }
  }
}

/** Reads the outputs of a task in the order in which they were emitted. */
export function* readOutputs(packed: ArrayBuffer): Generator<Output> {
  const frames = new FrameReader(packed)
  while (!frames.done) {
    const topic = frames.number()
    const offset = frames.number()
    const index = frames.number()
    const key = frames.text()
    const value = frames.bytes()
    const mark = value === null ? readMark(frames, '') : undefined
    yield { topic, offset, index, key, value, mark }
  }
}

function writeMark(frames: FrameWriter, mark: Mark): void {
  frames.number(mark.time)
  frames.number(mark.chainId ?? none)
  frames.number(mark.block ?? none)
  frames.number(mark.finalized ?? none)
  frames.number(mark.removed ? 1 : 0)
}

function readMark(frames: FrameReader, origin: string): Mark {
  const [time, chainId, block, finalized, removed] = Array.from({ length: 5 }, () => frames.number())
  const known = (number = none): number | null => (number === none ? null : number)
  return {
    origin,
    time: time ?? none,
    chainId: known(chainId),
    block: known(block),
    finalized: known(finalized),
    removed: removed === 1,
  }
}
