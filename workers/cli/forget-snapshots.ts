/** Takes the snapshots of slots out of state.snapshots.v1, so that nothing brings back what a person has given up. */
import { topics } from '../../schemas/topics.ts'
import type { Installation } from '../runtime/installation.ts'
import { append } from '../runtime/kafka/make-topics.ts'
import type { SlotName } from '../runtime/state/redis-store.ts'
import { partitionOf } from '../runtime/state/snapshots.ts'

/** Messages of one send. */
const most = 1_000

/** @throws RetryableError where the brokers do not take it: some of the snapshots may be left */
export async function forgetSnapshots(servers: Installation, slots: readonly SlotName[]): Promise<void> {
  const producer = await servers.producer()
  const topic = servers.names.topic(topics.stateSnapshots)
  for (const slot of slots) {
    const keys = await servers.snapshotReader.keys(slot)
    const messages = keys.map((key) => ({ key, value: null, partition: partitionOf(slot) }))
    while (messages.length > 0) await append(producer, { topic, messages: messages.splice(0, most) })
  }
}
