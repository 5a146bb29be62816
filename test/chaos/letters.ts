/** The dead letters of a run, beside those that a run without faults would have written. */
import { topics } from '../../schemas/topics.ts'
import type { DeadLetter } from '../../schemas/types.ts'
import { Decoder, schemaIdOf, schemaText } from '../../workers/runtime/codec.ts'
import type { Registry } from '../../workers/runtime/kafka/registry.ts'
import { madeUp } from '../../workers/runtime/test-errors.ts'
import type { Dirt } from './dirty/dirt.ts'
import type { Entry } from './log.ts'

/** What is kept of a letter. */
export type Letter = Pick<DeadLetter, 'id' | 'step' | 'topic' | 'partition' | 'offset' | 'code' | 'error' | 'recordId'>

const shown = 10

export class Letters {
  readonly #registry: Registry
  readonly #dirt: Dirt
  readonly #decoder = new Decoder<DeadLetter>(topics.deadLetters)
  readonly #found = new Map<string, Letter>()
  readonly #faults: string[] = []

  constructor(registry: Registry, dirt: Dirt) {
    this.#registry = registry
    this.#dirt = dirt
    this.#decoder.learn(0, schemaText(topics.deadLetters.name))
  }

  get all(): readonly Letter[] {
    return [...this.#found.values()]
  }

  async take({ topic, accepted, message: { value } }: Entry): Promise<void> {
    if (topic !== topics.deadLetters || !accepted || value === null) return
    await learn(this.#decoder, value, this.#registry)
    const { id, step, topic: of, partition, offset, code, error, recordId } = this.#decoder.decode(value)
    const before = this.#found.get(id)
    // A record may be refused in one way first and, sent again, in another.
    if (before !== undefined && before.code === code && !isMadeUp(before))
      this.#faults.push(`dlq.v1 holds ${id} twice: ${error}`)
    this.#found.set(id, { id, step, topic: of, partition, offset, code, error, recordId })
  }

  /** @param expected ids */
  differences(expected: ReadonlySet<string>): string[] {
    const surplus = this.all
      .filter((letter) => !expected.has(letter.id) && !(this.#dirt.wasBuggy(letter.step) && isMadeUp(letter)))
      .map(({ id, error }) => `dlq.v1 holds ${id}: ${error}`)
    const lacking = [...expected].filter((id) => !this.#found.has(id)).map((id) => `dlq.v1 lacks ${id}`)
    return [...this.#faults.slice(0, shown), ...surplus.slice(0, shown), ...lacking.slice(0, shown)]
  }
}

/** Whether a letter is of an error that the run itself had thrown. */
export const isMadeUp = ({ error }: Pick<Letter, 'error'>): boolean => error.includes(madeUp)

/** Makes a value readable. */
export async function learn(
  decoder: Pick<Decoder<object>, 'knows' | 'learn'>,
  value: Buffer,
  registry: Registry,
): Promise<void> {
  const id = schemaIdOf(value)
  if (id === undefined || decoder.knows(id)) return
  const schema = await registry.schema(id)
  if (schema === undefined) return
  try {
    decoder.learn(id, schema)
  } catch {
    // A schema of another subject: its records stay unreadable.
  }
}
