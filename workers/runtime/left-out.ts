/**
 * The records that a task has left out: they are in dlq.v1, and the task remembers their offsets and ids. A redriven record counts
 * only if it is among them, and strikes itself off; so does the removal of the record, which then has nothing to take back.
 */

/** A change to be stored: the id of a record that was left out ('' where it has none that can be read), or null where it is struck off. */
export type LeftOutChange = readonly [offset: number, id: string | null]

/** So many are remembered; of older ones a redrive says that they are not known any more. */
const mostRemembered = 100_000

export class LeftOut {
  readonly #ids = new Map<number, string>()
  readonly #offsets = new Map<string, number>()
  #changes = new Map<number, string | null>()

  /** @param stored offsets and ids, as `changes` gave them */
  constructor(stored: Iterable<readonly [offset: number, id: string]> = []) {
    for (const [offset, id] of [...stored].toSorted(([a], [b]) => a - b)) this.#remember(offset, id)
  }

  get size(): number {
    return this.#ids.size
  }

  has(offset: number): boolean {
    return this.#ids.has(offset)
  }

  /** The ids that are known, for whoever meets removals elsewhere. */
  ids(): Iterable<string> {
    return this.#offsets.keys()
  }

  add(offset: number, id: string): void {
    this.#remember(offset, id)
    this.#changes.set(offset, id)
    for (const oldest of this.#ids.keys()) {
      if (this.#ids.size <= mostRemembered) return
      this.strike(oldest)
    }
  }

  /** @returns whether it was among them. */
  strike(offset: number): boolean {
    const id = this.#ids.get(offset)
    if (id === undefined) return false
    this.#ids.delete(offset)
    if (this.#offsets.get(id) === offset) this.#offsets.delete(id)
    this.#changes.set(offset, null)
    return true
  }

  /** The record of that id was removed. @returns whether it was among them */
  strikeId(id: string): boolean {
    const offset = this.#offsets.get(id)
    return offset !== undefined && this.strike(offset)
  }

  /** @returns what changed since the last call. */
  changes(): LeftOutChange[] {
    const changes = [...this.#changes]
    this.#changes = new Map()
    return changes
  }

  #remember(offset: number, id: string): void {
    this.#ids.set(offset, id)
    if (id !== '') this.#offsets.set(id, offset)
  }
}
