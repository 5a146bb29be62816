/** Finds the newest complete snapshot of slots that Redis has lost. Slots that ask at the same time share one reading. */
import type { Admin, Kafka, KafkaMessage } from 'kafkajs'
import { topics } from '../../../schemas/topics.ts'
import type { StateSnapshot } from '../../../schemas/types.ts'
import { Decoder, schemaIdOf } from '../codec.ts'
import type { Names } from '../kafka/client.ts'
import type { LogEnds } from '../kafka/log-ends.ts'
import { followTopic } from '../kafka/read.ts'
import type { Registry } from '../kafka/registry.ts'
import type { SlotName, SnapshotNote, StoredSlot } from './redis-store.ts'
import { joined, partitionOf, readKey, slotText } from './snapshots.ts'

export interface SnapshotReaderOptions {
  readonly kafka: Kafka
  readonly names: Names
  /** Of the topics that the slots read. */
  readonly inputNames: Names
  readonly ends: LogEnds
  readonly registry: Registry
  admin(): Promise<Admin>
}

/** What a slot was when its snapshot was taken. */
export interface Snapshot extends StoredSlot {
  readonly offset: number
  /** When that was, in milliseconds. */
  readonly takenAt: number
}

/** Slots by name, the partitions where their snapshots stand. */
type Wanted = Map<string, number>

export class SnapshotReader {
  readonly #options: SnapshotReaderOptions
  readonly #topic: string
  readonly #decoder = new Decoder<StateSnapshot>(topics.stateSnapshots)
  #last: Promise<unknown> = Promise.resolve()
  #next: { readonly wanted: Wanted; readonly answer: Promise<ReadonlyMap<string, Found>> } | undefined

  constructor(options: SnapshotReaderOptions) {
    this.#options = options
    this.#topic = options.names.topic(topics.stateSnapshots)
  }

  /**
   * @param anyway looks also where the slot's partition holds nothing, which may have been made anew
   * @returns the complete snapshot with the highest offset, or undefined where there is none
   * @throws RetryableError where the brokers do not deliver
   */
  async newest(slot: SlotName, anyway = false): Promise<Snapshot | undefined> {
    const { ends, inputNames } = this.#options
    // Nothing can have been kept of a partition that never held anything.
    if (!anyway && (await ends.of(inputNames.topic(slot.topic), slot.partition)).high === 0) return undefined
    const { wanted, answer } = (this.#next ??= this.#enqueue())
    wanted.set(slotText(slot), partitionOf(slot))
    return newestOf((await answer).get(slotText(slot)))
  }

  /** @returns the keys of all that the topic holds of a slot. */
  async keys(slot: SlotName): Promise<string[]> {
    const keys = new Set<string>()
    await this.#follow([partitionOf(slot)], async (key, { value }) => {
      if (readKey(key)?.slot !== slotText(slot)) return
      if (value === null) keys.delete(key)
      else keys.add(key)
    })
    return [...keys]
  }

  #enqueue() {
    const wanted: Wanted = new Map()
    const answer = this.#last.then(() => {
      this.#next = undefined
      return this.#read(wanted)
    })
    this.#last = answer.catch(() => {})
    return { wanted, answer }
  }

  async #read(wanted: Wanted): Promise<ReadonlyMap<string, Found>> {
    const found = new Map<string, Found>()
    await this.#follow([...new Set(wanted.values())], async (key, { value }) => {
      const place = readKey(key)
      if (place === undefined || !wanted.has(place.slot)) return
      const { slot, name, chunk } = place
      const snapshots = found.get(slot) ?? new Map<string, Parts>()
      found.set(slot, snapshots)
      const parts = snapshots.get(name) ?? new Map<number, StateSnapshot>()
      snapshots.set(name, parts)
      if (value !== null) parts.set(chunk, await this.#decode(value))
      else {
        parts.delete(chunk)
        if (parts.size === 0) snapshots.delete(name)
      }
    })
    return found
  }

  async #follow(
    partitions: readonly number[],
    each: (key: string, message: KafkaMessage) => Promise<void>,
  ): Promise<void> {
    const { kafka, names, ends } = this.#options
    const stretches = await Promise.all(
      partitions.map(async (partition) => {
        const { low, high } = await ends.of(this.#topic, partition)
        return { partition, from: low, to: high }
      }),
    )
    const reading = { kafka, names, admin: await this.#options.admin() }
    await followTopic(reading, this.#topic, stretches, (message) => each(message.key?.toString() ?? '', message))
  }

  async #decode(value: Buffer): Promise<StateSnapshot> {
    const id = schemaIdOf(value)
    if (id !== undefined && !this.#decoder.knows(id)) {
      const schema = await this.#options.registry.schema(id)
      if (schema !== undefined) this.#decoder.learn(id, schema)
    }
    return this.#decoder.decode(value)
  }
}

/** The chunks of a snapshot, and the manifest behind them. */
type Parts = Map<number, StateSnapshot>
/** The snapshots of a slot by name. */
type Found = Map<string, Parts>

function newestOf(found: Found | undefined): Snapshot | undefined {
  const all = [...(found ?? [])].flatMap(([name, parts]) => {
    const [first] = parts.values()
    if (first === undefined) return []
    const { offset, chunks, ts } = first
    // Every chunk is there, and the manifest.
    const takenAt = parts.size > chunks ? Math.floor(ts / 1_000) : undefined
    const note: SnapshotNote = { name, offset, chunks, takenAt }
    return [{ note, parts }]
  })
  const snapshots = all.map(({ note }) => note)
  for (const { note, parts } of all.toSorted((a, b) => b.note.offset - a.note.offset)) {
    const { offset, takenAt } = note
    if (takenAt === undefined) continue
    const content = contentOf(parts, note.chunks)
    if (content !== undefined) return { ...content, offset, takenAt, snapshots }
  }
  return undefined
}

/** @returns undefined where the chunks are not those that the manifest was written for. */
function contentOf(parts: Parts, count: number): Omit<StoredSlot, 'offset' | 'snapshots'> | undefined {
  const manifest = parts.get(count)
  if (manifest === undefined) return undefined
  const chunks = Array.from({ length: count }, (_, chunk) => parts.get(chunk)?.bytes ?? new Uint8Array())
  const content = joined(chunks, manifest.checksum)
  if (content === undefined) return undefined
  return { ...content, appendTime: manifest.appendTime < 0 ? undefined : manifest.appendTime }
}
