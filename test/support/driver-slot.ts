/** One slot of the test driver: reads a partition's log in tasks, is stored, cut off and opened again as in production. */
import type { Micros, Processor, Topic } from '../../workers/runtime/definitions.ts'
import { schemaText } from '../../workers/runtime/codec.ts'
import { headerFault, markHeaders, placeHeaders } from '../../workers/runtime/headers.ts'
import { FrameWriter } from '../../workers/runtime/packing.ts'
import { emissionPosition, Positions, type Placed } from '../../workers/runtime/position.ts'
import { packMark, packRecord, readOutputs, SlotTask, type Fault } from '../../workers/runtime/slot-task.ts'
import type { Mark } from '../../workers/runtime/state/engine.ts'

/** A message of a log. */
export interface Message {
  readonly key: string
  readonly value: Buffer | null
  readonly place: Placed | undefined
  readonly mark: Mark | undefined
  /** When it was appended. */
  readonly appended: Micros
}

/** What a slot needs of its driver. */
export interface SlotHost {
  readonly ids: ReadonlyMap<string, number>
  settings(step: Processor): unknown
  log(topic: Topic, partition: number): readonly Message[]
  push(topic: Topic, message: Message): void
  fault(fault: Fault & { step: string }): void
}

/**
 * What happens to a slot after a task: 'checkpoint' stores it; 'restart' stores it, throws it away and opens it again; 'crash'
 * opens it again as it was stored last, so that what came since is done twice.
 */
export type Cut = 'checkpoint' | 'restart' | 'crash'

export interface SlotPlan {
  readonly batch: number
  /** @param tasks that the slot has run */
  after(tasks: number): Cut | undefined
}

/** What is wrong with a message's key and headers, as production would see them. */
function faultOf({ key, value, place, mark }: Message, positions: Positions): string | undefined {
  const marked = mark === undefined ? undefined : markHeaders(mark, place?.position)
  const fault = headerFault({ headers: marked ?? (place && placeHeaders(place)), key, value })
  return fault ?? (place && positions.fault(place))
}

/** Packs the messages that are new into a task, as the slots of production do; those whose place cannot be believed are faults. */
export function packTask(
  messages: readonly Message[],
  offset: number,
  positions: Positions,
): { task: ArrayBuffer; origins: string[]; faults: Fault[] } {
  const frames = new FrameWriter()
  const origins: string[] = []
  const faults: Fault[] = []
  for (const [index, message] of messages.entries()) {
    const { key, value, place, mark, appended } = message
    const error = faultOf(message, positions)
    if (error !== undefined) {
      faults.push({ offset: offset + index, reason: 'poison', code: 'unstamped', error })
      continue
    }
    if (place !== undefined && !positions.accept(place)) continue
    const origin = mark?.origin ?? place?.origin ?? ''
    const at = origins.includes(origin) ? origins.indexOf(origin) : origins.push(origin) - 1
    if (mark !== undefined) packMark(frames, offset + index, at, appended, mark)
    else if (value !== null) packRecord(frames, offset + index, at, appended, Buffer.from(key), value)
  }
  return { task: frames.finish(), origins, faults }
}

/**
 * The messages that a task's packed outputs are, each with the topic that it goes to.
 * @param appendedAt when what follows from the input at an offset is appended
 */
export function* messagesOf(
  step: Processor,
  origin: string,
  outputs: ArrayBuffer,
  appendedAt: (offset: number) => Micros = () => 0,
): Generator<{ topic: Topic; message: Message }> {
  for (const output of readOutputs(outputs)) {
    const topic = step.outputs[output.topic]
    if (topic === undefined) throw new Error(`${step.name} emits to a topic that is none of its outputs`)
    const mark = output.mark === undefined ? undefined : { ...output.mark, origin }
    const value = output.value === null ? null : Buffer.from(output.value)
    const place = { origin, position: emissionPosition(0, output.offset, output.index) }
    yield { topic, message: { key: output.key, value, place, mark, appended: appendedAt(output.offset) } }
  }
}

export class DriverSlot {
  readonly step: Processor
  readonly name: string
  readonly #topic: Topic
  readonly #partition: number
  readonly #host: SlotHost
  readonly #plan: SlotPlan
  #saved = { fields: new Map<string, string>(), positions: new Map<string, string>(), offset: 0 }
  #positions = new Positions()
  #task: SlotTask
  #offset = 0
  #tasks = 0

  constructor(step: Processor, topic: Topic, partition: number, host: SlotHost, plan: SlotPlan) {
    this.step = step
    this.name = `${step.name}:${topic.name}:${partition}`
    this.#topic = topic
    this.#partition = partition
    this.#host = host
    this.#plan = plan
    this.#task = this.#open()
  }

  /** @returns whether there was anything to do. */
  run(): boolean {
    const log = this.#host.log(this.#topic, this.#partition)
    if (this.#offset >= log.length) return false
    const messages = log.slice(this.#offset, this.#offset + this.#plan.batch)
    const first = this.#offset
    const { task, origins, faults } = packTask(messages, first, this.#positions)
    this.#offset += messages.length
    const result = this.#task.run(task, origins)
    if (result.crash !== undefined) throw new Error(`${this.step.name}: ${result.crash.error}`)
    for (const fault of [...faults, ...result.faults]) this.#host.fault({ ...fault, step: this.step.name })
    // What follows is appended at once.
    const appendedAt = (offset: number): Micros => messages[offset - first]?.appended ?? 0
    for (const { topic, message } of messagesOf(this.step, this.name, result.outputs, appendedAt))
      this.#host.push(topic, message)
    const cut = this.#plan.after(++this.#tasks)
    if (cut !== undefined) this.cut(cut)
    return true
  }

  cut(cut: Cut): void {
    if (cut !== 'crash') this.#checkpoint()
    if (cut !== 'checkpoint') this.#task = this.#open()
  }

  /** Stores the slot. @returns the stored fields */
  fields(): ReadonlyMap<string, string> {
    this.#checkpoint()
    return this.#saved.fields
  }

  #checkpoint(): void {
    const { fields, positions } = this.#saved
    for (const [field, text] of this.#task.changes()) {
      if (text === null) fields.delete(field)
      else fields.set(field, text)
    }
    for (const [origin, text] of this.#positions.changes()) positions.set(origin, text)
    this.#saved.offset = this.#offset
  }

  #open(): SlotTask {
    const { fields, positions, offset } = this.#saved
    this.#offset = offset
    this.#positions = new Positions(positions)
    const task = new SlotTask({
      processor: this.step,
      topic: this.#topic,
      settings: this.#host.settings(this.step),
      schemaIds: this.#host.ids,
      // A store gives its fields in any order.
      stored: [...fields].toReversed(),
    })
    task.learn([[this.#host.ids.get(this.#topic.name) ?? 0, schemaText(this.#topic.name)]])
    return task
  }
}
