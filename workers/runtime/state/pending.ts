/**
 * Retraction: the inputs of one key since the finalized height and the outputs that stand because of them. When a block is
 * removed, its inputs are taken out, what came after them is folded again, and the difference is emitted. Whatever is
 * published depends on the log alone, never on when state was stored or read again.
 */
import type { Draft, Micros, Topic } from '../definitions.ts'
import { Thrown, type Cell, type Input, type StepCaller } from './cell.ts'
import type { Clock } from './clock.ts'

/** An input that is not final. */
interface Held {
  /** Grows with every input of the key; names the field that stores this one. */
  readonly serial: number
  readonly input: Input
  /** Newest block among the pending inputs up to this one; null once it is final. */
  newest: number | null
  stored: boolean
}

/** An output that holds as long as the inputs it follows from do. */
interface Standing {
  readonly topic: Topic
  readonly draft: Draft<object>
  readonly id: string
  /** Two outputs are the same if this is: the topic and the draft as text. */
  readonly text: string
  /** The pending input before it: its cause, where no wake-up is. */
  readonly after: Held | undefined
  /** The wake-up that caused it, and the block that made the wake-up due. */
  readonly wake: { readonly time: Micros; readonly block: number | null } | undefined
}

/** The state right after an input, from which a fold may begin. */
interface SavePoint {
  readonly after: Held
  readonly cell: Cell
}

/** How often an output was removed, and the block (of a clock) until whose finality it may come back. */
type Revision = readonly [count: number, block: number, clock: string]

export interface StoredPending {
  readonly next: number
  readonly revisions: Readonly<Record<string, Revision>>
}

/** A stored input; null: it is final or was removed. */
export type InputChange = readonly [serial: number, input: Input | null]

/** Publishes a derived record with its provenance. */
export type Publish = (topic: Topic, record: object) => void

/** Inputs between two save points: what the removal of one input may cost. */
const saveEvery = 64
const nothing = (): void => {}

export class Pending {
  readonly #caller: StepCaller
  readonly #base: Cell
  #inputs: Held[]
  #next: number
  /** Serial of the newest input that is in the base. */
  #settled: number
  readonly #dropped: number[] = []
  readonly #revisions: Map<string, Revision>
  #savePoints: SavePoint[] = []
  #standing: Standing[] = []
  #firedTo: Micros = -1

  /**
   * @param base the state at the finalized height; taken over
   * @param stored what `store` gave before
   * @param inputs what `inputChanges` gave before, in the order of their serials
   */
  constructor(
    caller: StepCaller,
    base: Cell,
    stored?: StoredPending,
    inputs: readonly (readonly [serial: number, input: Input])[] = [],
  ) {
    this.#caller = caller
    this.#base = base
    this.#next = stored?.next ?? 0
    this.#revisions = new Map(Object.entries(stored?.revisions ?? {}))
    this.#inputs = inputs.map(([serial, input]) => ({ serial, input, newest: null, stored: true }))
    this.#settled = (this.#inputs[0]?.serial ?? this.#next) - 1
  }

  get base(): Cell {
    return this.#base
  }

  store(): StoredPending {
    return { next: this.#next, revisions: Object.fromEntries(this.#revisions) }
  }

  /** @returns what has changed of the inputs since the last call; the base and they are to be stored together. */
  inputChanges(): InputChange[] {
    const changes: InputChange[] = this.#dropped.map((serial) => [serial, null])
    this.#dropped.length = 0
    // What is not stored yet stands at the end.
    for (let at = this.#inputs.length - 1; at >= 0; at--) {
      const held = this.#inputs[at]
      if (held === undefined || held.stored) break
      held.stored = true
      changes.push([held.serial, held.input])
    }
    return changes
  }

  /** Time of the newest wake-up that has run and may have to be taken back. */
  get firedTo(): Micros {
    return this.#firedTo
  }

  /** Folds what is stored, without publishing: how state comes back after a restart. */
  restore(key: string, clock: Clock): Cell {
    return this.refold(key, clock, nothing)
  }

  /** Takes one more input. @returns what became of it */
  add(cell: Cell, input: Input, clock: Clock, publish: Publish): ReturnType<StepCaller['process']> {
    const held: Held = { serial: this.#next++, input, newest: newer(this.#last, input), stored: false }
    this.#inputs.push(held)
    const stood = this.#standing.length
    const outcome = this.#caller.process(cell, input, (topic, draft) => {
      this.#stand(stand(topic, draft, held, undefined), clock, publish)
    })
    if (outcome instanceof Thrown) {
      this.#inputs.pop()
      this.#standing.length = stood
    } else this.#save(held, cell)
    return outcome
  }

