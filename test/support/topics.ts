/** How tests ask where topics end, cut them and take them away: what brokers refuse for a moment is asked again. */
import assert from 'node:assert/strict'
import type { Admin } from 'kafkajs'
import { loadConfig } from '../../workers/runtime/config.ts'
import { createKafka, createNames } from '../../workers/runtime/kafka/client.ts'
import { LogEnds, type End } from '../../workers/runtime/kafka/log-ends.ts'
import { answerMs, untilAnswered } from '../../workers/runtime/kafka/until-answered.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { eventually } from './servers.ts'

/** @returns where each partition of a topic begins and ends, in order. */
export async function endsOf(admin: Admin, topic: string): Promise<readonly End[]> {
  const ends = await new LogEnds(async () => admin, { patienceMs: answerMs }).all(topic)
  return ends.toSorted((a, b) => a.partition - b.partition)
}

/** Deletes what stands before an offset. */
export async function cutTopic(admin: Admin, topic: string, partition: number, offset: number): Promise<void> {
  // The client has to know the leaders before it deletes.
  await endsOf(admin, topic)
  const partitions = [{ partition, offset: String(offset) }]
  await untilAnswered(`Cutting ${topic}`, () => admin.deleteTopicRecords({ topic, partitions }))
}

/**
 * Deletes a topic, and resolves when the broker has heard of it: the controller answers earlier, and until then the broker
 * takes messages and answers for the old log.
 */
export async function deleteTopic(admin: Admin, topic: string): Promise<void> {
  await untilAnswered(`Deleting ${topic}`, () => admin.deleteTopics({ topics: [topic] }))
  await eventually(async () => {
    const names = await untilAnswered('Asking for the topics', () => admin.listTopics())
    assert.ok(!names.includes(topic), `${topic} is still there`)
  })
}

/**
 * Resolves when the groups of steps have no members. A process that has ended may have left its group a moment too late; a
 * killed one leaves it after its session's time-out.
 * @param env of the installation
 */
export async function groupsEmpty(env: Readonly<Record<string, string>>, steps: readonly string[]): Promise<void> {
  const config = loadConfig({ ...env, LOG_LEVEL: 'silent' }, { require: ['kafka'] })
  const admin = createKafka(config, createLogger(config, 'groups')).admin()
  const groups = steps.map((step) => createNames(config.namespace).group(step))
  await admin.connect()
  try {
    await eventually(
      async () => {
        const answer = await untilAnswered('Asking for the members', () => admin.describeGroups(groups))
        const members = answer.groups.map((group) => `${group.groupId} ${group.members.length}`)
        assert.deepEqual(members.toSorted(), groups.map((group) => `${group} 0`).toSorted())
      },
      { timeoutMs: config.sessionTimeoutMs + answerMs },
    )
  } finally {
    await admin.disconnect()
  }
}
