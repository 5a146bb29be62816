/** One key's state with its wake-up, and the calls into a step's code that change it. */
import type { Draft, Micros, Place, Processor, Topic } from '../definitions.ts'

/** State of one key: plain data, so that it can be cloned and stored. */
export interface Cell {
  state: object
  wake: Micros | null
  /** Event time of the newest record; -1 before the first. */
  newest: Micros
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
}

/** Receives what a step emits. */
export type Collect = (topic: Topic, draft: Draft<object>) => void

class MutablePlace implements Place<unknown> {
  topic = ''
  key = ''
  time: Micros = 0
  readonly settings: unknown
  cell: Cell | undefined
  wasLate = false

  constructor(settings: unknown) {
    this.settings = settings
  }

  wakeAt(time: Micros): void {
    if (this.cell !== undefined) this.cell.wake = time
  }

  late(): void {
    this.wasLate = true
  }
}

/** Calls a step's `process` and `onTime`; holds no state of its own between calls. */
export class StepCaller {
  readonly #processor: Processor
  readonly #place: MutablePlace

  constructor(processor: Processor, settings: unknown) {
    this.#processor = processor
    this.#place = new MutablePlace(settings)
  }

  empty(): Cell {
    return { state: this.#processor.state.empty(), wake: null, newest: -1 }
  }

  /** @returns whether the step called the record late. */
  process(cell: Cell, input: Input, collect: Collect): boolean {
    const { ts } = input.record
    const time = Math.max(ts, input.horizon)
    this.#expire(cell, time)
    if (ts > cell.newest) cell.newest = ts
    const place = this.#enter(cell, input.topic, input.key, time)
    this.#processor.process(input.record, cell.state, collect, place)
    return place.wasLate
  }

  /**
   * Runs the wake-ups that are due.
   * @param each told each wake-up before it runs
   */
  wake(cell: Cell, key: string, horizon: Micros, collect: Collect, each?: (time: Micros) => void): void {
    while (cell.wake !== null && cell.wake <= horizon) {
      const time: Micros = cell.wake
      cell.wake = null
      each?.(time)
      const place = this.#enter(cell, '', key, time)
      this.#processor.onTime?.(time, cell.state, collect, place)
      if (cell.wake !== null && cell.wake <= time) cell.wake = null
    }
  }

  /** Whether the state has outlived its records at `time`. */
  expired(cell: Cell, time: Micros): boolean {
    const { expiresAfter } = this.#processor.state
    return expiresAfter !== undefined && cell.newest >= 0 && time > cell.newest + expiresAfter
  }

  /** The rule of expiry depends on stream time alone, not on when storage is tidied. */
  #expire(cell: Cell, time: Micros): void {
    if (!this.expired(cell, time)) return
    cell.state = this.#processor.state.empty()
    cell.wake = null
  }

  #enter(cell: Cell, topic: string, key: string, time: Micros): MutablePlace {
    const place = this.#place
    place.cell = cell
    place.topic = topic
    place.key = key
    place.time = time
    place.wasLate = false
    return place
  }
}
