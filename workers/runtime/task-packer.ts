/** Packs what was fetched into a task for a thread, with the schemas that the thread does not know yet. */
import type { KafkaMessage } from 'kafkajs'
import { schemaIdOf } from './codec.ts'
import { markOf } from './headers.ts'
import type { Intake } from './intake.ts'
import type { Registry } from './kafka/registry.ts'
import { FrameWriter } from './packing.ts'
import { packMark, packRecord } from './slot-task.ts'

export interface PackedTask {
  readonly task: ArrayBuffer
  /** Named by the packed records by index. */
  readonly origins: readonly string[]
  /** Schemas that the records name and the thread does not know, and when the newest of them was appended, in milliseconds. */
  readonly unknown: ReadonlyMap<number, number>
  /** Messages seen before, or meant for another step, or known to be poison. */
  readonly dropped: number
}

const nothing = Buffer.alloc(0)

/**
 * Packs the messages that are new; they then count as accepted.
 * @param poison offsets to leave out
 * @param learned ids of the schemas that the thread knows
 */
export function packTask(
  messages: readonly KafkaMessage[],
  intake: Intake,
  poison: ReadonlySet<number>,
  learned: ReadonlySet<number>,
): PackedTask {
  const frames = new FrameWriter()
  const origins: string[] = []
  const known = new Map<string, number>()
  const unknown = new Map<number, number>()
  let dropped = 0
  const indexOf = (origin: string): number => {
    let index = known.get(origin)
    if (index === undefined) known.set(origin, (index = origins.push(origin) - 1))
    return index
  }
  for (const message of messages) {
    const offset = Number(message.offset)
    const place = intake.accepts(message)
    if (place === undefined || poison.has(offset)) {
      dropped++
      continue
    }
    const mark = markOf(message.headers)
    if (mark !== undefined) {
      packMark(frames, offset, indexOf(mark.origin), mark)
      continue
    }
    const { value } = message
    const id = value === null ? undefined : schemaIdOf(value)
    if (id !== undefined && !learned.has(id)) unknown.set(id, Number(message.timestamp))
    packRecord(frames, offset, indexOf(place.origin), message.key ?? nothing, value ?? nothing)
  }
  return { task: frames.finish(), origins, unknown, dropped }
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
