/** Packs what was fetched into a task for a thread, with the schemas that the thread does not know yet. */
import type { KafkaMessage } from 'kafkajs'
import { schemaIdOf } from './codec.ts'
import { oneLine, PoisonError } from './errors.ts'
import { appendTimeOf } from './event-time.ts'
import { markOf } from './headers.ts'
import type { Intake } from './intake.ts'
import type { Registry } from './kafka/registry.ts'
import { FrameWriter } from './packing.ts'
import { redriven as redrivenOrigin } from './position.ts'
import { packMark, packRecord, type Fault } from './slot-task.ts'

export interface PackedTask {
  readonly task: ArrayBuffer
  /** Named by the packed records by index. */
  readonly origins: readonly string[]
  /** Schemas that the records name and the thread does not know, and when the newest of them was appended, in milliseconds. */
  readonly unknown: ReadonlyMap<number, number>
  /** Messages seen before, or meant for another step, or known to be poison. */
  readonly dropped: number
  /** Of each packed record: where it stands, and the index of its origin. */
  readonly offsets: readonly number[]
  readonly originOf: readonly number[]
  /** Offsets of those that are known to be poison. */
  readonly poisoned: readonly number[]
  /** Of redriven copies: where the record stood first, by the offset of the copy. */
  readonly redriven: ReadonlyMap<number, number>
  /** Messages that are no records: whose headers cannot be understood, or that hold nothing. */
  readonly faults: readonly (Fault & { readonly origin: string })[]
}

const nothing = Buffer.alloc(0)
/** Said of a message without a value that is no watermark. */
export const noValue = 'the message has no value and is no mark'

/**
 * Packs the messages that are new; they then count as accepted.
 * @param poison offsets to leave out
 * @param learned ids of the schemas that the thread knows
 */
export function packTask(
  messages: readonly KafkaMessage[],
  intake: Intake,
  poison: ReadonlyMap<number, string>,
  learned: ReadonlySet<number>,
): PackedTask {
  const frames = new FrameWriter()
  const origins: string[] = []
  const known = new Map<string, number>()
  const unknown = new Map<number, number>()
  const offsets: number[] = []
  const originOf: number[] = []
  const poisoned: number[] = []
  const redriven = new Map<number, number>()
  const faults: (Fault & { readonly origin: string })[] = []
  let dropped = 0
  const indexOf = (origin: string): number => {
    let index = known.get(origin)
    if (index === undefined) known.set(origin, (index = origins.push(origin) - 1))
    return index
  }
  for (const message of messages) {
    const offset = Number(message.offset)
    const admitted = intake.accepts(message)
    if (admitted === undefined || poison.has(offset)) {
      dropped++
      if (admitted !== undefined) poisoned.push(offset)
      continue
    }
    if (admitted instanceof PoisonError) {
      faults.push({ offset, origin: '', reason: 'poison', code: admitted.code, error: oneLine(admitted) })
      continue
    }
    const { origin, original } = admitted
    if (original !== undefined) redriven.set(offset, original)
    const appended = appendTimeOf(message)
    const mark = original === undefined ? markOf(message.headers) : undefined
    if (mark !== undefined) {
      packMark(frames, offset, indexOf(mark.origin), appended, mark)
      continue
    }
    const { value } = message
    if (value === null) {
      faults.push({ offset, origin, reason: 'poison', code: 'undecodable', error: noValue })
      continue
    }
    const id = schemaIdOf(value)
    if (id !== undefined && !learned.has(id)) unknown.set(id, Number(message.timestamp))
    const index = indexOf(original === undefined ? origin : redrivenOrigin + origin)
    offsets.push(offset)
    originOf.push(index)
    packRecord(frames, offset, index, appended, message.key ?? nothing, value)
  }
  return { task: frames.finish(), origins, unknown, dropped, offsets, originOf, poisoned, redriven, faults }
}

/** @returns those of the schemas that the registry knows; one that was just registered may take seconds to be seen. */
export async function readSchemas(
  registry: Registry,
  unknown: ReadonlyMap<number, number>,
): Promise<[id: number, schema: string][]> {
  const read = [...unknown].map(async ([id, appended]): Promise<[number, string][]> => {
    const schema = await registry.schema(id, appended)
    return schema === undefined ? [] : [[id, schema]]
  })
  return (await Promise.all(read)).flat()
}
