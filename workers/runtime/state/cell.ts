/** One key's state with its wake-up, and the calls into a step's code that change it. */
import type { Draft, Micros, Place, Processor, Topic } from '../definitions.ts'
import type { SettingsVersion } from './settings-versions.ts'

/** State of one key: plain data, so that it can be cloned and stored. */
export interface Cell {
  state: object
  wake: Micros | null
  /** Event time of the newest record; -1 before the first. */
  newest: Micros
  /** The wake-up that threw when it was tried last; it stays due. */
  failed?: Micros
}

/** What a step reads of a record whatever its topic; chain topics have all fields, market topics the first two. */
export interface Sourced {
  readonly id: string
  readonly ts: Micros
  readonly chainId?: number | null
  readonly block?: number | null
  readonly finalized?: number | null
  readonly removed?: boolean
}

/** A record on its way into a step. */
export interface Input {
  readonly topic: string
  readonly key: string
  /** Name of the clock that says when it is final; undefined: the key's own. */
  readonly clock: string | undefined
  readonly record: Sourced
  /** Wake-ups up to here came before this record. */
  readonly horizon: Micros
  /** Stream time of its key with it. */
  readonly time: Micros
  /** Offset of its message, where that is known. */
  readonly offset?: number | undefined
}

/** Receives what a step emits. */
export type Collect = (topic: Topic, draft: Draft<object>) => void

/** What a careful slot is told of calls that throw, which it outlives. */
export interface Undo {
  /** Remembers what has been published so far. */
  begin(): void
  /** Takes back what was published since. */
  rollBack(): void
  /** @param wake time of the wake-up that threw; undefined: the record did */
  thrown(key: string, wake: Micros | undefined, error: unknown): void
}

/** A call that threw, and changed nothing. */
export class Thrown {
  readonly error: unknown
  /** Of a wake-up: when it was due, and whether it has thrown before. */
  readonly wake: Micros | undefined
  readonly again: boolean

  constructor(error: unknown, wake?: Micros, again = false) {
    this.error = error
    this.wake = wake
    this.again = again
  }
}

/** A cell as it was and the calls since, a record or a wake-up each: made again on a copy, they undo what came after. */
interface Journal {
  readonly base: Cell
  readonly calls: (readonly [call: Input | Micros, version: SettingsVersion])[]
}

/** A cell is copied once in so many calls, and so many are made again at most. */
const callsPerCopy = 64
const nothing = (): void => {}
const withoutOutlet: Undo = { begin: nothing, rollBack: nothing, thrown: nothing }

class MutablePlace implements Place<unknown> {
  topic = ''
  key = ''
  time: Micros = 0
  settings: unknown
  cell: Cell | undefined
  wasLate = false

  wakeAt(time: Micros): void {
    if (this.cell !== undefined) this.cell.wake = time
  }

  late(): void {
    this.wasLate = true
  }
}

/**
 * Calls a step's `process` and `onTime`. Where it is careful, a call that throws changes nothing: a record is left out, and a
 * wake-up stays due and is tried again with the key's next record, so that a mended step catches up.
 */
export class StepCaller {
  readonly #processor: Processor
  readonly #place = new MutablePlace()
  readonly #present: SettingsVersion
  readonly #undo: Undo | undefined
  #journals = new WeakMap<Cell, Journal>()
  /** Undoes calls that throw, whether or not this one does: for calls that publish nothing. */
  readonly careful: StepCaller

  /**
   * @param present the settings of calls that name no others
   * @param undo where calls that throw are to be undone; else they throw, and the cell is not to be trusted
   */
  constructor(processor: Processor, present: SettingsVersion, undo?: Undo) {
    this.#processor = processor
    this.#present = present
    this.#undo = undo
    this.careful = undo === undefined ? new StepCaller(processor, present, withoutOutlet) : this
  }

