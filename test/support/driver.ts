/** Pushes encoded records through processors without a broker: the same codec, slots and engine as in the threads. */
import type { Processor, Topic } from '../../workers/runtime/definitions.ts'
import { Decoder, Encoder, schemaText } from '../../workers/runtime/codec.ts'
import { FrameWriter } from '../../workers/runtime/packing.ts'
import { emissionPosition, Positions, sequencePosition, type Placed } from '../../workers/runtime/position.ts'
import { packMark, packRecord, readOutputs, SlotTask, type Fault } from '../../workers/runtime/slot-task.ts'
import type { Mark } from '../../workers/runtime/state/engine.ts'
import { WatchSchema, type Watch } from '../../workers/runtime/watch.ts'
import { topics } from '../../schemas/topics.ts'

interface Message {
  readonly key: string
  readonly value: Buffer | null
  readonly place: Placed | undefined
  readonly mark: Mark | undefined
}

interface DriverOptions {
  readonly steps: readonly Processor[]
  /** As in the watch file, before defaults; or already checked. */
  readonly watch?: unknown
  /** How many messages a task holds. */
  readonly batch?: number
  /** After how many tasks each slot is stored, thrown away and opened again; 0: never. */
  readonly restartEvery?: number
}

export interface Driver {
  /** Appends a record to a topic's log and runs everything that follows. */
  send<T extends object>(topic: Topic<T>, record: T, place?: Partial<Placed>): void
  /** Appends a record without running yet. */
  append<T extends object>(topic: Topic<T>, record: T, place?: Partial<Placed>): void
  /** Appends a connector's time mark for a key. */
  mark(topic: Topic, key: string, origin: string, time: number): void
  /** Runs what is in the logs until nothing follows any more. */
  run(): void
  /** Every record of a topic so far, in order. */
  read<T extends object>(topic: Topic<T>): T[]
  /** What still stands of a topic: records that were not removed again, by id the last. */
  standing<T extends object & { id: string; removed?: boolean }>(topic: Topic<T>): T[]
  /** The bytes of every message of a topic with its headers' text, to compare runs. */
  bytes(topic: Topic): string[]
  readonly faults: (Fault & { step: string })[]
}

/** @returns a driver over one partition a topic. */
export function createDriver(options: DriverOptions): Driver {
  return new MemoryDriver(options)
}

class Slot {
  readonly #step: Processor
  readonly #topic: Topic
  readonly #driver: MemoryDriver
  readonly #options: DriverOptions
  #stored = new Map<string, string>()
  #positions = new Positions()
  #task: SlotTask
  #offset = 0
  #tasks = 0

  constructor(step: Processor, topic: Topic, driver: MemoryDriver, options: DriverOptions) {
    this.#step = step
    this.#topic = topic
    this.#driver = driver
    this.#options = options
    this.#task = this.#open()
  }

