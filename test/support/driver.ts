/** Pushes encoded records through processors without a broker: the same codec, slots and engine as in the threads. */
import type { Micros, Processor, Topic } from '../../workers/runtime/definitions.ts'
import { Decoder, schemaText, typeOf } from '../../workers/runtime/codec.ts'
import { Positions, sequencePosition, type Placed } from '../../workers/runtime/position.ts'
import type { Fault } from '../../workers/runtime/slot-task.ts'
import type { Mark } from '../../workers/runtime/state/engine.ts'
import { WatchSchema, type Watch } from '../../workers/runtime/watch.ts'
import { topics } from '../../schemas/topics.ts'
import { DriverSlot, type Cut, type Message, type SlotHost } from './driver-slot.ts'

interface DriverOptions {
  readonly steps: readonly Processor[]
  /** As in the watch file, before defaults; or already checked. */
  readonly watch?: unknown
  /** How many messages a task holds. */
  readonly batch?: number
  /** After how many tasks each slot is stored, thrown away and opened again; 0: never. */
  readonly restartEvery?: number
  /** What happens to a slot after a task, where `restartEvery` is not given; a crash must not follow every task. */
  readonly cut?: () => Cut | undefined
  /** Partitions of every topic; 1 where it is not given. */
  readonly partitions?: number
}

/** Where a record stands in its writer's sequence, and when it is appended: where that is not said, when it was received, else its time. */
export type Placing = Partial<Placed> & { readonly appendTime?: Micros }

export interface Driver {
  /** Appends a record to a topic's log and runs everything that follows. */
  send<T extends object>(topic: Topic<T>, record: T, place?: Placing): void
  /** Appends a record without running yet. */
  append<T extends object>(topic: Topic<T>, record: T, place?: Placing): void
  /**
   * Appends a time mark for a key, as connectors do; an empty key: of chain 1 for every partition, as decode-block does.
   * @param appendTime where it is not the mark's time
   */
  mark(topic: Topic, key: string, origin: string, time: Micros, appendTime?: Micros): void
  /** Appends what another driver's log of a topic holds, as it stands there. */
  copy(topic: Topic, from: Driver): void
  /** Runs what is in the logs until nothing follows any more. */
  run(): void
  /** Stores every slot, and opens it again. */
  cut(cut: Cut): void
  /** Stores every slot, and opens it again under another watch file, where one is given; before defaults, or already checked. */
  restart(options?: { readonly watch?: unknown }): void
  /** Every record of a topic so far, in order, as a reader sees them: what was written again is dropped. */
  read<T extends object>(topic: Topic<T>): T[]
  /** What still stands of a topic: records that were not removed again, by id the last. */
  standing<T extends object & { id: string; removed?: boolean }>(topic: Topic<T>): T[]
  /** Every message of a topic as a reader sees it, with its headers, to compare runs. */
  bytes(topic: Topic): string[]
  /** What a reader of a partition of a topic is given. */
  messages(topic: Topic, partition: number): readonly Message[]
  /** What every slot of a step stores, slot and field → text. */
  state(step: Processor): Map<string, string>
  readonly faults: (Fault & { step: string })[]
}

/** @returns a driver over logs in memory. */
export function createDriver(options: DriverOptions): Driver {
  return new MemoryDriver(options)
}

class MemoryDriver implements Driver, SlotHost {
  watch: Watch
  readonly ids = schemaIds
  readonly faults: (Fault & { step: string })[] = []
  readonly #logs = new Map<string, Message[][]>()
  readonly #partitions: number
  readonly #slots: DriverSlot[]
  #sequence = 0

