/**
 * Unfinalized inputs of a key folded again, in their order and with the timers between them, onto a copy of the state before
 * them. A call into the step that throws changes nothing.
 */
import type { Draft, Micros, Topic } from '../definitions.ts'
import { Thrown, type Cell, type Input, type StepCaller } from './cell.ts'
import type { Clock } from './clock.ts'
import { emittedOf, recordOf, sameness, type Emitted } from './emitted-outputs.ts'
import type { Outlet } from './outlet.ts'
import type { SavePoint, SavePoints } from './save-points.ts'
import type { SettingsVersion, SettingsVersions } from './settings-versions.ts'
import type { Held, UnfinalizedInputs } from './unfinalized-inputs.ts'

/** What the pending inputs of all keys share. */
export interface PendingHost {
  readonly caller: StepCaller
  readonly versions: SettingsVersions
  /** What the step writes, by name. */
  readonly outputs: ReadonlyMap<string, Topic>
  readonly outlet: Outlet
}

/** The step threw while it was called again, which was undone. @param cause the input, or when the timer was due */
export function tell({ outlet }: PendingHost, key: string, cause: Input | Micros, error: unknown): void {
  if (outlet.refoldThrew === undefined) throw error
  outlet.refoldThrew(key, cause, error)
}

/** What a key folds. */
export interface Folded {
  readonly host: PendingHost
  readonly key: string
  readonly clock: Clock
  /** Where the fold begins. */
  readonly from: SavePoint
  /** The settings of timers before the first input. */
  readonly baseVersion: SettingsVersion
  readonly inputs: UnfinalizedInputs
  readonly savePoints: SavePoints
  /** Timers that have thrown, and were reported. */
  readonly failed: Set<Micros>
}

/** A place in the order of inputs and timers: before the input at `index`, behind the timers up to `horizon`. */
export interface Place {
  readonly index: number
  readonly horizon: Micros
}

/** The timers that ran, and the one that threw, which those after it wait for. */
interface Fired {
  readonly ran: readonly Micros[]
  readonly thrown: Thrown | undefined
}

const none: Fired = { ran: [], thrown: undefined }
const nothing = (): void => {}

export class Fold {
  readonly #folded: Folded
  readonly #caller: StepCaller
  readonly cell: Cell
  /** Time of the newest timer that ran. */
  firedTo: Micros = -1
  #after: Held | undefined
  /** Times of timers that threw. */
  readonly #threw = new Set<Micros>()
  /** Receives what the step emits. */
  #emitted: Emitted[] | undefined
  /** What need not be checked, since it was published before. */
  #known: ReadonlySet<string> = new Set()

  constructor(folded: Folded) {
    this.#folded = folded
    this.#caller = folded.host.caller.careful
    this.cell = structuredClone(folded.from.cell)
    this.#after = folded.from.after
  }

