/** A processor as its host and its thread run it, in one thread: intake, task, decoder, engine, outputs, dead letters. */
import type { KafkaMessage } from 'kafkajs'
import type { Processor, Topic } from '../../../workers/runtime/definitions.ts'
import { oneLine } from '../../../workers/runtime/errors.ts'
import { markOf } from '../../../workers/runtime/headers.ts'
import { Intake } from '../../../workers/runtime/intake.ts'
import { readOutputs, SlotTask, type Fault } from '../../../workers/runtime/slot-task.ts'
import { packTask } from '../../../workers/runtime/task-packer.ts'
import { schemaById, schemaIds } from './messages.ts'
import { Outbox, watch } from './outbox.ts'
import { Book, type Outcome, type Reader, type ReadingPlan } from './reader.ts'

/** What a checkpoint holds. */
interface Saved {
  readonly fields: ReadonlyMap<string, string>
  readonly positions: ReadonlyMap<string, string>
  /** How many messages and outputs it stands behind. */
  readonly at: number
  readonly outputs: number
}

const begin: Saved = { fields: new Map(), positions: new Map(), at: 0, outputs: 0 }

export class ProcessorReader implements Reader {
  readonly name: string
  readonly topic: string
  readonly isTable = false
  readonly #step: Processor
  readonly #input: Topic
  readonly #settings: unknown
  readonly #outbox: Outbox

  constructor(step: Processor, input: Topic) {
    this.name = step.name
    this.topic = input.name
    this.#step = step
    this.#input = input
    this.#settings = step.settings?.(watch)
    this.#outbox = new Outbox(step.name, input, step)
  }

