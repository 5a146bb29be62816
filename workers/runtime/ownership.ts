import { guarded } from './test-switches.ts'

/** Where it is off a task goes on with the memory that it has, as if nothing had failed. */
const ends = guarded('ownership')

/**
 * One ownership of a partition task or of a connector's feeds: from its opening until it is lost, opened anew or has failed. This is
 * the one place that decides that a task is over: whoever writes a batch, checkpoint, cursor or position asks it first, and after
 * each wait again.
 */
export class Ownership {
  #ended = false
  readonly #failed: (error: unknown, about?: Readonly<Record<string, unknown>>) => void

  /** @param failed told of what ends the task for a person to look at; at most once */
  constructor(failed: (error: unknown, about?: Readonly<Record<string, unknown>>) => void) {
    this.#failed = failed
  }

  /** Whether nothing may be written any more. */
  get over(): boolean {
    return this.#ended
  }

  /** Lost, or to be opened anew. */
  end(): void {
    this.#ended = true
  }

  /**
   * It failed: nothing more is written, and it is tried again later from its store.
   * @param about facts for the log, such as offsets
   */
  fail(error: unknown, about?: Readonly<Record<string, unknown>>): void {
    if (this.#ended || !ends) return
    this.#ended = true
    this.#failed(error, about)
  }
}