  /**
   * Folds up to a place without a trace, as it was done before.
   * @returns the place where the step does otherwise than it did then: its code is another
   */
  to({ index, horizon }: Place): Place | undefined {
    const { inputs } = this.#folded
    for (let at = this.#after === undefined ? 0 : inputs.indexOf(this.#after) + 1; ; at++) {
      const held = at < index ? inputs.at(at) : undefined
      const time = this.#otherwise(this.#fire(held?.input.horizon ?? horizon))
      if (time !== undefined) return { index: at, horizon: time - 1 }
      if (held === undefined) return undefined
      if (this.#take(held) !== undefined) return { index: at, horizon: held.input.horizon }
    }
  }

  /**
   * Folds on to the end. An input at which the step throws is reported and left out.
   * @param stands what the timers just before have led to
   * @param known what has been emitted from here on
   * @returns what follows now
   */
  on(index: number, stands: readonly Emitted[], known: ReadonlySet<string>): Emitted[] {
    const { host, inputs, key, clock } = this.#folded
    const now: Emitted[] = []
    let [kept, emitted]: [readonly Emitted[], Emitted[]] = [stands, (this.#emitted = [])]
    this.#known = known
    const collected = (): Emitted[] => {
      for (const output of emitted) now.push(output)
      const all = [...kept, ...emitted]
      ;[kept, emitted] = [[], (this.#emitted = [])]
      return all
    }
    for (let at = index, held = inputs.at(at); held !== undefined; held = inputs.at(at)) {
      this.#report(this.#fire(held.input.horizon))
      const thrown = this.#take(held)
      if (thrown === undefined) {
        held.emitted = collected()
        at++
      } else {
        inputs.takeOut(at, 1)
        tell(host, key, held.input, thrown.error)
      }
    }
    this.#report(this.#fire(clock.horizon))
    inputs.tail = collected()
    return now
  }

  #fire(horizon: Micros): Fired {
    const { cell } = this
    if (cell.wake === null || cell.wake > horizon) return none
    const { key, clock, baseVersion } = this.#folded
    const ran: Micros[] = []
    let stood = 0
    const collect = (topic: Topic, draft: Draft<object>): void => {
      const time = ran.at(-1) ?? -1
      this.#collect(emittedOf(topic, draft, time, newer(this.#after?.newest ?? null, clock.blockAt(time))))
    }
    const each = (time: Micros): void => {
      stood = this.#emitted?.length ?? 0
      ran.push(time)
      this.firedTo = Math.max(this.firedTo, time)
    }
    const version = this.#after?.version ?? baseVersion
    const thrown = this.#caller.wake(cell, key, horizon, this.#emitted === undefined ? nothing : collect, each, version)
    if (thrown !== undefined) {
      ran.pop()
      if (this.#emitted !== undefined) this.#emitted.length = stood
    }
    return { ran, thrown }
  }

  /** @returns what the step threw, which has changed nothing */
  #take(held: Held): Thrown | undefined {
    const { input, version } = held
    const { savePoints, inputs } = this.#folded
    held.newest = newer(this.#after?.newest ?? null, input.record.block ?? null)
    const stood = this.#emitted?.length ?? 0
    const collect = (topic: Topic, draft: Draft<object>): void =>
      this.#collect(emittedOf(topic, draft, undefined, held.newest))
    const outcome = this.#caller.process(this.cell, input, this.#emitted === undefined ? nothing : collect, version)
    if (outcome instanceof Thrown) {
      if (this.#emitted !== undefined) this.#emitted.length = stood
      return outcome
    }
    this.#after = held
    savePoints.offer(held, this.cell, inputs.at(0)?.serial ?? 0)
    return undefined
  }

  /** What cannot be published is the fault of the input that leads to it, and not of a removal. */
  #collect(output: Emitted): void {
    const { host, clock } = this.#folded
    if (!this.#known.has(sameness(output))) host.outlet.check?.(output.topic, recordOf(output, clock.finalized, false))
    this.#emitted?.push(output)
  }

  /** @returns the timer that has thrown and did not before, or the reverse, if any */
  #otherwise({ ran, thrown }: Fired): Micros | undefined {
    const { failed, from } = this.#folded
    const didThrow = (time: Micros): boolean => failed.has(time) || from.cell.failed === time
    const mended = ran.find((time) => didThrow(time) && !this.#threw.has(time))
    if (mended !== undefined || thrown?.wake === undefined) return mended
    this.#threw.add(thrown.wake)
    return didThrow(thrown.wake) ? undefined : thrown.wake
  }

  /** A timer that throws stays due; it is reported once. */
  #report({ ran, thrown }: Fired): void {
    const { host, failed, key } = this.#folded
    for (const time of ran) if (!this.#threw.has(time)) failed.delete(time)
    if (thrown?.wake === undefined) return
    this.#threw.add(thrown.wake)
    if (!thrown.again && !failed.has(thrown.wake)) tell(host, key, thrown.wake, thrown.error)
    failed.add(thrown.wake)
  }
}

/** The newer of two blocks; null stands for none. */
export const newer = (one: number | null, other: number | null): number | null =>
  one === null || other === null ? (one ?? other) : Math.max(one, other)
