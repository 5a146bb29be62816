/**
 * What a run without faults would have written: each processor is run over what its input topics hold, from the first message
 * to the last in one go, and every message that it emits, with its key, bytes and place, is compared with the topics.
 */
import { createHash } from 'node:crypto'
import type { Processor, Topic } from '../../workers/runtime/definitions.ts'
import { markHeaders } from '../../workers/runtime/headers.ts'
import { Partitioner } from '../../workers/runtime/kafka/client.ts'
import type { Registry } from '../../workers/runtime/kafka/registry.ts'
import { emissionPosition } from '../../workers/runtime/position.ts'
import { readOutputs } from '../../workers/runtime/slot-task.ts'
import type { Watch } from '../../workers/runtime/watch.ts'
import type { Dirt } from './dirty/dirt.ts'
import type { Entry } from './log.ts'
import { ReferenceSlot } from './reference-slot.ts'

/** Messages of an origin in a partition of an output topic, in order: position and digest. */
type Sequences = Map<string, string[]>

export interface ReferenceOptions {
  readonly processors: readonly Processor[]
  readonly watch: Watch
  readonly registry: Registry
  readonly schemaIds: ReadonlyMap<string, number>
  readonly dirt: Dirt
}

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
    if (entry.accepted) this.#find(entry)
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
      const partitioners = step.outputs.map((output) => new Partitioner(output))
      slot = new ReferenceSlot(step, topic, partition, {
        ...this.#options,
        deadLetters: this.deadLetters,
        emitted: (outputs) => this.#expect(step, name, partitioners, outputs),
      })
      this.#slots.set(name, slot)
    }
    return slot
  }

  /** @param origin of what a task emits */
  #expect(step: Processor, origin: string, partitioners: readonly Partitioner[], outputs: ArrayBuffer): void {
    for (const output of readOutputs(outputs)) {
      const topic = step.outputs[output.topic]
      if (topic === undefined) throw new Error(`${step.name} emits to a topic that is none of its outputs`)
      const position = emissionPosition(0, output.offset, output.index)
      if (output.mark === undefined) {
        const partition = partitioners[output.topic]?.of(output.key) ?? 0
        add(this.#expected, topic, partition, origin, position, output.key, output.value, undefined)
        continue
      }
      const mark = markHeaders({ ...output.mark, origin }, position)['mark']?.toString()
      for (let partition = 0; partition < topic.partitions; partition++)
        add(this.#expected, topic, partition, origin, position, '', null, mark)
    }
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
