/** Makes topics that can be used at once, and appends to topics that were just made. */
import type { Admin, ITopicConfig, Producer, ProducerRecord, RecordMetadata } from 'kafkajs'
import { RetryableError } from '../errors.ts'
import { untilAnswered } from './until-answered.ts'

/** A broker makes the logs of all partitions that it is told of one after the other, before it leads the first. */
const leadersMs = 60_000

/**
 * Creates topics, and resolves when the leader of every partition answers. Those that there are already are left as they are.
 * @throws what the brokers refuse with; RetryableError where they do not answer
 */
export async function makeTopics(admin: Admin, topics: readonly ITopicConfig[]): Promise<void> {
  // kafkajs can wait for leaders, but takes it for an error that a KRaft broker has not heard of a topic yet.
  await untilAnswered(`Creating ${topics.length} topics`, () =>
    admin.createTopics({ topics: [...topics], waitForLeaders: false }),
  )
  for (const { topic, numPartitions = 1 } of topics) {
    const ask = async (): Promise<void> => {
      const { length } = await admin.fetchTopicOffsets(topic)
      if (length < numPartitions)
        throw new RetryableError('unavailable', `${length} of ${numPartitions} partitions are known`)
    }
    await untilAnswered(`Waiting for the leaders of ${topic}`, ask, leadersMs)
  }
}

/**
 * Appends messages, acknowledged by all replicas. A broker that answers too late may hold them twice: for messages that count
 * once all the same.
 * @throws RetryableError where the brokers do not take them
 */
export function append(
  producer: Producer,
  record: Pick<ProducerRecord, 'topic' | 'messages' | 'compression'>,
): Promise<RecordMetadata[]> {
  return untilAnswered(`Appending to ${record.topic}`, () => producer.send({ ...record, acks: -1 }))
}
