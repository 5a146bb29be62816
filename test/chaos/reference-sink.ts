/** One sink in a run without faults: writes what it takes, and leaves out what cannot be read or what the database refuses. */
import type { Sink, Topic } from '../../workers/runtime/definitions.ts'
import { Decoder } from '../../workers/runtime/codec.ts'
import type { Database } from '../../workers/runtime/database.ts'
import { PoisonError } from '../../workers/runtime/errors.ts'
import { Intake } from '../../workers/runtime/intake.ts'
import type { Registry } from '../../workers/runtime/kafka/registry.ts'
import { isRefusal, narrow, type Rejected } from '../../workers/runtime/sink-bisection.ts'
import { madeUp } from '../../workers/runtime/test-errors.ts'
import type { Dirt } from './dirty/dirt.ts'
import { learn } from './letters.ts'
import type { Entry } from './log.ts'

/** A record that waits to be written. */
interface Waiting {
  readonly record: object
  readonly partition: number
  /** Where it stood first. */
  readonly offset: number
}

type Found = { readonly id?: string; readonly removed?: boolean }

const batch = 2_000

export class ReferenceSink {
  readonly topic: Topic
  readonly deadLetters: string[] = []
  readonly #sink: Sink
  readonly #database: Database
  readonly #registry: Registry
  readonly #dirt: Dirt
  readonly #decoder: Decoder<Found>
  readonly #intakes = new Map<number, Intake>()
  #waiting: Waiting[] = []

  constructor(sink: Sink, database: Database, registry: Registry, dirt: Dirt) {
    this.topic = sink.input
    ;[this.#sink, this.#database, this.#registry, this.#dirt] = [sink, database, registry, dirt]
    this.#decoder = new Decoder<Found>({ ...sink.input, key: () => '' })
  }

  async take({ partition, offset, mark, message }: Entry): Promise<void> {
    const intake = this.#intakeOf(partition)
    const admitted = intake.accepts(message)
    if (admitted === undefined) return
    if (admitted instanceof PoisonError) return this.#refused(partition, offset, 'poison')
    const { original } = admitted
    if (original === undefined && mark !== undefined) return
    const at = original ?? offset
    // What was refused before has to be known now.
    if (original !== undefined) await this.flush()
    const record = message.value === null ? undefined : await this.#read(message.value, partition, offset, original)
    if (record === undefined) return this.#refused(partition, at, 'poison')
    if (record.removed === true && intake.leftOut.strikeId(record.id ?? '')) return
    this.#waiting.push({ record, partition, offset: at })
    if (this.#waiting.length >= batch) await this.flush()
  }

  async flush(): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    if (waiting.length === 0) return
    for (const { index } of await this.#write(waiting.map(({ record }) => record))) {
      const refused = waiting[index]
      if (refused !== undefined) this.#refused(refused.partition, refused.offset, 'rejected')
    }
  }

  /** @returns what the database refuses */
  #write(records: readonly object[]): Promise<readonly Rejected[]> {
    const { name: step, input } = this.#sink
    const slot = { step, topic: input.name, partition: 0 }
    return this.#database.use(async (connection) => {
      await connection.query('BEGIN')
      try {
        await this.#sink.write(records, connection)
        await connection.query('COMMIT')
        return []
      } catch (error) {
        if (!isRefusal(error)) throw error
        await connection.query('ROLLBACK')
        await connection.query('BEGIN')
        const refused = await narrow(connection, { sink: this.#sink, records, slot, accepted: true }, error)
        await connection.query('COMMIT')
        return refused
      }
    })
  }

  /** @returns undefined where it cannot be read, or the sink threw when it read it */
  async #read(value: Buffer, partition: number, offset: number, original?: number): Promise<Found | undefined> {
    try {
      await learn(this.#decoder, value, this.#registry)
      const record = this.#decoder.decode(value)
      const { id = '' } = record
      if (original === undefined && this.#dirt.threw('decode', this.#sink.name, id, this.topic, partition, offset))
        throw new Error(madeUp)
      return record
    } catch {
      return undefined
    }
  }

  #refused(partition: number, offset: number, reason: 'poison' | 'rejected'): void {
    this.deadLetters.push(`${this.#sink.name}:${this.topic.name}:${partition}:${offset}:${reason}`)
    this.#intakeOf(partition).leftOut.add(offset, '')
  }

  #intakeOf(partition: number): Intake {
    let intake = this.#intakes.get(partition)
    if (intake === undefined) this.#intakes.set(partition, (intake = new Intake(this.#sink.name)))
    return intake
  }
}
