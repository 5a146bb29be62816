/**
 * Writes slots whole to state.snapshots.v1, for the day when Redis has lost them: chunks, then a manifest, without which the
 * chunks do not count. A snapshot's name holds the token of its writer: what an overtaken one still writes mixes with nothing.
 */
import { crc32 } from 'node:zlib'
import { topics } from '../../../schemas/topics.ts'
import type { StateSnapshot } from '../../../schemas/types.ts'
import { Encoder } from '../codec.ts'
import type { Context } from '../definitions.ts'
import { placeHeaders } from '../headers.ts'
import type { Accumulator } from '../kafka/accumulator.ts'
import { Partitioner, type Names } from '../kafka/client.ts'
import { sequencePosition } from '../position.ts'
import type { RedisStore, SlotName, SnapshotNote, StoredSlot } from './redis-store.ts'

/** Half of what a message may have on most brokers. */
export const chunkBytes = 512 * 1024
const lengthBytes = 4
const partitioner = new Partitioner(topics.stateSnapshots)
const none = Buffer.alloc(0)

/** How a slot is called in the topic. */
export const slotText = ({ step, topic, partition }: SlotName): string => `${step}:${topic}:${partition}`

/** Where the chunks and manifests of a slot stand, whatever their keys are. */
export const partitionOf = (slot: SlotName): number => partitioner.of(slotText(slot))

/** Key of a chunk, or of the manifest, which has the number behind the last chunk's. */
export const keyOf = (slot: SlotName, name: string, chunk: number): string => `${slotText(slot)}/${name}/${chunk}`

/** @returns slot, name of the snapshot and chunk, or undefined where the key is none of ours. */
export function readKey(key: string): { slot: string; name: string; chunk: number } | undefined {
  const [slot, token, number, chunk] = key.split('/')
  if (slot === undefined || chunk === undefined) return undefined
  return { slot, name: `${token}/${number}`, chunk: Number(chunk) }
}

export interface SnapshotWriterOptions {
  readonly context: Context
  /** The step whose slots are written. */
  readonly step: string
  readonly names: Names
  readonly store: RedisStore
  /** Of its own, since a checkpoint waits for all that the step's other one has. */
  readonly accumulator: Pick<Accumulator, 'append' | 'flushed'>
  readonly schemaIds: ReadonlyMap<string, number>
}

/** Writes the slots of one step, one after the other: a slot is in memory while it is written. */
export class SnapshotWriter {
  readonly #options: SnapshotWriterOptions
  readonly #topic: string
  readonly #encoder: Encoder
  #last: Promise<unknown> = Promise.resolve()
  #made = 0
  #sent = 0

  constructor(options: SnapshotWriterOptions) {
    this.#options = options
    this.#topic = options.names.topic(topics.stateSnapshots)
    this.#encoder = new Encoder(options.schemaIds)
  }

  /**
   * Writes a slot as it is stored now, and then takes the snapshots before out of the topic.
   * @returns the offset of the snapshot, or undefined where the slot is not held under `token` any more
   * @throws what Redis throws; the next snapshot clears away what this one has left
   */
  write(slot: SlotName, token: string): Promise<number | undefined> {
    const written = this.#last.then(() => this.#write(slot, token))
    this.#last = written.catch(() => {})
    return written
  }

