/**
 * Retraction: the inputs of one key since the finalized height, and what they have led to. When a block is removed, its inputs
 * are taken out, what came after them is folded again, each input under the settings of its time, and the difference to what was
 * emitted is published. Whatever is published depends on the log and on what is stored alone, never on when state was stored or
 * read again.
 */
import type { Micros } from '../definitions.ts'
import { Thrown, type Cell, type Input, type StepCaller } from './cell.ts'
import type { Clock } from './clock.ts'
import { areAlike, difference, emittedOf, recordOf, sameness, storedOutputs } from './emitted-outputs.ts'
import type { Emitted, StoredOutput } from './emitted-outputs.ts'
import { Fold, newer, tell, type PendingHost, type Place } from './fold.ts'
import { SavePoints } from './save-points.ts'
import { Revisions, type StoredRevisions } from './revisions.ts'
import type { SettingsVersion } from './settings-versions.ts'
import { timersUpTo, UnfinalizedInputs } from './unfinalized-inputs.ts'
import type { Held, InputChange, StoredInput } from './unfinalized-inputs.ts'

export interface StoredPending {
  readonly next: number
  readonly revisions: StoredRevisions
  /** Settings version of timers before the first pending input. */
  readonly s?: string
  /** What the timers since the last input have led to. */
  readonly e?: readonly StoredOutput[]
  /** Timers that have thrown. */
  readonly f?: readonly Micros[]
}

const nothing = (): void => {}

export class Pending {
  readonly #host: PendingHost
  readonly #base: Cell
  #baseVersion: SettingsVersion
  readonly #inputs: UnfinalizedInputs
  readonly #revisions: Revisions
  /** Timers that have thrown, and were reported. */
  readonly #failed: Set<Micros>
  readonly #savePoints = new SavePoints()
  #firedTo: Micros = -1
  #diverged: Place | undefined

