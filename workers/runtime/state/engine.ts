/**
 * One slot of a processor: the state of every key of one partition of one input topic. Takes records and marks in the
 * order of the log, calls the step, and publishes what follows. Knows neither Kafka nor Redis nor clocks, so that the
 * same code runs in a thread, in the test driver and in a replay.
 */
import type { Micros, Processor, Topic } from '../definitions.ts'
import { typeOf } from '../codec.ts'
import { StepCaller, type Cell, type Input, type Sourced } from './cell.ts'
import { Clock, type StoredClock } from './clock.ts'
import { Pending, type Publish, type StoredPending } from './pending.ts'

/** How far an origin's time has come, as connectors and decode-block say it. */
export interface Mark {
  readonly origin: string
  readonly time: Micros
  /** For chains: the block whose records have all gone by, and the newest final one. */
  readonly block: number | null
  readonly finalized: number | null
  /** True: blocks above `block` were removed, time goes back. */
  readonly removed: boolean
}

/** A change of one stored field; null deletes it. */
export type Change = readonly [field: string, text: string | null]

/** What a slot calls back. */
export interface Outlet {
  publish: Publish
  /** Passes a mark on to every partition of the outputs. */
  mark(mark: Mark): void
}

interface Entry {
  cell: Cell
  origin: string
  pending: Pending | undefined
}

interface StoredEntry {
  readonly v: number
  readonly o: string
  readonly c?: Cell
  readonly p?: StoredPending
}

const keyField = 'k:'
const clockField = 'c:'
/** Keys looked at for expiry with every checkpoint. */
const sweep = 1000

export class Engine {
  readonly #processor: Processor
  readonly #caller: StepCaller
  readonly #outlet: Outlet
  readonly #entries = new Map<string, Entry>()
  readonly #clocks = new Map<string, Clock>()
  readonly #dirty = new Set<string>()
  readonly #deleted = new Set<string>()
  readonly #withPending = new Set<string>()
  #sweeper: Iterator<[string, Entry]> | undefined

  /**
   * @param settings what the step's `settings` made of the watch file
   * @param stored the fields that `changes` gave before
   */
  constructor(
    processor: Processor,
    settings: unknown,
    outlet: Outlet,
    stored: Iterable<readonly [string, string]> = [],
  ) {
    this.#processor = processor
    this.#caller = new StepCaller(processor, settings)
    this.#outlet = outlet
    const entries: [string, string][] = []
    for (const [field, text] of stored) {
      if (field.startsWith(clockField)) {
        const clock: StoredClock = JSON.parse(text)
        this.#clocks.set(field.slice(clockField.length), new Clock(clock))
      } else if (field.startsWith(keyField)) entries.push([field.slice(keyField.length), text])
    }
    for (const [key, text] of entries) this.#restore(key, text)
  }

  /** @returns whether the step called the record late. @throws whatever the step throws: the slot must be opened anew. */
  record(topic: string, key: string, origin: string, record: Sourced): boolean {
    const clock = this.#clockOf(origin)
    const finalized = record.finalized ?? null
    if (finalized !== null) clock.finalize(finalized)
    if (record.removed === true) {
      this.#remove(key, record.id, clock)
      return false
    }
    this.#advance(clock, record.ts - 1)
    const entry = this.#entryOf(key, origin)
    this.#dirty.add(key)
    const input: Input = { topic, key, origin, record, horizon: clock.horizon }
    const block = record.block ?? null
    if (entry.pending === undefined && block !== null && (finalized === null || block > finalized)) {
      entry.pending = new Pending(this.#caller, structuredClone(entry.cell))
      this.#withPending.add(key)
    }
    const late = entry.pending?.add(entry.cell, input, clock, this.#publishPlain) ?? this.#direct(entry, input, clock)
    this.#wish(entry, key, clock)
    return late
  }

  /** Time has passed, or gone back where blocks were removed. */
  mark({ origin, time, block, finalized, removed }: Mark): void {
    const clock = this.#clockOf(origin)
    if (removed) {
      clock.setBack(block ?? -1, time)
      for (const key of this.#withPending) {
        const entry = this.#entries.get(key)
        if (entry?.pending === undefined || entry.origin !== origin || entry.pending.firedTo <= time) continue
        entry.cell = entry.pending.refold(key, clock, this.#publishPlain)
        this.#touched(entry, key, clock)
      }
      return
    }
    if (block !== null) clock.add(block, time)
    if (finalized !== null) clock.finalize(finalized)
    this.#advance(clock, time)
  }

  /** @returns the fields that changed since the last call, to be stored with the offset reached. */
  changes(): Change[] {
    this.#finalize()
    this.#expire()
    const changes: Change[] = []
    for (const key of this.#dirty) changes.push([keyField + key, this.#store(key)])
    for (const key of this.#deleted) changes.push([keyField + key, null])
    for (const [origin, clock] of this.#clocks) {
      if (!clock.changed) continue
      clock.changed = false
      changes.push([clockField + origin, JSON.stringify(clock.store())])
    }
    this.#dirty.clear()
    this.#deleted.clear()
    return changes
  }

  #direct(entry: Entry, input: Input, clock: Clock): boolean {
    const { finalized = null, block = null } = input.record
    const publish = this.#publishDirect(block, finalized)
    const late = this.#caller.process(entry.cell, input, publish)
    this.#caller.wake(entry.cell, input.key, clock.horizon, publish)
    return late
  }

  /** Outputs that no removal can take back. */
  #publishDirect(block: number | null, finalized: number | null): Publish {
    if (block === null && finalized === null) return this.#publishPlain
    return (topic, draft) => this.#outlet.publish(topic, { ...draft, block, finalized, removed: false, revision: 0 })
  }

  readonly #publishPlain = (topic: Topic, draft: object): void => this.#outlet.publish(topic, draft)

  #remove(key: string, id: string, clock: Clock): void {
    const entry = this.#entries.get(key)
    const cell = entry?.pending?.remove(id, key, clock, this.#publishPlain)
    if (entry === undefined || cell === undefined) return
    entry.cell = cell
    this.#touched(entry, key, clock)
  }

  #advance(clock: Clock, horizon: Micros): void {
    clock.reach(horizon)
    for (let wish = clock.take(clock.horizon); wish !== undefined; wish = clock.take(clock.horizon)) {
      const entry = this.#entries.get(wish.key)
      if (entry === undefined || entry.cell.wake !== wish.time) continue
      this.#wake(entry, wish.key, clock)
    }
  }

  #wake(entry: Entry, key: string, clock: Clock): void {
    if (entry.pending === undefined && clock.ofChain && (entry.cell.wake ?? 0) > clock.finalizedHorizon) {
      entry.pending = new Pending(this.#caller, structuredClone(entry.cell))
      this.#withPending.add(key)
    }
    if (entry.pending !== undefined) entry.pending.wake(entry.cell, key, clock, this.#publishPlain)
    else this.#caller.wake(entry.cell, key, clock.horizon, this.#publishDirect(null, clock.finalized))
    this.#touched(entry, key, clock)
  }

  #touched(entry: Entry, key: string, clock: Clock): void {
    this.#dirty.add(key)
    this.#wish(entry, key, clock)
  }

  #wish(entry: Entry, key: string, clock: Clock): void {
    if (entry.cell.wake !== null) clock.wish(entry.cell.wake, key)
  }