  async #write(slot: SlotName, token: string): Promise<number | undefined> {
    const { store, context, step } = this.#options
    const held = await store.held(slot, token)
    if (held?.offset === undefined) return undefined
    const number = ++this.#made
    const begun: SnapshotNote = { name: `${token}/${number}`, offset: held.offset, chunks: chunksOf(held), takenAt: undefined } // prettier-ignore
    const ts = context.now()
    const about = { ts, slot: slotText(slot), token, number, offset: held.offset, appendTime: held.appendTime ?? -1 }
    if (!(await store.noteSnapshot(slot, token, begun))) return undefined
    if (!(await this.#sendAll(slot, about, held, begun.chunks))) return undefined
    for (const { name, chunks } of held.snapshots) {
      // The manifest first: chunks without it count for nothing.
      for (let chunk = chunks; chunk >= 0; chunk--) this.#send(slot, about.token, keyOf(slot, name, chunk), null)
    }
    await this.#options.accumulator.flushed()
    const gone = held.snapshots.map(({ name }) => name)
    const noted = await store.noteSnapshot(slot, token, { ...begun, takenAt: Math.floor(ts / 1_000) }, gone)
    context.metrics.snapshots.inc({ step, outcome: 'written' })
    return noted ? held.offset : undefined
  }

  /** @returns false where the slot was lost meanwhile: what is left to be sent would only be in the way. */
  async #sendAll(slot: SlotName, about: About, held: StoredSlot, chunks: number): Promise<boolean> {
    const { store, accumulator } = this.#options
    const name = `${about.token}/${about.number}`
    const send = async (chunk: number, checksum: number, bytes: Buffer): Promise<void> => {
      const id = keyOf(slot, name, chunk)
      const record: StateSnapshot = { id, ...about, chunk, chunks, checksum, bytes }
      this.#send(slot, about.token, id, this.#encoder.encode(topics.stateSnapshots, record))
      await accumulator.flushed()
    }
    let [chunk, checksum] = [0, 0]
    for (const bytes of cut(textsOf(held))) {
      checksum = crc32(bytes, checksum)
      await send(chunk++, checksum, bytes)
      if ((await store.owner(slot)).token !== about.token) return false
    }
    await send(chunk, checksum, none)
    return true
  }

  #send(slot: SlotName, token: string, key: string, value: Buffer | null): void {
    const place = { origin: `${slotText(slot)}/${token}`, position: sequencePosition(++this.#sent) }
    const message = { key, value, headers: placeHeaders(place) }
    this.#options.accumulator.append(this.#topic, partitionOf(slot), message, true)
  }
}

/** What all messages of a snapshot say. */
type About = Pick<StateSnapshot, 'ts' | 'slot' | 'token' | 'number' | 'offset' | 'appendTime'>

/** The content of a slot as texts: how many positions, their origins and texts, then fields and texts. */
function* textsOf({ positions, fields }: Content): Generator<string> {
  yield String(positions.length)
  for (const pair of positions) yield* pair
  for (const pair of fields) yield* pair
}

type Content = Pick<StoredSlot, 'positions' | 'fields'>

function chunksOf(content: Content): number {
  let bytes = 0
  for (const text of textsOf(content)) bytes += lengthBytes + Buffer.byteLength(text)
  return Math.ceil(bytes / chunkBytes)
}

/** Texts, each behind its length, in chunks that are full but for the last. */
function* cut(texts: Iterable<string>): Generator<Buffer> {
  let chunk = Buffer.allocUnsafe(chunkBytes)
  let at = 0
  for (const text of texts) {
    const length = Buffer.allocUnsafe(lengthBytes)
    length.writeUInt32BE(Buffer.byteLength(text))
    for (let rest of [length, Buffer.from(text)]) {
      while (rest.length > 0) {
        const copied = rest.copy(chunk, at)
        at += copied
        rest = rest.subarray(copied)
        if (at < chunkBytes) continue
        yield chunk
        chunk = Buffer.allocUnsafe(chunkBytes)
        at = 0
      }
    }
  }
  if (at > 0) yield chunk.subarray(0, at)
}

/** @returns what the chunks hold, or undefined where they are not those that the manifest was written for. */
export function joined(chunks: readonly Uint8Array[], checksum: number): Content | undefined {
  const bytes = Buffer.concat(chunks)
  if (crc32(bytes) !== checksum) return undefined
  let at = 0
  const text = (): string => {
    const start = at + lengthBytes
    at = start + bytes.readUInt32BE(at)
    return bytes.toString('utf8', start, at)
  }
  const pair = (): [string, string] => [text(), text()]
  const positions = Array.from({ length: Number(text()) }, pair)
  const fields: [string, string][] = []
  while (at < bytes.length) fields.push(pair())
  return { positions, fields }
}
