/**
 * Retraction: the inputs of one key since the finalized height and the outputs that stand because of them. When a block is
 * removed, its inputs are taken out, the rest is folded again from the finalized state, and the difference is emitted.
 */
import type { Draft, Micros, Topic } from '../definitions.ts'
import type { Cell, Input, StepCaller } from './cell.ts'
import type { Clock } from './clock.ts'

/** An output that holds as long as the inputs it follows from do. */
interface Standing {
  readonly topic: Topic
  readonly draft: Draft<object>
  readonly id: string
  /** The draft as text: two outputs are the same if this and the topic are. */
  readonly text: string
  readonly block: number | null
  readonly cause: Cause
}
type Cause = { readonly input: Input } | { readonly wake: Micros }

export interface StoredPending {
  readonly base: Cell
  readonly inputs: readonly Input[]
  readonly firedTo: Micros
  readonly revisions: Readonly<Record<string, number>>
}

/** Publishes a derived record with its provenance. */
export type Publish = (topic: Topic, record: object) => void

export class Pending {
  readonly #caller: StepCaller
  readonly #base: Cell
  readonly #inputs: Input[] = []
  readonly #revisions: Map<string, number>
  #standing: Standing[] = []
  #firedTo: Micros

  /**
   * @param base the state at the finalized height; taken over
   * @param stored what `store` gave before
   */
  constructor(caller: StepCaller, base: Cell, stored?: StoredPending) {
    this.#caller = caller
    this.#base = base
    this.#inputs.push(...(stored?.inputs ?? []))
    this.#revisions = new Map(Object.entries(stored?.revisions ?? {}))
    this.#firedTo = stored?.firedTo ?? -1
  }

  store(): StoredPending {
    return {
      base: this.#base,
      inputs: this.#inputs,
      firedTo: this.#firedTo,
      revisions: Object.fromEntries(this.#revisions),
    }
  }

  /** Time of the newest wake-up that has run and may have to be taken back. */
  get firedTo(): Micros {
    return this.#firedTo
  }

  /** Folds what is stored, without publishing: how state comes back after a restart. */
  restore(key: string, clock: Clock): Cell {
    const { cell, standing } = this.#fold(key, clock)
    this.#standing = standing
    return cell
  }

  /** Takes one more input. @returns whether the step called it late. */
  add(cell: Cell, input: Input, clock: Clock, publish: Publish): boolean {
    this.#inputs.push(input)
    const block = newestBlock(this.#inputs)
    const late = this.#caller.process(cell, input, (topic, draft) => {
      this.#stand(this.#standing, topic, draft, block, { input }, publish, input.record.finalized ?? clock.finalized)
    })
    this.wake(cell, input.key, clock, publish)
    return late
  }