  async read(messages: readonly KafkaMessage[], plan: ReadingPlan): Promise<Outcome> {
    const reading = new Reading(this.#step, this.#input, this.#settings, this.#outbox, messages)
    const { book } = reading
    for (let tasks = 1; !reading.done; tasks++) {
      const restarts = plan.restartEvery > 0 && tasks % plan.restartEvery === 0
      if (!reading.runTask(plan.batch, restarts)) break
    }
    book.faults.push(...(await this.#outbox.flush()))
    return book.outcome()
  }
}

/** One slot from its opening on. */
class Reading {
  readonly book = new Book()
  readonly #step: Processor
  readonly #input: Topic
  readonly #settings: unknown
  readonly #messages: readonly KafkaMessage[]
  readonly #outbox: Outbox
  readonly #poison = new Map<number, string>()
  #saved = begin
  #at = 0
  #careful = false
  #intake: Intake
  #task: SlotTask
  #learned = new Set<number>()
  /** Offsets that the present task has come to. */
  #taken: number[] = []

  constructor(step: Processor, input: Topic, settings: unknown, outbox: Outbox, messages: readonly KafkaMessage[]) {
    this.#step = step
    this.#input = input
    this.#settings = settings
    this.#messages = messages
    this.#outbox = outbox
    this.#intake = this.#newIntake()
    this.#task = this.#open()
  }

  get done(): boolean {
    return this.#at >= this.#messages.length
  }

  /**
   * @param restarts whether the slot is then stored, thrown away and opened again
   * @returns false where the step has ended
   */
  runTask(batch: number, restarts: boolean): boolean {
    const messages = this.#messages.slice(this.#at, this.#at + batch)
    try {
      this.book.measure(messages, () => {
        this.#run(messages)
        if (restarts) this.#restart()
      })
      return true
    } catch (error) {
      this.book.end(messages, oneLine(error))
      return false
    }
  }

  #restart(): void {
    const fields = new Map(this.#saved.fields)
    for (const [field, text] of this.#task.changes()) {
      if (text === null) fields.delete(field)
      else fields.set(field, text)
    }
    const positions = new Map([...this.#saved.positions, ...this.#intake.positions.changes()])
    this.#saved = { fields, positions, at: this.#at, outputs: this.book.outputs.length }
    this.#reopen()
  }

  #newIntake(): Intake {
    const intake = new Intake(this.#step.name)
    intake.reset([...this.#saved.positions])
    return intake
  }

  #open(): SlotTask {
    this.#learned = new Set()
    return new SlotTask({
      processor: this.#step,
      topic: this.#input,
      settings: this.#settings,
      schemaIds,
      // A store gives its fields in any order.
      stored: [...this.#saved.fields].toReversed(),
      careful: this.#careful,
      // Of a removal it is told twice.
      at: (offset) => void (this.#taken.at(-1) === offset || this.#taken.push(offset)),
    })
  }

  #reopen(): void {
    this.#at = this.#saved.at
    this.#intake = this.#newIntake()
    this.#task = this.#open()
  }

  #run(messages: readonly KafkaMessage[]): void {
    const { task, origins, unknown, dropped, faults } = packTask(messages, this.#intake, this.#poison, this.#learned)
    const schemas = [...unknown.keys()].flatMap((id): [number, string][] => {
      const text = schemaById.get(id)
      return text === undefined ? [] : [[id, text]]
    })
    this.#task.learn(schemas)
    for (const [id] of schemas) this.#learned.add(id)
    this.#taken = []
    const result = this.#task.run(task, origins)
    if (result.crash !== undefined) return this.#crashed(result.crash, messages)
    this.#outbox.publish({ ...result, faults: [...faults, ...result.faults] }, messages)
    for (const { offset, code } of faults) this.book.fate(offset, code)
    this.#account(messages, dropped + faults.length, result.records, result.faults)
    for (const { topic, offset, index, key, value, mark } of readOutputs(result.outputs)) {
      const target = this.#step.outputs[topic]?.name ?? 'no output of the step'
      this.book.outputs.push({
        offset,
        index,
        target,
        key,
        value,
        more: mark === undefined ? '' : JSON.stringify(mark),
      })
    }
    this.#at += messages.length
  }

  /** As in production: what came since the checkpoint is done again with care; if it throws all the same, it is left out. */
  #crashed(crash: Fault, messages: readonly KafkaMessage[]): void {
    if (this.#careful) {
      this.#poison.set(crash.offset, crash.id ?? '')
      this.#outbox.bury(crash, messages)
      this.book.fate(crash.offset, crash.code)
    }
    this.#careful = true
    for (const { offset } of this.#messages.slice(this.#saved.at)) {
      if (!this.#poison.has(Number(offset))) this.book.fates.delete(Number(offset))
    }
    this.book.outputs.length = this.#saved.outputs
    this.#reopen()
  }

  #account(messages: readonly KafkaMessage[], dropped: number, records: number, faults: readonly Fault[]): void {
    const taken = new Set(this.#taken)
    if (taken.size !== this.#taken.length) this.book.faults.push('a message was taken twice')
    if (taken.size + dropped !== messages.length)
      this.book.faults.push(`of ${messages.length} messages ${taken.size} were taken and ${dropped} dropped`)
    for (const fault of faults) {
      if (fault.wakeUp === undefined) this.book.fate(fault.offset, fault.code)
      else this.book.wakeUps.add(fault.wakeUp.key)
    }
    let counted = faults.filter(({ code, wakeUp }) => wakeUp === undefined && readable.has(code)).length
    for (const message of messages) {
      const offset = Number(message.offset)
      if (this.book.fates.has(offset)) continue
      const isRecord = taken.has(offset) && markOf(message.headers) === undefined
      if (!taken.has(offset)) this.book.fate(offset, 'dropped')
      else this.book.fate(offset, isRecord ? 'record' : 'mark')
      if (isRecord) counted++
    }
    if (counted !== records) this.book.faults.push(`the task counts ${records} records where ${counted} were read`)
  }
}

/** Codes of records that were read and are at fault for what they say. */
const readable = new Set(['late', 'unprocessable'])
