/**
 * One slot of a processor: the state of every key of one partition of one input topic. Takes records and marks in the
 * order of the log, calls the step, and publishes what follows. Knows neither Kafka nor Redis nor clocks, so that the
 * same code runs in a thread, in the test driver and in a replay.
 */
import type { Micros, Processor, Topic } from '../definitions.ts'
import { redriven } from '../position.ts'
import { StepCaller, Thrown, type Cell, type Input, type Sourced, type Undo } from './cell.ts'
import type { Clock, OriginClock } from './clock.ts'
import { clockName, Clocks } from './clocks.ts'
import { Expiry } from './expiry.ts'
import type { PendingHost } from './fold.ts'
import { KeyTimers } from './key-timers.ts'
import type { Change, Mark, Outlet, Publish } from './outlet.ts'
import { Pending } from './pending.ts'
import { SettingsVersions } from './settings-versions.ts'
import { joined, SharedClock } from './shared-clock.ts'
import { inputField, keyField, readKeys, type StoredEntry, type StoredKey } from './stored-keys.ts'
import { migrated } from './version.ts'

export type { Change, Mark, Outlet } from './outlet.ts'
export { inputOf, isInput, type StoredEntry } from './stored-keys.ts'

interface Entry {
  cell: Cell
  /** Says how far the key's time has come. */
  clock: Clock
  pending: Pending | undefined
}

const clockField = 'c:'

export class Engine {
  readonly #processor: Processor
  readonly #caller: StepCaller
  readonly #versions: SettingsVersions
  readonly #host: PendingHost
  readonly #outlet: Outlet
  readonly #undo: Undo | undefined
  readonly #entries = new Map<string, Entry>()
  readonly #clocks: Clocks
  readonly #timers = new KeyTimers(this.#entries, (entry: Entry, key) => this.#wake(entry, key))
  readonly #dirty = new Set<string>()
  /** Fields to delete with the next checkpoint, unless it writes them anew. */
  readonly #deleted = new Set<string>()
  readonly #withPending = new Set<string>()
  /** Keys whose pending inputs the step now processes otherwise than before the restart. */
  readonly #diverged = new Set<string>()
  readonly #expiry = new Expiry(this.#entries)

  /**
   * @param settings what the step's `settings` made of the watch file
   * @param stored the fields that `changes` gave before
   * @param undo where calls into the step that throw are to be undone
   */
  constructor(
    processor: Processor,
    settings: unknown,
    outlet: Outlet,
    stored: Iterable<readonly [string, string]> = [],
    undo?: Undo,
  ) {
    const fields = [...stored]
    this.#processor = processor
    this.#versions = new SettingsVersions(settings, processor.state.version, fields)
    this.#caller = new StepCaller(processor, this.#versions.present, undo)
    this.#outlet = outlet
    this.#undo = undo
    const outputs = new Map(processor.outputs.map((topic) => [topic.name, topic]))
    this.#host = { caller: this.#caller, versions: this.#versions, outputs, outlet }
    const clocks = fields.filter(([field]) => field.startsWith(clockField))
    this.#clocks = new Clocks(new Map(clocks.map(([field, text]) => [field.slice(clockField.length), text])))
    for (const one of readKeys(fields)) this.#restore(one)
  }