  /** @returns whether there was anything to do. */
  run(): boolean {
    const log = this.#driver.logs.get(this.#topic.name) ?? []
    if (this.#offset >= log.length) return false
    const end = Math.min(log.length, this.#offset + (this.#options.batch ?? 2000))
    const frames = new FrameWriter()
    const origins: string[] = []
    for (; this.#offset < end; this.#offset++) this.#pack(log[this.#offset], frames, origins)
    const result = this.#task.run(frames.finish(), origins)
    if (result.crash !== undefined) throw new Error(`${this.#step.name}: ${result.crash.error}`)
    this.#driver.faults.push(...result.faults.map((fault) => ({ ...fault, step: this.#step.name })))
    for (const output of readOutputs(result.outputs)) {
      const topic = this.#step.outputs[output.topic]
      if (topic === undefined) throw new Error(`${this.#step.name} emits to a topic that is none of its outputs`)
      const origin = `${this.#step.name}:${this.#topic.name}:0`
      const position = emissionPosition(0, output.offset, output.index)
      const mark = output.mark === undefined ? undefined : { ...output.mark, origin }
      const value = output.value === null ? null : Buffer.from(output.value)
      this.#driver.push(topic, { key: output.key, value, place: { origin, position }, mark })
    }
    this.#tasks++
    if ((this.#options.restartEvery ?? 0) > 0 && this.#tasks % (this.#options.restartEvery ?? 1) === 0) this.#restart()
    return true
  }

  #pack(message: Message | undefined, frames: FrameWriter, origins: string[]): void {
    if (message === undefined) return
    if (message.place !== undefined && !this.#positions.accept(message.place)) return
    const origin = message.mark?.origin ?? message.place?.origin ?? ''
    const index = origins.includes(origin) ? origins.indexOf(origin) : origins.push(origin) - 1
    if (message.mark !== undefined) packMark(frames, this.#offset, index, message.mark)
    else if (message.value !== null) packRecord(frames, this.#offset, index, Buffer.from(message.key), message.value)
  }

  #restart(): void {
    for (const [field, text] of this.#task.changes()) {
      if (text === null) this.#stored.delete(field)
      else this.#stored.set(field, text)
    }
    this.#task = this.#open()
  }

  #open(): SlotTask {
    const settings = this.#step.settings?.(this.#driver.watch)
    const stored = [...this.#stored]
    const task = new SlotTask({
      processor: this.#step,
      topic: this.#topic,
      settings,
      schemaIds: this.#driver.ids,
      stored,
    })
    task.learn([[this.#driver.ids.get(this.#topic.name) ?? 0, schemaText(this.#topic.name)]])
    return task
  }
}

class MemoryDriver implements Driver {
  readonly watch: Watch
  readonly logs = new Map<string, Message[]>()
  readonly ids = new Map<string, number>(Object.values(topics).map((topic, index) => [topic.name, index + 1]))
  readonly faults: (Fault & { step: string })[] = []
  readonly #encoder = new Encoder(this.ids)
  readonly #slots: Slot[]
  #sequence = 0

  constructor(options: DriverOptions) {
    this.watch = isWatch(options.watch) ? options.watch : WatchSchema.parse(options.watch ?? {})
    this.#slots = options.steps.flatMap((step) => step.inputs.map((topic) => new Slot(step, topic, this, options)))
  }

  push(topic: Topic, message: Message): void {
    const log = this.logs.get(topic.name)
    if (log === undefined) this.logs.set(topic.name, [message])
    else log.push(message)
  }

  send<T extends object>(topic: Topic<T>, record: T, place?: Partial<Placed>): void {
    this.append(topic, record, place)
    this.run()
  }

  append<T extends object>(topic: Topic<T>, record: T, place: Partial<Placed> = {}): void {
    const key = topic.key(record)
    const position = place.position ?? sequencePosition(++this.#sequence)
    const full: Placed = { ...place, origin: place.origin ?? key, position }
    const value = Buffer.from(this.#encoder.encode(topic, record))
    this.push(topic, { key, value, place: full, mark: undefined })
  }

  mark(topic: Topic, key: string, origin: string, time: number): void {
    const mark: Mark = { origin, time, block: null, finalized: null, removed: false }
    this.push(topic, { key, value: null, place: undefined, mark })
    this.run()
  }

  run(): void {
    while (this.#slots.map((slot) => slot.run()).some(Boolean));
  }

  read<T extends object>(topic: Topic<T>): T[] {
    const decoder = new Decoder(topic)
    decoder.learn(this.ids.get(topic.name) ?? 0, schemaText(topic.name))
    return (this.logs.get(topic.name) ?? []).flatMap(({ value }) => (value === null ? [] : [decoder.decode(value)]))
  }

  standing<T extends object & { id: string; removed?: boolean }>(topic: Topic<T>): T[] {
    const standing = new Map<string, T>()
    for (const record of this.read(topic)) {
      if (record.removed === true) standing.delete(record.id)
      else standing.set(record.id, record)
    }
    return [...standing.values()]
  }

  bytes(topic: Topic): string[] {
    return (this.logs.get(topic.name) ?? []).map(
      ({ key, value, place, mark }) =>
        `${key} ${JSON.stringify(place)} ${JSON.stringify(mark)} ${value?.toString('hex') ?? ''}`,
    )
  }
}

const isWatch = (value: unknown): value is Watch =>
  typeof value === 'object' && value !== null && 'detection' in value && 'venues' in value && 'channels' in value
