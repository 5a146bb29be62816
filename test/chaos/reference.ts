/**
 * What a run without faults would have written: each processor is run over what its input topics hold, from the first message
 * to the last in one go, and every message that it emits, with its key, bytes and place, is compared with the topics.
 */
import { createHash } from 'node:crypto'
import type { Processor, Topic } from '../../workers/runtime/definitions.ts'
import { schemaIdOf } from '../../workers/runtime/codec.ts'
import { appendTimeOf } from '../../workers/runtime/event-time.ts'
import { markHeaders } from '../../workers/runtime/headers.ts'
import { Partitioner } from '../../workers/runtime/kafka/client.ts'
import type { Registry } from '../../workers/runtime/kafka/registry.ts'
import { FrameWriter } from '../../workers/runtime/packing.ts'
import { emissionPosition } from '../../workers/runtime/position.ts'
import { packMark, packRecord, readOutputs, SlotTask } from '../../workers/runtime/slot-task.ts'
import type { Watch } from '../../workers/runtime/watch.ts'
import type { Entry } from './log.ts'

/** Messages of an origin in a partition of an output topic, in order: position and digest. */
type Sequences = Map<string, string[]>

export interface ReferenceOptions {
  readonly processors: readonly Processor[]
  readonly watch: Watch
  readonly registry: Registry
  readonly schemaIds: ReadonlyMap<string, number>
}

const batch = 2_000

export class Reference {
  /** Ids of the dead letters that a run without faults writes too. */
  readonly deadLetters = new Set<string>()
  readonly #options: ReferenceOptions
  readonly #slots = new Map<string, ReferenceSlot>()
  readonly #expected: Sequences = new Map()
  readonly #found: Sequences = new Map()

  constructor(options: ReferenceOptions) {
    this.#options = options
  }

