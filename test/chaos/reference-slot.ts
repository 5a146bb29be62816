/** One task of a processor in a run without faults: read from the first message to the last in one go. */
import type { KafkaMessage } from 'kafkajs'
import type { Processor, Topic } from '../../workers/runtime/definitions.ts'
import { Decoder } from '../../workers/runtime/codec.ts'
import { isRedriven } from '../../workers/runtime/headers.ts'
import { Intake } from '../../workers/runtime/intake.ts'
import type { Registry } from '../../workers/runtime/kafka/registry.ts'
import { SlotTask, type Fault } from '../../workers/runtime/slot-task.ts'
import { packTask, readSchemas, type PackedTask } from '../../workers/runtime/task-packer.ts'
import { madeUp } from '../../workers/runtime/test-errors.ts'
import type { Watch } from '../../workers/runtime/watch.ts'
import type { Dirt } from './dirty/dirt.ts'
import { learn } from './letters.ts'
import type { Entry } from './log.ts'

export interface SlotOptions {
  readonly watch: Watch
  readonly registry: Registry
  readonly schemaIds: ReadonlyMap<string, number>
  readonly dirt: Dirt
  /** Ids of the dead letters that a run without faults writes too. */
  readonly deadLetters: Set<string>
  /** Told what is emitted, packed. */
  emitted(outputs: ArrayBuffer): void
}

const batch = 2_000

export class ReferenceSlot {
  readonly name: string
  readonly intake: Intake
  readonly #step: Processor
  readonly #topic: Topic
  readonly #partition: number
  readonly #options: SlotOptions
  readonly #task: SlotTask
  readonly #decoder: Decoder<{ readonly id: string }>
  readonly #learned = new Set<number>()
  /** Offsets of the batch at hand that are redriven copies. */
  #redriven: ReadonlyMap<number, number> = new Map()
  #offset = 0
  #armed = false
  #messages: KafkaMessage[] = []

  constructor(step: Processor, topic: Topic, partition: number, options: SlotOptions) {
    this.name = `${step.name}:${topic.name}:${partition}`
    this.intake = new Intake(step.name)
    ;[this.#step, this.#topic, this.#partition, this.#options] = [step, topic, partition, options]
    this.#decoder = new Decoder<{ readonly id: string }>({ ...topic, key: () => '' })
    const leftOut = options.dirt.leftOut(step.name, topic, partition)
    this.#task = new SlotTask({
      processor: this.#throwing(step),
      topic,
      settings: step.settings?.(options.watch),
      schemaIds: options.schemaIds,
      stored: [],
      careful: true,
      at: (offset) => {
        this.#offset = offset
        this.#armed = leftOut.has(offset)
      },
    })
  }

  async take({ message }: Entry): Promise<void> {
    // What was refused before has to be known now.
    if (isRedriven(message.headers)) await this.run()
    this.#messages.push(message)
    if (this.#messages.length >= batch) await this.run()
  }

  async run(): Promise<void> {
    const messages = this.#messages
    this.#messages = []
    if (messages.length === 0) return
    const unreadable = await this.#unreadable(messages)
    const packed = packTask(messages, this.intake, unreadable, this.#learned)
    this.#redriven = packed.redriven
    for (const [id, schema] of await readSchemas(this.#options.registry, packed.unknown)) {
      this.#learned.add(id)
      this.#task.learn([[id, schema]])
    }
    const { outputs, faults, crash, struck } = this.#task.run(packed.task, packed.origins)
    if (crash !== undefined) throw new Error(`${this.name} at ${crash.offset}: ${crash.error}`)
    const { leftOut } = this.intake
    for (const id of struck) leftOut.strikeId(id)
    for (const offset of packed.poisoned) this.#refused(packed, { offset, reason: 'poison', code: 'undecodable', error: madeUp }) // prettier-ignore
    for (const fault of [...packed.faults, ...faults].toSorted((a, b) => a.offset - b.offset)) this.#refused(packed, fault) // prettier-ignore
    this.#options.emitted(outputs)
  }

  #refused({ redriven }: PackedTask, { offset, reason, code, wakeUp, id = '' }: Fault): void {
    const at = redriven.get(offset) ?? offset
    this.#options.deadLetters.add(`${this.name}:${at}:${wakeUp === undefined ? reason : `${code}:${wakeUp.key}`}`)
    if (reason !== 'late' && wakeUp === undefined) this.intake.leftOut.add(at, id)
  }

  /** @returns offsets of records that the step threw at when it decoded them */
  async #unreadable(messages: readonly KafkaMessage[]): Promise<Map<number, string>> {
    const { dirt, registry } = this.#options
    const unreadable = new Map<number, string>()
    if (!dirt.chooses('decode', this.#step.name)) return unreadable
    for (const { value, offset } of messages) {
      if (value === null) continue
      await learn(this.#decoder, value, registry)
      const id = idIn(this.#decoder, value)
      if (id !== undefined && dirt.threw('decode', this.#step.name, id, this.#topic, this.#partition, Number(offset)))
        unreadable.set(Number(offset), '')
    }
    return unreadable
  }

  /** The step as it was in the run, in which it threw at some records. */
  #throwing(step: Processor): Processor {
    const { dirt } = this.#options
    const taken = new WeakSet<object>()
    return {
      ...step,
      process: (record, state, emit, at) => {
        const id = 'id' in record && typeof record.id === 'string' ? record.id : ''
        const chosen = dirt.threw('process', step.name, id, this.#topic, this.#partition, this.#offset)
        const again = taken.has(record) || this.#redriven.has(this.#offset)
        if (!again && (this.#armed || chosen)) {
          this.#armed = false
          throw new Error(madeUp)
        }
        step.process(record, state, emit, at)
        taken.add(record)
      },
    }
  }
}

/** @returns the id of a record, undefined where it cannot be read */
function idIn(decoder: Decoder<{ readonly id: string }>, value: Buffer): string | undefined {
  try {
    return decoder.decode(value).id
  } catch {
    return undefined
  }
}