  /**
   * @param base the state at the finalized height; taken over
   * @param stored what `store` gave before
   * @param inputs what `inputChanges` gave before, in the order of their serials
   */
  constructor(
    host: PendingHost,
    base: Cell,
    stored?: StoredPending,
    inputs: readonly (readonly [serial: number, input: StoredInput])[] = [],
  ) {
    const { versions, outputs } = host
    this.#host = host
    this.#base = base
    this.#baseVersion = stored === undefined ? versions.present : versions.of(stored.s ?? '')
    versions.hold(this.#baseVersion)
    this.#inputs = new UnfinalizedInputs(versions, stored?.next ?? 0, stored?.e ?? [], inputs, outputs)
    this.#revisions = new Revisions(stored?.revisions)
    this.#failed = new Set(stored?.f)
  }

  get base(): Cell {
    return this.#base
  }

  store(): StoredPending {
    const { next, tail } = this.#inputs
    const { id } = this.#baseVersion
    return {
      next,
      revisions: this.#revisions.store(),
      ...(id === '' ? {} : { s: id }),
      ...(tail.length === 0 ? {} : { e: JSON.parse(storedOutputs(tail)) }),
      ...(this.#failed.size === 0 ? {} : { f: [...this.#failed] }),
    }
  }

  /** @returns what has changed of the inputs since the last call; the base and they are to be stored together. */
  inputChanges(): InputChange[] {
    return this.#inputs.changes()
  }

  /** Time of the newest wake-up that has run and may have to be taken back. */
  get firedTo(): Micros {
    return this.#firedTo
  }

  /** Folds what is stored, without publishing: how state comes back after a restart. */
  restore(key: string, clock: Clock): Cell {
    const end = this.#end(clock)
    const fold = this.#begin(key, clock, end)
    this.#diverged = fold.to(end)
    this.#firedTo = fold.firedTo
    return fold.cell
  }

  /** Whether the step does otherwise than when it processed what is stored: an input throws, or a timer does that did not. */
  get diverged(): boolean {
    return this.#diverged !== undefined
  }

  /** Publishes what follows from that, before the next record or mark is taken. */
  converge(key: string, clock: Clock): Cell {
    const from = this.#diverged ?? this.#end(clock)
    this.#diverged = undefined
    return this.#foldAgain(key, clock, from)
  }

  /** Takes one more input. @returns what became of it */
  add(cell: Cell, input: Input, clock: Clock): ReturnType<StepCaller['process']> {
    const newest = newer(this.#inputs.at(-1)?.newest ?? null, input.record.block ?? null)
    const emitted = [...this.#inputs.tail]
    const outcome = this.#host.caller.process(cell, input, (topic, draft) => {
      emitted.push(this.#publish(emittedOf(topic, draft, undefined, newest), draft, clock))
    })
    if (outcome instanceof Thrown) return outcome
    const held = this.#inputs.add(input, newest, emitted)
    this.#savePoints.offer(held, cell, this.#inputs.at(0)?.serial ?? 0)
    return outcome
  }

  /** Runs the wake-ups that are due. @returns the one that threw, if any */
  wake(cell: Cell, key: string, clock: Clock): Thrown | undefined {
    const { tail } = this.#inputs
    const last = this.#inputs.at(-1)
    let [due, block, stood]: [Micros, number | null, number] = [-1, null, 0]
    const thrown = this.#host.caller.wake(
      cell,
      key,
      clock.horizon,
      (topic, draft) => void tail.push(this.#publish(emittedOf(topic, draft, due, block), draft, clock)),
      (time) => {
        stood = tail.length
        due = time
        block = newer(last?.newest ?? null, clock.blockAt(time))
        this.#firedTo = Math.max(this.#firedTo, time)
      },
      last?.version ?? this.#baseVersion,
    )
    if (thrown === undefined) return undefined
    tail.length = stood
    this.#failed.add(due)
    return thrown
  }

  /** Takes an input out. @returns the cell that follows, or undefined where the input is not there. */
  remove(id: string, key: string, clock: Clock): Cell | undefined {
    const index = this.#inputs.find(id)
    const held = this.#inputs.at(index)
    if (index < 0 || held === undefined) return undefined
    this.#inputs.takeOut(index, 1)
    this.#savePoints.dropFrom(held.serial)
    // What timers led to before it stands, as all that came earlier; its own outputs are the first that may go.
    this.#inputs.setEmittedAt(index, [...held.emitted, ...this.#inputs.emittedAt(index)])
    return this.#foldAgain(key, clock, { index, horizon: held.input.horizon }, held)
  }

  /** Takes back the wake-ups that are not due any more, since time has gone back. */
  unwake(key: string, clock: Clock): Cell {
    return this.#foldAgain(key, clock, this.#end(clock))
  }

  /**
   * Moves the base up to the finalized height.
   * @param clockOf the clock of a name; of undefined, the key's
   * @returns 'done' when nothing is pending any more
   */
  finalize(key: string, clock: Clock, clockOf: (name: string | undefined) => Clock): 'done' | 'moved' | 'same' {
    const before = this.#revisions.size
    this.#revisions.forget((name) => clockOf(name).finalized ?? -1)
    let count = 0
    while (isFinal(this.#inputs.at(count), clockOf)) count++
    if (count > 0) this.#settle(key, count)
    const upTo = Math.min(clock.finalizedHorizon, clock.horizon, this.#inputs.at(0)?.input.horizon ?? Infinity)
    const { wake } = this.#base
    if (clock.ofChain) this.#host.caller.wake(this.#base, key, upTo, nothing, nothing, this.#baseVersion)
    const forgot = this.#forgetTimers(upTo)
    if (this.#inputs.length === 0 && this.#firedTo <= clock.finalizedHorizon) {
      const { versions } = this.#host
      versions.release(this.#baseVersion)
      if (this.#revisions.size === 0) return 'done'
      // Timers go by the present settings, as they do where nothing is pending.
      this.#baseVersion = versions.present
      versions.hold(this.#baseVersion)
    }
    return count > 0 || forgot || wake !== this.#base.wake || before !== this.#revisions.size ? 'moved' : 'same'
  }

  /** Puts the first inputs into the base; what they have led to stands for ever. */
  #settle(key: string, count: number): void {
    const { caller, versions } = this.#host
    let newest: number | null = null
    for (const held of this.#inputs.takeOut(0, count)) {
      caller.wake(this.#base, key, held.input.horizon, nothing, nothing, this.#baseVersion)
      const outcome = caller.process(this.#base, held.input, nothing, held.version)
      if (outcome instanceof Thrown) tell(this.#host, key, held.input, outcome.error)
      versions.hold(held.version)
      versions.release(this.#baseVersion)
      this.#baseVersion = held.version
      newest = held.newest
    }
    const first = this.#inputs.at(0)
    this.#savePoints.dropBefore(first?.serial ?? Infinity)
    // Inputs of several origins need not come in the order of blocks.
    if (first === undefined || (newest ?? -1) <= (first.input.record.block ?? -1)) return
    let before: number | null = null
    for (const held of this.#inputs.from(0)) before = held.newest = newer(before, held.input.record.block ?? null)
  }

  /** What timers that are in the base have led to stands for ever. @returns whether there was any */
  #forgetTimers(upTo: Micros): boolean {
    const emitted = this.#inputs.emittedAt(0)
    const final = timersUpTo(emitted, upTo)
    if (final > 0) this.#inputs.setEmittedAt(0, emitted.slice(final))
    const failed = this.#failed.size
    for (const time of this.#failed) if (time <= upTo && time !== this.#base.failed) this.#failed.delete(time)
    return final > 0 || failed !== this.#failed.size
  }

  /**
   * Folds again from a place on and publishes the difference: first what no longer follows, newest first, then what newly
   * does. What was emitted before that place stands.
   * @param removed the input that was taken out there
   */
  #foldAgain(key: string, clock: Clock, from: Place, removed?: Held): Cell {
    const inputs = this.#inputs
    let place = from
    let fold = this.#begin(key, clock, place)
    for (let other = fold.to(place); other !== undefined; other = fold.to(place)) {
      place = other
      fold = this.#begin(key, clock, place)
    }
    const former = new Map(inputs.from(place.index).map((held) => [held, held.emitted]))
    const first = inputs.emittedAt(place.index)
    const later = [...[...former.values()].slice(1), ...(former.size > 0 ? [inputs.tail] : [])].flat()
    // Timers that were due when it came may have run before it and after it.
    const stands = place === from && removed ? timersUpTo(removed.emitted, Infinity) : timersUpTo(first, place.horizon)
    const before = [...first.slice(stands), ...later]
    const now = fold.on(place.index, first.slice(0, stands), new Set(before.map(sameness)))
    // What fired before the save point lies before its input, and so before whatever time goes back to.
    this.#firedTo = fold.firedTo
    const { gone, fresh } = difference(before, now)
    for (const output of gone.toReversed()) {
      const { topic, id, block, revision } = output
      this.#host.outlet.publish(topic, recordOf(output, clock.finalized, true))
      // With the block that was removed, it may come back.
      const until = Math.max(block ?? -1, removed?.input.record.block ?? -1)
      this.#revisions.removed(id, revision + 1, until, clock.name)
    }
    for (const output of fresh) this.#publish(output, JSON.parse(output.text), clock)
    for (const held of inputs.from(place.index))
      if (!areAlike(former.get(held) ?? [], held.emitted)) inputs.setEmitted(held, held.emitted)
    return fold.cell
  }

  #end(clock: Clock): Place {
    return { index: this.#inputs.length, horizon: clock.horizon }
  }

  /** A fold from the last save point before a place. */
  #begin(key: string, clock: Clock, { index }: Place): Fold {
    const next = this.#inputs.at(index)
    if (next !== undefined) this.#savePoints.dropFrom(next.serial)
    return new Fold({
      host: this.#host,
      key,
      clock,
      from: this.#savePoints.last ?? { after: undefined, cell: this.#base },
      baseVersion: this.#baseVersion,
      inputs: this.#inputs,
      savePoints: this.#savePoints,
      failed: this.#failed,
    })
  }

  #publish(output: Emitted, draft: object, { finalized }: Clock): Emitted {
    output.revision = this.#revisions.of(output.id)
    const { topic, block, revision } = output
    this.#host.outlet.publish(topic, { ...draft, block, finalized, removed: false, revision })
    return output
  }
}

function isFinal(held: Held | undefined, clockOf: (name: string | undefined) => Clock): boolean {
  if (held === undefined) return false
  const block = held.input.record.block ?? null
  if (block === null) return true
  const { finalized } = clockOf(held.input.clock)
  return finalized !== null && block <= finalized
}