  /** Takes the next message of any topic: as an input, and as an output to compare. */
  async take(entry: Entry): Promise<void> {
    if (!entry.accepted) return
    this.#find(entry)
    for (const step of this.#options.processors)
      if (step.inputs.includes(entry.topic)) await this.#slotOf(step, entry).take(entry)
  }

  /** Runs what is left. @returns what the topics lack, and what they hold beyond it */
  async differences(): Promise<string[]> {
    for (const slot of this.#slots.values()) await slot.run()
    const differences: string[] = []
    for (const name of new Set([...this.#expected.keys(), ...this.#found.keys()])) {
      const [expected, found] = [this.#expected.get(name) ?? [], this.#found.get(name) ?? []]
      const at = expected.findIndex((line, index) => line !== found[index])
      if (at < 0 && expected.length === found.length) continue
      const first = at < 0 ? expected.length : at
      const what = `message ${first} is ${found[first] ?? 'missing'}, without faults ${expected[first] ?? 'nothing'}`
      differences.push(`${name}: ${found.length} messages, without faults ${expected.length}; ${what}`)
    }
    return differences
  }

  /** How many messages were compared. */
  get compared(): number {
    return [...this.#expected.values()].reduce((sum, lines) => sum + lines.length, 0)
  }

  #find({ topic, partition, message, place }: Entry): void {
    const writer = place?.origin.split(':')[0]
    const step = this.#options.processors.find(({ name }) => name === writer)
    if (place === undefined || step === undefined || !step.outputs.includes(topic)) return
    const mark = message.headers?.['mark']?.toString()
    add(this.#found, topic, partition, place.origin, place.position, message.key?.toString() ?? '', message.value, mark)
  }

  #slotOf(step: Processor, { topic, partition }: Entry): ReferenceSlot {
    const name = `${step.name}:${topic.name}:${partition}`
    let slot = this.#slots.get(name)
    if (slot === undefined) {
      slot = new ReferenceSlot(step, topic, partition, this.#options, this.#expected, this.deadLetters)
      this.#slots.set(name, slot)
    }
    return slot
  }
}

class ReferenceSlot {
  readonly #step: Processor
  readonly #origin: string
  readonly #task: SlotTask
  readonly #registry: Registry
  readonly #partitioners: readonly Partitioner[]
  readonly #expected: Sequences
  readonly #deadLetters: Set<string>
  readonly #learned = new Set<number>()
  #entries: Entry[] = []

  constructor(
    step: Processor,
    topic: Topic,
    partition: number,
    options: ReferenceOptions,
    expected: Sequences,
    deadLetters: Set<string>,
  ) {
    // prettier-ignore
    this.#step = step
    this.#origin = `${step.name}:${topic.name}:${partition}`
    const settings = step.settings?.(options.watch)
    this.#task = new SlotTask({ processor: step, topic, settings, schemaIds: options.schemaIds, stored: [] })
    this.#registry = options.registry
    this.#partitioners = step.outputs.map((output) => new Partitioner(output))
    this.#expected = expected
    this.#deadLetters = deadLetters
  }

  async take(entry: Entry): Promise<void> {
    this.#entries.push(entry)
    if (this.#entries.length >= batch) await this.run()
  }

  async run(): Promise<void> {
    const entries = this.#entries
    this.#entries = []
    if (entries.length === 0) return
    const frames = new FrameWriter()
    const origins: string[] = []
    for (const { offset, message, mark, place } of entries) {
      const origin = mark?.origin ?? place?.origin ?? ''
      const index = origins.includes(origin) ? origins.indexOf(origin) : origins.push(origin) - 1
      const value = message.value ?? Buffer.alloc(0)
      const appended = appendTimeOf(message)
      if (mark !== undefined) packMark(frames, offset, index, appended, mark)
      else {
        await this.#learn(schemaIdOf(value))
        packRecord(frames, offset, index, appended, message.key ?? Buffer.alloc(0), value)
      }
    }
    const { outputs, faults, crash } = this.#task.run(frames.finish(), origins)
    if (crash !== undefined) throw new Error(`${this.#origin} at ${crash.offset}: ${crash.error}`)
    for (const { offset, reason } of faults) this.#deadLetters.add(`${this.#origin}:${offset}:${reason}`)
    this.#expect(outputs)
  }

  #expect(outputs: ArrayBuffer): void {
    for (const output of readOutputs(outputs)) {
      const topic = this.#step.outputs[output.topic]
      if (topic === undefined) throw new Error(`${this.#step.name} emits to a topic that is none of its outputs`)
      const position = emissionPosition(0, output.offset, output.index)
      if (output.mark === undefined) {
        const partition = this.#partitioners[output.topic]?.of(output.key) ?? 0
        add(this.#expected, topic, partition, this.#origin, position, output.key, output.value, undefined)
        continue
      }
      const mark = markHeaders({ ...output.mark, origin: this.#origin }, position)['mark']?.toString()
      for (let partition = 0; partition < topic.partitions; partition++)
        add(this.#expected, topic, partition, this.#origin, position, '', null, mark)
    }
  }

  async #learn(id: number | undefined): Promise<void> {
    if (id === undefined || this.#learned.has(id)) return
    this.#learned.add(id)
    const schema = await this.#registry.schema(id)
    if (schema !== undefined) this.#task.learn([[id, schema]])
  }
}

function add(
  sequences: Sequences,
  topic: Topic,
  partition: number,
  origin: string,
  position: string,
  key: string,
  value: Uint8Array | null,
  mark: string | undefined,
): void {
  // prettier-ignore
  const name = `${topic.name}:${partition} by ${origin}`
  const digest = createHash('sha1')
    .update(`${key}\n${mark ?? ''}\n`)
    .update(value ?? '')
    .digest('base64url')
  const line = `${position} ${mark === undefined ? key : `mark ${mark}`} ${digest}`
  const lines = sequences.get(name)
  if (lines === undefined) sequences.set(name, [line])
  else lines.push(line)
}
