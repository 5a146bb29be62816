/** Decides what becomes of the records that a processor's task could not read or process, and remembers those it left out. */
import type { KafkaMessage } from 'kafkajs'
import { Decoder, schemaIdOf } from './codec.ts'
import type { Topic } from './definitions.ts'
import type { Intake } from './intake.ts'
import type { Registry } from './kafka/registry.ts'
import type { LetterFault } from './publisher.ts'
import type { Outcome, Refusals } from './refusals.ts'
import type { Fault } from './faults.ts'
import type { TaskResult } from './slot-task.ts'
import type { PackedTask } from './task-packer.ts'

export interface TaskFaultsOptions {
  readonly topic: Topic
  readonly registry: Registry
  readonly intake: Intake
}

export class TaskFaults {
  readonly #options: TaskFaultsOptions
  /** Records to leave out, since what they do cannot be undone, and their ids; they are in the DLQ. */
  readonly #poison = new Map<number, string>()

  constructor(options: TaskFaultsOptions) {
    this.#options = options
  }

  /** Offsets of the records to leave out, and their ids. */
  get poison(): ReadonlyMap<number, string> {
    return this.#poison
  }

  /** A record that killed its thread, or left it in disorder, is left out from now on. */
  async condemn({ offset, id }: Fault, messages: readonly KafkaMessage[]): Promise<void> {
    const message = messages.find((one) => Number(one.offset) === offset)
    this.#poison.set(offset, id ?? (await this.#idIn(message)))
  }

  /** What stands before an offset is stored. */
  stored(offset: number): void {
    for (const poison of this.#poison.keys()) if (poison < offset) this.#poison.delete(poison)
  }

  /**
   * Decides whether what is at fault are records.
   * @param missed ids of schemas that the registry did not know
   * @returns the faults, in the order of the log
   * @throws FatalError where it is the step, or what it stands on
   */
  async judge(
    refusals: Refusals,
    packed: PackedTask,
    answer: TaskResult,
    missed: readonly number[],
  ): Promise<readonly LetterFault[]> {
    const { leftOut } = this.#options.intake
    for (const id of answer.struck) leftOut.strikeId(id)
    for (const offset of packed.poisoned) leftOut.add(offset, this.#poison.get(offset) ?? '')
    if (answer.faults.length + packed.faults.length === 0) {
      refusals.allTaken(packed.origins, answer.records)
      return []
    }
    const faults = [...packed.faults, ...answer.faults].toSorted((a, b) => a.offset - b.offset)
    if (faults.some(({ code }) => code === 'undecodable')) await this.#options.registry.assertOwnSchemas(missed)
    const refused = new Map(faults.filter(isOfRecord).map((fault) => [fault.offset, fault]))
    refusals.judge(outcomesOf(packed, refused))
    return faults.map((fault): LetterFault => {
      const original = packed.redriven.get(fault.offset)
      if (isOfRecord(fault)) leftOut.add(original ?? fault.offset, fault.id ?? '')
      return original === undefined ? fault : { ...fault, original }
    })
  }

  /** @returns the id of a record that killed its thread, as far as it can be read; empty otherwise. */
  async #idIn(message: KafkaMessage | undefined): Promise<string> {
    const value = message?.value ?? Buffer.alloc(0)
    const decoder = new Decoder<{ readonly id?: string }>({ ...this.#options.topic, key: () => '' })
    const id = schemaIdOf(value)
    const schema = id === undefined ? undefined : await this.#options.registry.schema(id)
    if (id === undefined || schema === undefined) return ''
    try {
      decoder.learn(id, schema)
      return decoder.decode(value).id ?? ''
    } catch {
      return ''
    }
  }
}

/** Whether a fault says that its record was left out: one that came late was processed, wake-ups and inputs folded again are others. */
const isOfRecord = ({ reason, wakeUp, refold }: Fault): boolean =>
  reason !== 'late' && wakeUp === undefined && refold === undefined

/** What became of each record of a batch, in the order of the log. */
function outcomesOf(packed: PackedTask, refused: ReadonlyMap<number, Fault>): Outcome[] {
  const { offsets, originOf, origins, faults } = packed
  const records = offsets.map((offset, at): Outcome => ({ offset, origin: origins[originOf[at] ?? 0] ?? '', refused: refused.get(offset) })) // prettier-ignore
  const misplaced = faults.map((fault): Outcome => ({ offset: fault.offset, origin: fault.origin, refused: fault }))
  return [...records, ...misplaced].toSorted((a, b) => a.offset - b.offset)
}
