/** Looks through the keys of a slot in turn, a part with every checkpoint, so that none takes long. */

/** Keys looked at with every checkpoint. */
const part = 1000

export class Expiry<Entry> {
  readonly #entries: ReadonlyMap<string, Entry>
  #sweeper: Iterator<[string, Entry]> | undefined

  constructor(entries: ReadonlyMap<string, Entry>) {
    this.#entries = entries
  }

  /** @returns the next part; keys may be deleted meanwhile */
  *next(): Generator<[string, Entry]> {
    this.#sweeper ??= this.#entries.entries()
    for (let looked = 0; looked < part; looked++) {
      const next = this.#sweeper.next()
      if (next.done === true) {
        this.#sweeper = undefined
        return
      }
      yield next.value
    }
  }
}