  /** Runs the wake-ups that are due. @returns the one that threw, if any */
  wake(cell: Cell, key: string, clock: Clock, publish: Publish): Thrown | undefined {
    let wake: Standing['wake']
    let stood = 0
    const thrown = this.#caller.wake(
      cell,
      key,
      clock.horizon,
      (topic, draft) => this.#stand(stand(topic, draft, this.#last, wake), clock, publish),
      (time) => {
        stood = this.#standing.length
        wake = { time, block: clock.blockAt(time) }
        this.#firedTo = Math.max(this.#firedTo, time)
      },
    )
    if (thrown !== undefined) this.#standing.length = stood
    return thrown
  }

  /** Takes an input out. @returns the cell that follows, or undefined where the input is not there. */
  remove(id: string, key: string, clock: Clock, publish: Publish): Cell | undefined {
    const at = this.#inputs.findLastIndex(({ input }) => input.record.id === id)
    const held = this.#inputs[at]
    if (held === undefined) return undefined
    this.#inputs.splice(at, 1)
    if (held.stored) this.#dropped.push(held.serial)
    while ((this.#savePoints.at(-1)?.after.serial ?? -1) >= held.serial) this.#savePoints.pop()
    return this.refold(key, clock, publish, held.input.record.block ?? -1)
  }

  /**
   * Folds again from the last save point and publishes the difference: first what no longer follows, newest first, then
   * what newly does.
   * @param removedBlock of the input that was taken out: with it, what no longer follows may come back
   */
  refold(key: string, clock: Clock, publish: Publish, removedBlock = -1): Cell {
    const point = this.#savePoints.at(-1)
    const kept = this.#standing.findLastIndex((output) => isBefore(output, point)) + 1
    const old = this.#standing.splice(kept).map((output) => ({ ...output, block: blockOf(output) }))
    const { cell, standing } = this.#fold(key, clock, point)
    const left = new Map<string, number>()
    for (const { text } of standing) left.set(text, (left.get(text) ?? 0) + 1)
    const same = new Map<string, number>()
    const gone = old.filter(({ text }) => {
      const count = left.get(text) ?? 0
      if (count === 0) return true
      left.set(text, count - 1)
      same.set(text, (same.get(text) ?? 0) + 1)
      return false
    })
    for (const { topic, draft, id, block } of gone.toReversed()) {
      const [revision] = this.#revisions.get(id) ?? [0]
      publish(topic, { ...draft, block, finalized: clock.finalized, removed: true, revision })
      this.#revisions.set(id, [revision + 1, Math.max(block ?? -1, removedBlock), clock.name])
    }
    for (const output of standing) {
      const count = same.get(output.text) ?? 0
      if (count > 0) same.set(output.text, count - 1)
      else this.#publish(output, clock, publish)
    }
    this.#standing.push(...standing)
    return cell
  }

  /**
   * Moves the base up to the finalized height.
   * @param clockOf the clock of a name; of undefined, the key's
   * @returns 'done' when nothing is pending any more
   */
  finalize(key: string, clock: Clock, clockOf: (name: string | undefined) => Clock): 'done' | 'moved' | 'same' {
    const before = this.#revisions.size
    for (const [id, [, block, name]] of this.#revisions) {
      if (block <= (clockOf(name).finalized ?? -1)) this.#revisions.delete(id)
    }
    let count = 0
    while (isFinal(this.#inputs[count], clockOf)) count++
    const last = this.#inputs[count - 1]
    if (last !== undefined) this.#settle(key, this.#inputs.splice(0, count), last)
    const upTo = Math.min(clock.finalizedHorizon, clock.horizon, this.#inputs[0]?.input.horizon ?? Infinity)
    const { wake } = this.#base
    if (clock.ofChain) this.#caller.wake(this.#base, key, upTo, nothing)
    this.#settleOutputs(last, upTo)
    if (this.#inputs.length === 0 && this.#firedTo <= clock.finalizedHorizon && this.#revisions.size === 0)
      return 'done'
    return count > 0 || wake !== this.#base.wake || before !== this.#revisions.size ? 'moved' : 'same'
  }

  #settle(key: string, final: readonly Held[], last: Held): void {
    const { newest } = last
    this.#settled = last.serial
    for (const held of final) {
      this.#caller.wake(this.#base, key, held.input.horizon, nothing)
      this.#caller.process(this.#base, held.input, nothing)
      held.newest = null
      if (held.stored) this.#dropped.push(held.serial)
    }
    const later = this.#savePoints.findIndex(({ after }) => after.serial > last.serial)
    this.#savePoints.splice(0, later < 0 ? this.#savePoints.length : later)
    const [first] = this.#inputs
    // Inputs of several origins need not come in the order of blocks.
    if (first === undefined || (newest ?? -1) <= (first.input.record.block ?? -1)) return
    let before: Held | undefined
    for (const held of this.#inputs) {
      held.newest = newer(before, held.input)
      before = held
    }
  }

  /** What cannot be taken back any more need not be remembered; outputs stand in the order of their causes. */
  #settleOutputs(last: Held | undefined, upTo: Micros): void {
    const kept = this.#standing.findIndex(({ after, wake }) => {
      if (last !== undefined && (after === undefined || after.serial < last.serial)) return false
      if (after !== undefined && after.serial > this.#settled) return true
      return wake !== undefined && wake.time > upTo
    })
    if (kept !== 0) this.#standing.splice(0, kept < 0 ? this.#standing.length : kept)
  }

  #fold(key: string, clock: Clock, point: SavePoint | undefined): { cell: Cell; standing: Standing[] } {
    const cell = structuredClone(point?.cell ?? this.#base)
    const standing: Standing[] = []
    let after = point?.after
    let wake: Standing['wake']
    let firedTo = -1
    let stood = 0
    const collect = (topic: Topic, draft: Draft<object>): void => {
      standing.push(stand(topic, draft, after, wake))
    }
    const fire = (horizon: Micros): void => {
      const thrown = this.#caller.wake(cell, key, horizon, collect, (time) => {
        stood = standing.length
        wake = { time, block: clock.blockAt(time) }
        firedTo = Math.max(firedTo, time)
      })
      if (thrown !== undefined) standing.length = stood
    }
    const from = after === undefined ? 0 : this.#inputs.lastIndexOf(after) + 1
    for (let at = from; at < this.#inputs.length; at++) {
      const held = this.#inputs[at]
      if (held === undefined) break
      fire(held.input.horizon)
      held.newest = newer(after, held.input)
      after = held
      wake = undefined
      stood = standing.length
      if (this.#caller.process(cell, held.input, collect) instanceof Thrown) standing.length = stood
      this.#save(held, cell)
    }
    fire(clock.horizon)
    // What fired before the save point lies before its input, and so before whatever time goes back to.
    this.#firedTo = firedTo
    return { cell, standing }
  }

  get #last(): Held | undefined {
    return this.#inputs.at(-1)
  }

  #save(after: Held, cell: Cell): void {
    const before = this.#savePoints.at(-1)?.after.serial ?? this.#inputs[0]?.serial ?? 0
    if (after.serial - before >= saveEvery) this.#savePoints.push({ after, cell: structuredClone(cell) })
  }

  #stand(output: Standing, clock: Clock, publish: Publish): void {
    this.#standing.push(output)
    this.#publish(output, clock, publish)
  }

  #publish(output: Standing, { finalized }: Clock, publish: Publish): void {
    const [revision] = this.#revisions.get(output.id) ?? [0]
    publish(output.topic, { ...output.draft, block: blockOf(output), finalized, removed: false, revision })
  }
}

