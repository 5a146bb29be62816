/** What a dirty run did on purpose, by which its audit knows what must have been left out. */
import type { Topic } from '../../../workers/runtime/definitions.ts'
import { mostInARow } from '../../../workers/runtime/refusals.ts'
import { isChosen, type RecordPlace, type TestErrors } from '../../../workers/runtime/test-errors.ts'
import { isMadeUp, type Letter } from '../letters.ts'

export interface DirtOptions {
  /** The records at which steps threw. */
  readonly records?: TestErrors['records']
  /** From where on they did so no more: the ends of the logs then, by topic and partition. */
  readonly until?: ReadonlyMap<string, number>
  /** What steps left out that threw at everything for a while, as their stores say; by task. */
  readonly buggy?: ReadonlyMap<string, ReadonlySet<number>>
  /** Steps that threw at everything for a while. */
  readonly buggySteps?: readonly string[]
}

export const taskName = (step: string, topic: string, partition: number): string => `${step}:${topic}:${partition}`

const none: ReadonlySet<number> = new Set()

export class Dirt {
  readonly #options: DirtOptions

  constructor(options: DirtOptions = {}) {
    this.#options = options
  }

  /** Whether a step has a list of records at which it throws. */
  chooses(place: RecordPlace, step: string): boolean {
    return this.#options.records?.[place].includes(step) === true
  }

  /** Whether a step threw at a record of that id. */
  threw(place: RecordPlace, step: string, id: string, topic: Topic, partition: number, offset: number): boolean {
    const until = this.#options.until?.get(`${topic.name}:${partition}`) ?? Infinity
    return offset < until && isChosen(this.#options.records, place, step, id)
  }

  /** Offsets that a task left out while its step was buggy. */
  leftOut(step: string, topic: Topic, partition: number): ReadonlySet<number> {
    return this.#options.buggy?.get(taskName(step, topic.name, partition)) ?? none
  }

  /** @returns tasks that left out as many records, while their step was buggy, as it takes to be broken */
  differences(letters: readonly Letter[]): string[] {
    const byBug = letters.filter((letter) => this.wasBuggy(letter.step) && letter.code === 'unprocessable' && isMadeUp(letter) && !isChosen(this.#options.records, 'process', letter.step, letter.recordId ?? '')) // prettier-ignore
    const tasks = Map.groupBy(byBug, ({ step, topic, partition }) => taskName(step, topic, partition))
    return [...tasks].filter(([, { length }]) => length >= mostInARow).map(([task, { length }]) => `${task} left out ${length} records that it had taken before`) // prettier-ignore
  }

  /** Whether a step threw at everything for a while: a letter of that time may be of a record that was taken later. */
  wasBuggy(step: string): boolean {
    return this.#options.buggySteps?.includes(step) === true
  }
}