  #finalize(): void {
    for (const key of this.#withPending) {
      const entry = this.#entries.get(key)
      if (entry?.pending === undefined) continue
      if (entry.pending.finalize(key, this.#clockOf(entry.origin), (origin) => this.#clockOf(origin))) {
        entry.pending = undefined
        this.#withPending.delete(key)
        this.#dirty.add(key)
      }
    }
  }

  #expire(): void {
    this.#sweeper ??= this.#entries.entries()
    for (let looked = 0; looked < sweep; looked++) {
      const next = this.#sweeper.next()
      if (next.done === true) {
        this.#sweeper = undefined
        return
      }
      const [key, entry] = next.value
      if (entry.pending !== undefined || !this.#caller.expired(entry.cell, this.#clockOf(entry.origin).horizon))
        continue
      this.#entries.delete(key)
      this.#dirty.delete(key)
      this.#deleted.add(key)
    }
  }

  #entryOf(key: string, origin: string): Entry {
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { cell: this.#caller.empty(), origin, pending: undefined }
      this.#entries.set(key, entry)
      this.#deleted.delete(key)
    }
    entry.origin = origin
    return entry
  }

  #clockOf(origin: string): Clock {
    let clock = this.#clocks.get(origin)
    if (clock === undefined) {
      clock = new Clock()
      this.#clocks.set(origin, clock)
    }
    return clock
  }

  #store(key: string): string | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    const head = { v: this.#processor.state.version, o: entry.origin }
    const stored: StoredEntry =
      entry.pending === undefined ? { ...head, c: entry.cell } : { ...head, p: entry.pending.store() }
    return JSON.stringify(stored)
  }

  #restore(key: string, text: string): void {
    const stored: StoredEntry = JSON.parse(text)
    const clock = this.#clockOf(stored.o)
    const entry: Entry = { cell: this.#caller.empty(), origin: stored.o, pending: undefined }
    if (stored.p !== undefined) {
      const inputs = stored.p.inputs.map((input) => ({ ...input, record: completed(input) }))
      const base = this.#migrated(stored.p.base, stored.v)
      entry.pending = new Pending(this.#caller, base, { ...stored.p, inputs })
      entry.cell = entry.pending.restore(key, clock)
      this.#withPending.add(key)
    } else if (stored.c !== undefined) entry.cell = this.#migrated(stored.c, stored.v)
    this.#entries.set(key, entry)
    this.#wish(entry, key, clock)
  }

  #migrated(cell: Cell, version: number): Cell {
    const { state } = this.#processor
    if (version === state.version) return cell
    if (state.migrate === undefined)
      throw new Error(`${this.#processor.name} has state of version ${version} and no migration to ${state.version}`)
    return { ...cell, state: state.migrate(cell.state, version) }
  }
}

/** Gives a stored input the fields that its schema has got since, by their defaults. */
function completed(input: Input): Sourced {
  const type = typeOf(input.topic)
  const record: Sourced = type.fromBuffer(type.toBuffer(input.record))
  return record
}
