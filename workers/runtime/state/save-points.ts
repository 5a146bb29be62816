/** States of a key between its unfinalized inputs, so that the removal of one need not fold all of them again. */
import type { Cell } from './cell.ts'
import type { Held } from './unfinalized-inputs.ts'

/** The state right after an input, or at the finalized height. */
export interface SavePoint {
  readonly after: Held | undefined
  readonly cell: Cell
}

/** Inputs between two save points: what the removal of one input may cost. */
const saveEvery = 64

export class SavePoints {
  readonly #points: (SavePoint & { readonly after: Held })[] = []

  get last(): SavePoint | undefined {
    return this.#points.at(-1)
  }

  /** Keeps a copy of the state after an input where enough others came since the last. @param first serial of the first input */
  offer(after: Held, cell: Cell, first: number): void {
    const before = this.#points.at(-1)?.after.serial ?? first
    if (after.serial - before >= saveEvery) this.#points.push({ after, cell: structuredClone(cell) })
  }

  /** Drops those after the input of a serial, and all later ones. */
  dropFrom(serial: number): void {
    while ((this.#points.at(-1)?.after.serial ?? -1) >= serial) this.#points.pop()
  }

  /** Drops those after inputs that came before a serial. */
  dropBefore(serial: number): void {
    const later = this.#points.findIndex(({ after }) => after.serial >= serial)
    this.#points.splice(0, later < 0 ? this.#points.length : later)
  }
}
