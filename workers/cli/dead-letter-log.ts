/** Reads dlq.v1 as its readers should: each dead letter once. */
import { topics } from '../../schemas/topics.ts'
import type { DeadLetter } from '../../schemas/types.ts'
import type { Installation } from '../runtime/installation.ts'
import { followTopic } from '../runtime/kafka/read.ts'
import { MessageReader } from './message-reader.ts'
import { assertTopics } from './topics-plan.ts'

export interface FiledLetter {
  readonly letter: DeadLetter
  /** Where it stands in dlq.v1. */
  readonly partition: number
  readonly offset: number
}

/** Calls `each` with every dead letter, oldest first; one that was written again, after a restart or reset, is passed over. */
export async function readDeadLetters(
  servers: Installation,
  each: (filed: FiledLetter) => Promise<void> | void,
): Promise<void> {
  const { kafka, names, registry } = servers
  const admin = await servers.admin()
  await assertTopics(admin, names, [topics.deadLetters])
  const topic = names.topic(topics.deadLetters)
  const ends = await servers.ends.all(topic)
  const stretches = ends.map(({ partition, low, high }) => ({ partition, from: low, to: high }))
  const reader = new MessageReader(topics.deadLetters, registry)
  const seen = new Set<string>()
  await followTopic({ kafka, admin, names }, topic, stretches, async (message, partition) => {
    const content = await reader.read(message)
    if (content.kind !== 'record' || seen.has(content.record.id)) return
    seen.add(content.record.id)
    await each({ letter: content.record, partition, offset: Number(message.offset) })
  })
}
