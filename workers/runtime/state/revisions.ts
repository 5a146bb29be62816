/** How often each output of a key was removed, for as long as it may come back. */

/** The count, and the block (of a clock) until whose finality the output may come back. */
export type Revision = readonly [count: number, block: number, clock: string]

export type StoredRevisions = Readonly<Record<string, Revision>>

export class Revisions {
  readonly #removed: Map<string, Revision>

  constructor(stored: StoredRevisions = {}) {
    this.#removed = new Map(Object.entries(stored))
  }

  get size(): number {
    return this.#removed.size
  }

  store(): StoredRevisions {
    return Object.fromEntries(this.#removed)
  }

  /** How often the output was removed. */
  of(id: string): number {
    return this.#removed.get(id)?.[0] ?? 0
  }

  /** The output was removed `count` times by now, and may come back until `block` is final. */
  removed(id: string, count: number, block: number, clock: string): void {
    this.#removed.set(id, [count, block, clock])
  }

  /** @param finalizedOf the newest final block of a clock, -1 before the first */
  forget(finalizedOf: (clock: string) => number): void {
    for (const [id, [, block, clock]] of this.#removed) if (block <= finalizedOf(clock)) this.#removed.delete(id)
  }
}