  constructor({ steps, watch, batch = 2000, restartEvery = 0, cut, partitions = 1 }: DriverOptions) {
    this.watch = watchOf(watch)
    this.#partitions = partitions
    const every = (tasks: number): Cut | undefined => (tasks % restartEvery === 0 ? 'restart' : undefined)
    const plan = { batch, after: restartEvery > 0 ? every : () => cut?.() }
    this.#slots = steps.flatMap((step) =>
      step.inputs.flatMap((topic) =>
        Array.from({ length: partitions }, (_, partition) => new DriverSlot(step, topic, partition, this, plan)),
      ),
    )
  }

  settings(step: Processor): unknown {
    return step.settings?.(this.watch)
  }

  log(topic: Topic, partition: number): Message[] {
    let logs = this.#logs.get(topic.name)
    if (logs === undefined) {
      logs = Array.from({ length: this.#partitions }, () => [])
      this.#logs.set(topic.name, logs)
    }
    return logs[partition] ?? []
  }

  push(topic: Topic, message: Message): void {
    const isForAll = message.mark !== undefined && message.key === ''
    const partitions = isForAll ? Array.from({ length: this.#partitions }).keys() : [this.#partitionOf(message.key)]
    for (const partition of partitions) this.log(topic, partition).push(message)
  }

  fault(fault: Fault & { step: string }): void {
    this.faults.push(fault)
  }

  send<T extends object>(topic: Topic<T>, record: T, place?: Placing): void {
    this.append(topic, record, place)
    this.run()
  }

  append<T extends object>(topic: Topic<T>, record: T, { appendTime, ...place }: Placing = {}): void {
    const key = topic.key(record)
    const position = place.position ?? sequencePosition(++this.#sequence)
    const full: Placed = { ...place, origin: place.origin ?? key, position }
    const value = written(topic, record)
    this.push(topic, { key, value, place: full, mark: undefined, appended: appendTime ?? appendTimeOf(record) })
  }

  mark(topic: Topic, key: string, origin: string, time: Micros, appendTime = time): void {
    const chainId = key === '' ? 1 : null
    const mark: Mark = { origin, time, chainId, block: null, finalized: null, removed: false }
    this.push(topic, { key, value: null, place: undefined, mark, appended: appendTime })
    this.run()
  }

  copy(topic: Topic, from: Driver): void {
    for (let partition = 0; partition < this.#partitions; partition++)
      this.log(topic, partition).push(...from.messages(topic, partition))
  }

  run(): void {
    while (this.#slots.map((slot) => slot.run()).some(Boolean));
  }

  cut(cut: Cut): void {
    for (const slot of this.#slots) slot.cut(cut)
  }

  restart({ watch = this.watch }: { readonly watch?: unknown } = {}): void {
    this.watch = watchOf(watch)
    this.cut('restart')
  }

  read<T extends object>(topic: Topic<T>): T[] {
    const decoder = new Decoder(topic)
    decoder.learn(this.ids.get(topic.name) ?? 0, schemaText(topic.name))
    return this.#all(topic).flatMap(({ value }) => (value === null ? [] : [decoder.decode(value)]))
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
    return this.#all(topic).map(textOf)
  }

  messages(topic: Topic, partition: number): readonly Message[] {
    const positions = new Positions()
    return this.log(topic, partition).filter(({ place }) => place === undefined || positions.accept(place))
  }

  state(step: Processor): Map<string, string> {
    const slots = this.#slots.filter((slot) => slot.step === step)
    return new Map(
      slots.flatMap((slot) => [...slot.fields()].map(([field, text]) => [`${slot.name} ${field}`, text] as const)),
    )
  }

  #all(topic: Topic): Message[] {
    return Array.from({ length: this.#partitions }, (_, partition) => this.messages(topic, partition)).flat()
  }

  #partitionOf(key: string): number {
    let sum = 0
    for (const letter of key) sum += letter.codePointAt(0) ?? 0
    return sum % this.#partitions
  }
}

/** A schema id for every topic, as a registry would give it. */
export const schemaIds: ReadonlyMap<string, number> = new Map(
  Object.values(topics).map((topic, index) => [topic.name, index + 1]),
)

/** A record as a foreign producer writes it, who is not kept from anything that fits the schema. */
function written(topic: Topic, record: object): Buffer {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(schemaIds.get(topic.name) ?? 0, 1)
  return Buffer.concat([prefix, typeOf(topic.name).toBuffer(record)])
}

/** A message as text: key, headers, value. */
export const textOf = ({ key, value, place, mark }: Message): string =>
  `${key} ${JSON.stringify(place)} ${JSON.stringify(mark)} ${value?.toString('hex') ?? ''}`

function appendTimeOf(record: object): Micros {
  const [received, ts] = ['receivedAt', 'ts'].map((field) => Number(Reflect.get(record, field) ?? 0))
  return received || ts || 0
}

const watchOf = (watch: unknown): Watch => (isWatch(watch) ? watch : WatchSchema.parse(watch ?? {}))

const isWatch = (value: unknown): value is Watch =>
  typeof value === 'object' && value !== null && 'detection' in value && 'venues' in value && 'channels' in value