  /**
   * A record whose processing throws, where that is undone, changes nothing of its key; its time counts all the same.
   * @param latest how far it may move time, and no further: its append time
   * @returns whether the step called the record late
   * @throws whatever the step throws, where that is not undone: the slot must be opened anew
   */
  record(topic: string, key: string, origin: string, record: Sourced, latest: Micros = Infinity): boolean {
    if (this.#diverged.size > 0) this.#converge()
    const known = this.#entries.get(key)
    const again = origin.startsWith(redriven)
    const clock = again && known !== undefined ? known.clock.newest : this.#clocks.of(clockName(origin, record.chainId))
    const { block = null, finalized = null } = record
    if (finalized !== null) clock.finalize(finalized)
    if (record.removed === true) {
      this.#remove(key, record.id, clock)
      return false
    }
    if (block !== null) clock.begin(block, record.ts)
    this.#timers.advance(clock, Math.min(record.ts - 1, latest))
    if (known !== undefined) this.#settle(known, key)
    const entry = this.#entryOf(key, clock)
    // Beside a clock that has not come to the key before, the others may be idle.
    if (entry.clock !== clock && this.#timers.isDue(entry)) this.#wake(entry, key)
    this.#dirty.add(key)
    const time = entry.clock.timeWith(clock, Math.min(record.ts, latest))
    const { horizon } = entry.clock
    const { offset } = this.#outlet
    const input: Input = { topic, key, clock: again ? undefined : clock.name, record, horizon, time, offset }
    if (entry.pending === undefined && block !== null && block > (clock.finalized ?? -1)) this.#hold(entry, key)
    const publish = this.#publishDirect(block, clock)
    const outcome =
      entry.pending?.add(entry.cell, input, entry.clock) ?? this.#caller.process(entry.cell, input, publish)
    this.#fire(entry, key, publish)
    this.#timers.set(entry, key)
    if (outcome instanceof Thrown) this.#leaveOut(entry, key, outcome)
    return outcome === 'late'
  }

  /**
   * Time has passed, or gone back where blocks were removed.
   * @param latest how far it may move time, and no further: its append time
   */
  mark(mark: Mark, latest: Micros = Infinity): void {
    if (this.#diverged.size > 0) this.#converge()
    const { origin, chainId = null, time, block, finalized, removed } = mark
    const clock = this.#clocks.of(clockName(origin, chainId))
    if (removed) {
      clock.setBack(block ?? -1, time)
      return this.#unwake(clock)
    }
    if (block !== null) clock.begin(block, time)
    if (finalized !== null) clock.finalize(finalized)
    this.#timers.advance(clock, Math.min(time, latest))
    // Readers may hear nothing else of this origin for days, and must not keep its findings pending for so long.
    if (clock.tells()) this.#outlet.mark(mark)
  }

  /** @returns the fields that changed since the last call, to be stored with the offset reached. */
  changes(): Change[] {
    this.#caller.forget()
    for (const key of this.#withPending) {
      const entry = this.#entries.get(key)
      if (entry !== undefined) this.#settle(entry, key)
    }
    for (const [key, { cell, clock, pending }] of this.#expiry.next()) {
      if (pending !== undefined || cell.wake !== null) continue
      if (this.#caller.expired(cell, clock.ofChain ? clock.finalizedHorizon : clock.horizon)) this.#delete(key)
    }
    const changes = new Map<string, string | null>()
    for (const field of this.#deleted) changes.set(field, null)
    for (const key of this.#dirty) {
      for (const [field, text] of this.#store(key)) changes.set(field, text)
    }
    for (const [name, text] of this.#clocks.changes()) changes.set(clockField + name, text)
    for (const [field, text] of this.#versions.changes()) changes.set(field, text)
    this.#dirty.clear()
    this.#deleted.clear()
    return [...changes]
  }

  #leaveOut({ cell, pending }: Entry, key: string, { error }: Thrown): void {
    this.#undo?.thrown(key, undefined, error)
    // The key is known of nothing else.
    if (pending === undefined && cell.newest < 0 && cell.wake === null) this.#delete(key)
  }

  /**
   * Runs the wake-ups of a key that are due. One that throws, where that is undone, is its key's fault and not that of the
   * record or mark that moved time: it is reported once and stays due until it succeeds.
   */
  #fire({ cell, clock, pending }: Entry, key: string, publish: Publish): void {
    const thrown =
      pending === undefined ? this.#caller.wake(cell, key, clock.horizon, publish) : pending.wake(cell, key, clock)
    if (thrown !== undefined && !thrown.again) this.#undo?.thrown(key, thrown.wake, thrown.error)
  }

  /** Outputs that no removal can take back. */
  #publishDirect(block: number | null, { finalized }: Clock): Publish {
    if (block === null && finalized === null) return this.#publishPlain
    return (topic, draft) => this.#outlet.publish(topic, { ...draft, block, finalized, removed: false, revision: 0 })
  }

  readonly #publishPlain = (topic: Topic, draft: object): void => this.#outlet.publish(topic, draft)

  #remove(key: string, id: string, clock: OriginClock): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#settle(entry, key)
    if (entry.pending === undefined) return
    entry.clock = joined(entry.clock, clock)
    const cell = entry.pending.remove(id, key, entry.clock)
    if (cell === undefined) this.#timers.set(entry, key)
    else this.#continue(entry, key, cell)
  }

  /** Takes back, in the order of keys, what the step would not have led to as it is now. */
  #converge(): void {
    for (const key of [...this.#diverged].toSorted()) {
      const entry = this.#entries.get(key)
      if (entry?.pending !== undefined) this.#continue(entry, key, entry.pending.converge(key, entry.clock))
    }
    this.#diverged.clear()
  }

  /** Takes back the wake-ups that are no longer due; in the order of keys, whatever the order in memory is. */
  #unwake(clock: OriginClock): void {
    for (const key of [...this.#withPending].toSorted()) {
      const entry = this.#entries.get(key)
      if (entry?.pending === undefined || !entry.clock.has(clock)) continue
      if (entry.clock instanceof SharedClock) entry.clock.setBack(clock.horizon)
      if (entry.pending.firedTo <= entry.clock.horizon) continue
      this.#settle(entry, key)
      this.#continue(entry, key, entry.pending.unwake(key, entry.clock))
    }
  }

  #wake(entry: Entry, key: string): void {
    this.#settle(entry, key)
    const { clock } = entry
    if (entry.pending === undefined && clock.ofChain && (entry.cell.wake ?? 0) > clock.finalizedHorizon)
      this.#hold(entry, key)
    this.#fire(entry, key, this.#publishDirect(null, clock))
    this.#continue(entry, key, entry.cell)
  }

  #hold(entry: Entry, key: string): void {
    entry.pending = new Pending(this.#host, structuredClone(entry.cell))
    this.#withPending.add(key)
  }

  #continue(entry: Entry, key: string, cell: Cell): void {
    entry.cell = cell
    this.#dirty.add(key)
    this.#timers.set(entry, key)
  }

  /** Moves a key up to the finalized height. What it publishes then depends on the log, not on checkpoints. */
  #settle(entry: Entry, key: string): void {
    const { clock, pending } = entry
    if (pending === undefined || this.#diverged.has(key)) return
    const settled = pending.finalize(key, clock, (name) => (name === undefined ? clock : this.#clocks.of(name)))
    if (settled !== 'same') this.#dirty.add(key)
    if (settled !== 'done') return
    entry.pending = undefined
    this.#withPending.delete(key)
    for (const [serial] of pending.inputChanges()) this.#deleted.add(inputField(serial, key))
    // Everything it was made of was removed.
    if (entry.cell.newest < 0 && entry.cell.wake === null) this.#delete(key)
  }

  #delete(key: string): void {
    this.#entries.delete(key)
    this.#dirty.delete(key)
    this.#deleted.add(keyField(key))
  }

  #entryOf(key: string, clock: OriginClock): Entry {
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { cell: this.#caller.empty(), clock, pending: undefined }
      this.#entries.set(key, entry)
    }
    if (entry.clock !== clock) entry.clock = joined(entry.clock, clock)
    return entry
  }

  *#store(key: string): Generator<Change> {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    const { cell, clock, pending } = entry
    const stored: StoredEntry = {
      v: this.#processor.state.version,
      o: clock.name,
      ...(clock instanceof SharedClock ? { s: clock.store() } : {}),
      c: pending?.base ?? cell,
      ...(pending === undefined ? {} : { p: pending.store() }),
    }
    yield [keyField(key), JSON.stringify(stored)]
    for (const [serial, text] of pending?.inputChanges() ?? []) yield [inputField(serial, key), text]
  }

  #restore({ key, entry: stored, inputs }: StoredKey): void {
    const cell = migrated(this.#processor, stored.c, stored.v)
    const clock = stored.s === undefined ? this.#clocks.of(stored.o) : this.#clocks.shared(stored.s)
    const entry: Entry = { cell, clock, pending: undefined }
    if (stored.p !== undefined) {
      entry.pending = new Pending(this.#host, cell, stored.p, inputs)
      entry.cell = entry.pending.restore(key, entry.clock)
      if (entry.pending.diverged) this.#diverged.add(key)
      // Inputs of another version of the state go on under the present settings.
      if (stored.v !== this.#processor.state.version) this.#dirty.add(key)
      this.#withPending.add(key)
    }
    this.#entries.set(key, entry)
    // The step may have been mended.
    if (entry.cell.wake !== null) clock.setTimer(entry.cell.wake, key)
  }
}
