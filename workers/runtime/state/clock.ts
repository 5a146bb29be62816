/** How far an origin's time has come within one input partition, which blocks are not final, and who wants to be woken. */
import type { Micros } from '../definitions.ts'

export interface StoredClock {
  readonly horizon: Micros
  readonly finalized: number | null
  readonly finalizedHorizon: Micros
  /** Finality that was passed on. */
  readonly told: number
  /** Number and time of each block since the finalized one. */
  readonly blocks: readonly (readonly [block: number, time: Micros])[]
}

/** Blocks by which finality must have moved to be passed on to the readers of what a step writes. */
const tellEvery = 32

export class Clock {
  readonly name: string
  /** Every wake-up up to here has run. */
  horizon: Micros
  finalized: number | null
  /** Time of the newest final block; wake-ups up to here are final. */
  finalizedHorizon: Micros
  changed = false
  #told: number
  readonly #blocks: [block: number, time: Micros][]
  readonly #heap: Wish[] = []
  /** The newest wish of each key that has not come up, so that one which stays the same is not repeated with each record. */
  readonly #wished = new Map<string, Micros>()

  constructor(name: string, stored?: StoredClock) {
    this.name = name
    this.horizon = stored?.horizon ?? -1
    this.finalized = stored?.finalized ?? null
    this.finalizedHorizon = stored?.finalizedHorizon ?? -1
    this.#told = stored?.told ?? -tellEvery
    this.#blocks = (stored?.blocks ?? []).map(([block, time]) => [block, time])
  }

  store(): StoredClock {
    const { horizon, finalized, finalizedHorizon } = this
    return { horizon, finalized, finalizedHorizon, told: this.#told, blocks: this.#blocks }
  }

  /** Whether the origin's records come from a chain whose newest blocks may still be removed. */
  get ofChain(): boolean {
    return this.finalized !== null
  }

  /** Moves time forward. */
  reach(horizon: Micros): void {
    if (horizon <= this.horizon) return
    this.horizon = horizon
    this.changed = true
  }

  /** The block that made wake-ups of `time` due, for records that follow from time alone. */
  blockAt(time: Micros): number | null {
    return this.#blocks.find(([, blockTime]) => blockTime >= time)?.[0] ?? null
  }

  /** A block has begun to come in, or has gone by. */
  begin(block: number, time: Micros): void {
    if (block <= (this.#blocks.at(-1)?.[0] ?? -1)) return
    this.changed = true
    if (block > (this.finalized ?? -1)) this.#blocks.push([block, time])
    else if (time > this.finalizedHorizon) this.finalizedHorizon = time
  }

  /** The newest blocks down to `block` (which stays) were removed: time goes back. */
  setBack(block: number, horizon: Micros): void {
    while ((this.#blocks.at(-1)?.[0] ?? -1) > block) this.#blocks.pop()
    this.horizon = horizon
    this.changed = true
  }

  /** Blocks up to `block` cannot be removed any more. */
  finalize(block: number): void {
    if (this.finalized !== null && block <= this.finalized) return
    this.finalized = block
    this.changed = true
    while (this.#blocks[0] !== undefined && this.#blocks[0][0] <= block) {
      this.finalizedHorizon = this.#blocks[0][1]
      this.#blocks.shift()
    }
  }

  /** @returns whether finality has moved so far that the readers of what a step writes should hear of it; asked once. */
  tells(): boolean {
    if (this.finalized === null || this.finalized < this.#told + tellEvery) return false
    this.#told = this.finalized
    this.changed = true
    return true
  }

  /** Remembers that a key wants to be woken; a wish that was replaced is passed over when it comes up. */
  wish(time: Micros, key: string): void {
    if (this.#wished.get(key) === time) return
    this.#wished.set(key, time)
    const heap = this.#heap
    let at = heap.push({ time, key }) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(heap[at], heap[parent])) break
      swap(heap, at, parent)
      at = parent
    }
  }

  /** @returns the first wish up to `horizon` in the order of (time, key), taken out. */
  take(horizon: Micros): Wish | undefined {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined || first.time > horizon) return undefined
    if (this.#wished.get(first.key) === first.time) this.#wished.delete(first.key)
    const last = heap.pop()
    if (heap.length === 0 || last === undefined) return first
    heap[0] = last
    for (let at = 0; ;) {
      const left = 2 * at + 1
      const smaller = before(heap[left + 1], heap[left]) ? left + 1 : left
      if (!before(heap[smaller], heap[at])) return first
      swap(heap, at, smaller)
      at = smaller
    }
  }
}

interface Wish {
  readonly time: Micros
  readonly key: string
}

function before(a: Wish | undefined, b: Wish | undefined): boolean {
  if (a === undefined || b === undefined) return a !== undefined
  return a.time < b.time || (a.time === b.time && a.key < b.key)
}

function swap(heap: Wish[], a: number, b: number): void {
  const [x, y] = [heap[a], heap[b]]
  if (x === undefined || y === undefined) return
  heap[a] = y
  heap[b] = x
}
