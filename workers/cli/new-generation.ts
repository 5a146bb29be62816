/** Makes a slot begin its input again in a generation of its own. */
import { topics } from '../../schemas/topics.ts'
import type { Topic } from '../runtime/definitions.ts'
import { RetryableError } from '../runtime/errors.ts'
import type { Installation } from '../runtime/installation.ts'
import { within } from '../runtime/kafka/until-answered.ts'
import { SnapshotWriter } from '../runtime/state/snapshots.ts'
import type { SlotName } from '../runtime/state/redis-store.ts'
import { storedGeneration } from '../runtime/state/version.ts'
import { createAccumulator, registerSchemas } from '../runtime/step-support.ts'
import { forgetSnapshots } from './forget-snapshots.ts'

/** @returns the generation of a slot, also where Redis has lost it. */
export async function generationOf(slot: SlotName, servers: Installation): Promise<number> {
  const { offset, fields } = await (await servers.store()).read(slot)
  const snapshot = offset === undefined ? await servers.snapshotReader.newest(slot, true) : undefined
  return Math.max(storedGeneration(fields), storedGeneration(snapshot?.fields ?? []))
}

/**
 * Puts a slot at its log's beginning, with nothing but its generation, and writes that down as its snapshot: were Redis to
 * lose it, the slot would fall back to an earlier generation, whose outputs all readers drop.
 * @throws RetryableError where a server does not answer or a worker claims the slot: then it is to be done again
 */
export async function beginGeneration(
  slot: SlotName,
  topic: Topic,
  generation: number,
  servers: Installation,
): Promise<void> {
  const { context, names, ends } = servers
  const store = await servers.store()
  const { low } = await ends.of(names.topic(topic), slot.partition)
  // From here on Redis knows the slot, and no snapshot is looked for.
  await store.begin(slot, low, generation)
  await forgetSnapshots(servers, [slot])
  const accumulator = await createAccumulator(servers, context, slot.step)
  const schemaIds = await registerSchemas(servers, [topics.stateSnapshots])
  const writer = new SnapshotWriter({ context, step: slot.step, names, store, accumulator, schemaIds })
  const { token } = await store.claim(slot)
  const writing = within(`Writing the snapshot of ${slot.topic}:${slot.partition}`, writer.write(slot, token))
  const written = await writing.finally(() => accumulator.close())
  if (written === undefined)
    throw new RetryableError('fence-lost', `a worker has claimed ${slot.topic}:${slot.partition} meanwhile`, {
      hint: 'stop the step and do it again',
    })
}
