/**
 * The inputs of a key that are not final, each with what it has led to. A field stores one each, so that a checkpoint writes only
 * what is new.
 */
import type { Micros, Topic } from '../definitions.ts'
import type { Input } from './cell.ts'
import { restoredOutputs, storedOutputs, type Emitted, type StoredOutput } from './emitted-outputs.ts'
import type { SettingsVersion, SettingsVersions } from './settings-versions.ts'

/** An input that is not final. */
export interface Held {
  /** Grows with every input of the key; names the field that stores this one. */
  readonly serial: number
  readonly input: Input
  /** The settings that it was processed under, and the timers after it. */
  readonly version: SettingsVersion
  /** Newest block among the pending inputs up to this one. */
  newest: number | null
  /** What the timers since the input before have led to, and then what it has led to itself. */
  emitted: readonly Emitted[]
  /** Whether a field holds it. */
  stored: boolean
}

/** An input as its field holds it: with its settings version and what it has led to. */
export interface StoredInput extends Input {
  readonly s?: string
  readonly e?: readonly StoredOutput[]
}

/** The text of a stored input; null: it is final or was removed. */
export type InputChange = readonly [serial: number, text: string | null]

/** Holds the settings versions of its inputs. */
export class UnfinalizedInputs {
  readonly #versions: SettingsVersions
  readonly #held: Held[]
  #next: number
  /** What the timers since the last input have led to. */
  tail: Emitted[]
  /** Inputs whose fields are to be written, and serials of those whose fields are to be deleted. */
  readonly #changed = new Set<Held>()
  readonly #dropped: number[] = []

  /**
   * @param next serial of the next input
   * @param stored in the order of their serials
   * @param outputs what the step writes, by name
   */
  constructor(
    versions: SettingsVersions,
    next: number,
    tail: readonly StoredOutput[],
    stored: readonly (readonly [serial: number, input: StoredInput])[],
    outputs: ReadonlyMap<string, Topic>,
  ) {
    this.#versions = versions
    this.#next = next
    this.tail = restoredOutputs(tail, outputs)
    this.#held = stored.map(([serial, { s = '', e = [], ...input }]) => {
      const version = versions.of(s)
      versions.hold(version)
      const held: Held = { serial, input, version, newest: null, emitted: restoredOutputs(e, outputs), stored: true }
      if (version.id !== s) this.#changed.add(held)
      return held
    })
  }

  get next(): number {
    return this.#next
  }

  get length(): number {
    return this.#held.length
  }

  at(index: number): Held | undefined {
    return this.#held.at(index)
  }

  from(index: number): readonly Held[] {
    return this.#held.slice(index)
  }

  indexOf(held: Held): number {
    return this.#held.lastIndexOf(held)
  }

  /** @returns the index of the newest input with an id, -1 where there is none */
  find(id: string): number {
    return this.#held.findLastIndex(({ input }) => input.record.id === id)
  }

  /** Takes one more input, processed under the present settings. @param emitted what it and the timers before it have led to */
  add(input: Input, newest: number | null, emitted: readonly Emitted[]): Held {
    const version = this.#versions.present
    this.#versions.hold(version)
    const held: Held = { serial: this.#next++, input, version, newest, emitted, stored: false }
    this.tail = []
    this.#held.push(held)
    this.#changed.add(held)
    return held
  }

  /** What the timers before an input and the input itself have led to; behind the last, the timers alone. */
  emittedAt(index: number): readonly Emitted[] {
    return this.#held[index]?.emitted ?? this.tail
  }

  setEmittedAt(index: number, emitted: Emitted[]): void {
    const held = this.#held[index]
    if (held === undefined) this.tail = emitted
    else this.setEmitted(held, emitted)
  }

  setEmitted(held: Held, emitted: readonly Emitted[]): void {
    held.emitted = emitted
    this.#changed.add(held)
  }

  /** Takes inputs out that are final or removed, or at which the step throws. */
  takeOut(index: number, count: number): readonly Held[] {
    const out = this.#held.splice(index, count)
    for (const held of out) {
      this.#versions.release(held.version)
      this.#changed.delete(held)
      if (held.stored) this.#dropped.push(held.serial)
    }
    return out
  }

  /** @returns what has changed since the last call. */
  changes(): InputChange[] {
    const changes: InputChange[] = this.#dropped.map((serial) => [serial, null])
    this.#dropped.length = 0
    for (const held of this.#changed) {
      held.stored = true
      changes.push([held.serial, textOf(held)])
    }
    this.#changed.clear()
    return changes
  }
}

/** How many outputs come first to which timers up to a time have led. */
export function timersUpTo(emitted: readonly Emitted[], time: Micros): number {
  const count = emitted.findIndex(({ wake }) => wake === undefined || wake > time)
  return count < 0 ? emitted.length : count
}

function textOf({ input, version: { id }, emitted }: Held): string {
  const text = JSON.stringify(id === '' ? input : { ...input, s: id })
  return emitted.length === 0 ? text : `${text.slice(0, -1)},"e":${storedOutputs(emitted)}}`
}