const stand = (topic: Topic, draft: Draft<object>, after: Held | undefined, wake: Standing['wake']): Standing => ({
  topic,
  draft,
  id: 'id' in draft && typeof draft.id === 'string' ? draft.id : '',
  text: `${topic.name} ${JSON.stringify(draft)}`,
  after,
  wake,
})

/** Newest block that an output follows from. */
function blockOf({ after, wake }: Standing): number | null {
  const [newest, due] = [after?.newest ?? null, wake?.block ?? null]
  return newest === null || due === null ? (newest ?? due) : Math.max(newest, due)
}

function newer(before: Held | undefined, { record }: Input): number | null {
  const [newest, block] = [before?.newest ?? null, record.block ?? null]
  return newest === null || block === null ? (newest ?? block) : Math.max(newest, block)
}

function isBefore({ after, wake }: Standing, point: SavePoint | undefined): boolean {
  if (point === undefined) return false
  const serial = after?.serial ?? -1
  return serial < point.after.serial || (serial === point.after.serial && wake === undefined)
}

function isFinal(held: Held | undefined, clockOf: (name: string | undefined) => Clock): boolean {
  if (held === undefined) return false
  const block = held.input.record.block ?? null
  if (block === null) return true
  const { finalized } = clockOf(held.input.clock)
  return finalized !== null && block <= finalized
}
