/**
 * Finds the record that kills its slot's thread. The thread says at which record it died, so there is no need to bisect; but what
 * it died at may have been the last straw for a memory that others had filled. So that record is run again in a task
 * of its own, and is poison if the thread dies of it again. All this is known in memory alone: a process that ends meanwhile
 * leaves a checkpoint before the record, and its successor finds it in the same two steps.
 */
import type { KafkaMessage } from 'kafkajs'
import { FatalError } from './errors.ts'
import type { Intake } from './intake.ts'

/** Deaths within so many records of each other that do not come from single records: the state itself may not fit. */
const mostDeaths = 32
const apart = 1_000

export class Suspects {
  readonly #slot: string
  #suspect: number | undefined
  #deaths = 0
  #newest = -Infinity

  constructor(slot: string) {
    this.#slot = slot
  }

  /** @returns the messages of the next task, at most `most`; a suspect is alone in its. */
  take(intake: Intake, most: number): KafkaMessage[] {
    if (this.#suspect === undefined) return intake.batch(most)
    return intake.take(intake.before(this.#suspect, most) || 1)
  }

  /** The messages up to an offset went through. */
  passed(offset: number): void {
    if (offset >= (this.#suspect ?? Infinity)) this.#suspect = undefined
  }

  /**
   * The thread died at an offset.
   * @returns whether the record is poison
   * @throws FatalError where one record after the other does it: leaving all of them out would mend nothing
   */
  died(offset: number, cause: unknown): boolean {
    this.#deaths = offset - this.#newest > apart ? 1 : this.#deaths + 1
    this.#newest = offset
    if (this.#deaths > mostDeaths) {
      const hint = 'mend the step, or set THREAD_MEMORY_MB if its state needs more'
      throw new FatalError('state', `one record after the other kills the thread of ${this.#slot}`, { cause, hint })
    }
    const poison = this.#suspect === offset
    this.#suspect = poison ? undefined : offset
    return poison
  }
}

/** The error of a removal or mark that cannot be taken: without it, what stands would be wrong from then on. */
export function indispensable(slot: string, offset: number, cause: unknown): FatalError {
  const what = `${slot} cannot take the removal or mark at offset ${offset}, and cannot go on without it`
  return new FatalError('state', what, { cause, hint: 'mend the step' })
}