  /** Runs the wake-ups that are due. */
  wake(cell: Cell, key: string, clock: Clock, publish: Publish): void {
    let time = 0
    const collect = (topic: Topic, draft: Draft<object>): void => {
      const block = this.#blockOfWake(this.#inputs, clock, time)
      this.#stand(this.#standing, topic, draft, block, { wake: time }, publish, clock.finalized)
    }
    this.#caller.wake(cell, key, clock.horizon, collect, (due) => {
      time = due
      this.#firedTo = Math.max(this.#firedTo, due)
    })
  }

  /** Takes an input out. @returns the cell that follows, or undefined where the input is not there. */
  remove(id: string, key: string, clock: Clock, publish: Publish): Cell | undefined {
    const at = this.#inputs.findIndex((input) => input.record.id === id)
    if (at < 0) return undefined
    this.#inputs.splice(at, 1)
    return this.refold(key, clock, publish)
  }

  /** Folds again and publishes the difference: first what no longer follows, newest first, then what newly does. */
  refold(key: string, clock: Clock, publish: Publish): Cell {
    const { cell, standing } = this.#fold(key, clock)
    const left = new Map<string, Standing[]>()
    for (const old of this.#standing) {
      const same = identity(old)
      left.set(same, [...(left.get(same) ?? []), old])
    }
    const added = standing.filter((output) => left.get(identity(output))?.shift() === undefined)
    const gone = new Set([...left.values()].flat())
    for (const old of this.#standing.toReversed()) {
      if (!gone.has(old)) continue
      const revision = this.#revisions.get(old.id) ?? 0
      publish(old.topic, { ...old.draft, block: old.block, finalized: clock.finalized, removed: true, revision })
      this.#revisions.set(old.id, revision + 1)
    }
    for (const output of added) this.#publish(output, clock.finalized, publish)
    this.#standing = standing
    return cell
  }

  /**
   * Moves the base up to the finalized height.
   * @param clockOf the clock of an origin
   * @returns true when nothing is pending any more
   */
  finalize(key: string, clock: Clock, clockOf: (origin: string) => Clock): boolean {
    const drop = (): void => {}
    const final = new Set<Input>()
    for (const input of this.#inputs) {
      if (!isFinal(input, clockOf)) break
      this.#caller.wake(this.#base, key, input.horizon, drop)
      this.#caller.process(this.#base, input, drop)
      final.add(input)
    }
    this.#inputs.splice(0, final.size)
    this.#standing = this.#standing.filter(({ cause }) => !('input' in cause && final.has(cause.input)))
    const upTo =
      this.#inputs[0] === undefined ? clock.finalizedHorizon : Math.min(clock.finalizedHorizon, this.#inputs[0].horizon)
    if (clock.ofChain) {
      this.#caller.wake(this.#base, key, upTo, drop)
      this.#standing = this.#standing.filter(({ cause }) => !('wake' in cause && cause.wake <= upTo))
    }
    return this.#inputs.length === 0 && this.#firedTo <= clock.finalizedHorizon
  }

  #fold(key: string, clock: Clock): { cell: Cell; standing: Standing[] } {
    const cell = structuredClone(this.#base)
    const standing: Standing[] = []
    const seen: Input[] = []
    let firedTo = -1
    let cause: Cause = { wake: 0 }
    const collect = (topic: Topic, draft: Draft<object>): void => {
      const block = 'wake' in cause ? this.#blockOfWake(seen, clock, cause.wake) : newestBlock(seen)
      standing.push(stand(topic, draft, block, cause))
    }
    const fire = (horizon: Micros): void =>
      this.#caller.wake(cell, key, horizon, collect, (time) => {
        cause = { wake: time }
        firedTo = Math.max(firedTo, time)
      })
    for (const input of this.#inputs) {
      fire(input.horizon)
      seen.push(input)
      cause = { input }
      this.#caller.process(cell, input, collect)
    }
    fire(clock.horizon)
    this.#firedTo = firedTo
    return { cell, standing }
  }

  #blockOfWake(inputs: readonly Input[], clock: Clock, time: Micros): number | null {
    const [newest, due] = [newestBlock(inputs), clock.blockAt(time)]
    return newest === null || due === null ? (newest ?? due) : Math.max(newest, due)
  }

  #stand(
    list: Standing[],
    topic: Topic,
    draft: Draft<object>,
    block: number | null,
    cause: Cause,
    publish: Publish,
    finalized: number | null,
  ): void {
    const output = stand(topic, draft, block, cause)
    list.push(output)
    this.#publish(output, finalized, publish)
  }

  #publish(output: Standing, finalized: number | null, publish: Publish): void {
    const revision = this.#revisions.get(output.id) ?? 0
    publish(output.topic, { ...output.draft, block: output.block, finalized, removed: false, revision })
  }
}

const stand = (topic: Topic, draft: Draft<object>, block: number | null, cause: Cause): Standing => ({
  topic,
  draft,
  id: 'id' in draft && typeof draft.id === 'string' ? draft.id : '',
  text: JSON.stringify(draft),
  block,
  cause,
})

const identity = (output: Standing): string => `${output.topic.name} ${output.text}`

function newestBlock(inputs: readonly Input[]): number | null {
  let newest: number | null = null
  for (const { record } of inputs) {
    const block = record.block ?? null
    if (block !== null && (newest === null || block > newest)) newest = block
  }
  return newest
}

function isFinal(input: Input, clockOf: (origin: string) => Clock): boolean {
  const block = input.record.block ?? null
  if (block === null) return true
  const { finalized } = clockOf(input.origin)
  return finalized !== null && block <= finalized
}
