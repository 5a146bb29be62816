/** The timers that hang on one clock, first come first: a binary heap in the order of (time, key). */
import type { Micros } from '../definitions.ts'

export interface Timer {
  readonly time: Micros
  readonly key: string
}

export class Timers {
  readonly #heap: Timer[] = []
  /** The newest timer of each key that has not come up, so that one which stays the same is not repeated with each record. */
  readonly #newest = new Map<string, Micros>()

  /** When the first timer is due; Infinity where there is none. */
  get next(): Micros {
    return this.#heap[0]?.time ?? Infinity
  }

  /** Whether a timer of the key stands for `time` or sooner. */
  has(time: Micros, key: string): boolean {
    const newest = this.#newest.get(key)
    return newest !== undefined && newest <= time
  }

  /** Adds a key's timer. One that it replaces comes up all the same; who takes it knows that it no longer counts. */
  add(time: Micros, key: string): void {
    if (this.#newest.get(key) === time) return
    this.#newest.set(key, time)
    const heap = this.#heap
    let at = heap.push({ time, key }) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(heap[at], heap[parent])) break
      swap(heap, at, parent)
      at = parent
    }
  }

  /** @returns the first timer up to `until` in the order of (time, key), taken out. */
  take(until: Micros): Timer | undefined {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined || first.time > until) return undefined
    if (this.#newest.get(first.key) === first.time) this.#newest.delete(first.key)
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

function before(a: Timer | undefined, b: Timer | undefined): boolean {
  if (a === undefined || b === undefined) return a !== undefined
  return a.time < b.time || (a.time === b.time && a.key < b.key)
}

function swap(heap: Timer[], a: number, b: number): void {
  const [x, y] = [heap[a], heap[b]]
  if (x === undefined || y === undefined) return
  heap[a] = y
  heap[b] = x
}