  empty(): Cell {
    return { state: this.#processor.state.empty(), wake: null, newest: -1 }
  }

  /** @returns what became of the record. */
  process(cell: Cell, input: Input, collect: Collect, version = this.#present): 'done' | 'late' | Thrown {
    if (this.#undo === undefined) return this.#process(cell, input, collect, version)
    const journal = this.#journalOf(cell)
    this.#undo.begin()
    try {
      const outcome = this.#process(cell, input, collect, version)
      journal.calls.push([input, version])
      return outcome
    } catch (error) {
      this.#restore(cell, input.key)
      return new Thrown(error)
    }
  }

  /**
   * Runs the wake-ups that are due.
   * @param each told each wake-up before it runs
   * @returns the wake-up that threw, if any; those after it wait for it
   */
  wake(
    cell: Cell,
    key: string,
    horizon: Micros,
    collect: Collect,
    each: (time: Micros) => void = nothing,
    version = this.#present,
  ): Thrown | undefined {
    while (cell.wake !== null && cell.wake <= horizon) {
      const time: Micros = cell.wake
      each(time)
      if (this.#undo === undefined) {
        this.#onTime(cell, key, time, collect, version)
        continue
      }
      const journal = this.#journalOf(cell)
      this.#undo.begin()
      try {
        this.#onTime(cell, key, time, collect, version)
        journal.calls.push([time, version])
      } catch (error) {
        this.#restore(cell, key)
        const again = cell.failed === time
        cell.failed = time
        return new Thrown(error, time, again)
      }
    }
    return undefined
  }

  /** Whether the state has outlived its records at `time`. */
  expired(cell: Cell, time: Micros): boolean {
    const { expiresAfter } = this.#processor.state
    return expiresAfter !== undefined && cell.newest >= 0 && time > cell.newest + expiresAfter
  }

  /** Lets go of the copies of cells, which would outnumber those in use. */
  forget(): void {
    this.#journals = new WeakMap()
    if (this.careful !== this) this.careful.forget()
  }

  #process(cell: Cell, input: Input, collect: Collect, version: SettingsVersion): 'done' | 'late' {
    const { time, record } = input
    const { ts } = record
    this.#expire(cell, time)
    if (ts > cell.newest) cell.newest = ts
    const place = this.#enter(cell, input.topic, input.key, time, version)
    this.#processor.process(record, cell.state, collect, place)
    return place.wasLate ? 'late' : 'done'
  }

  #onTime(cell: Cell, key: string, time: Micros, collect: Collect, version: SettingsVersion): void {
    cell.wake = null
    if (cell.failed !== undefined) delete cell.failed
    const place = this.#enter(cell, '', key, time, version)
    this.#processor.onTime?.(time, cell.state, collect, place)
    if (cell.wake !== null && cell.wake <= time) cell.wake = null
  }

  #journalOf(cell: Cell): Journal {
    let journal = this.#journals.get(cell)
    if (journal === undefined || journal.calls.length >= callsPerCopy) {
      journal = { base: structuredClone(cell), calls: [] }
      this.#journals.set(cell, journal)
    }
    return journal
  }

  /** Brings a cell to where it stood before the call that threw. */
  #restore(cell: Cell, key: string): void {
    this.#undo?.rollBack()
    const { base, calls } = this.#journalOf(cell)
    delete cell.failed
    Object.assign(cell, structuredClone(base))
    for (const [call, version] of calls) {
      if (typeof call === 'number') this.#onTime(cell, key, call, nothing, version)
      else this.#process(cell, call, nothing, version)
    }
    this.#journals.delete(cell)
  }

  /** The rule of expiry depends on stream time alone, not on when storage is tidied. */
  #expire(cell: Cell, time: Micros): void {
    if (!this.expired(cell, time)) return
    cell.state = this.#processor.state.empty()
    cell.wake = null
  }

  #enter(cell: Cell, topic: string, key: string, time: Micros, version: SettingsVersion): MutablePlace {
    const place = this.#place
    place.settings = version.settings
    place.cell = cell
    place.topic = topic
    place.key = key
    place.time = time
    place.wasLate = false
    return place
  }
}
