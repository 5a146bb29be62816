/** How far an origin's time has come within one input partition, which blocks are not final, and who wants to be woken. */
import type { Micros } from '../definitions.ts'

export interface StoredClock {
  readonly horizon: Micros
  readonly finalized: number | null
  readonly finalizedHorizon: Micros
  /** Number and time of each block since the finalized one. */
  readonly blocks: readonly (readonly [block: number, time: Micros])[]
}

export class Clock {
  /** Every wake-up up to here has run. */
  horizon: Micros
  finalized: number | null
  /** Time of the newest final block; wake-ups up to here are final. */
  finalizedHorizon: Micros
  changed = false
  readonly #blocks: [block: number, time: Micros][]
  readonly #heap: Wish[] = []

  constructor(stored?: StoredClock) {
    this.horizon = stored?.horizon ?? -1
    this.finalized = stored?.finalized ?? null
    this.finalizedHorizon = stored?.finalizedHorizon ?? -1
    this.#blocks = (stored?.blocks ?? []).map(([block, time]) => [block, time])
  }

  store(): StoredClock {
    const { horizon, finalized, finalizedHorizon } = this
    return { horizon, finalized, finalizedHorizon, blocks: this.#blocks }
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

  /** A block was added whose every record has gone by. */
  add(block: number, time: Micros): void {
    this.#blocks.push([block, time])
    this.changed = true
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

  /** Remembers that a key wants to be woken; a wish that was replaced is passed over when it comes up. */
  wish(time: Micros, key: string): void {
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
