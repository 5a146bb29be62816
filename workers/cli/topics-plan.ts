/** What the broker's topics are, what they should be, and what has to change. */
import kafkajs, { type Admin } from 'kafkajs'
import type { Topic } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import type { Names } from '../runtime/kafka/client.ts'
import { untilAnswered } from '../runtime/kafka/until-answered.ts'

export interface Setting {
  readonly name: string
  readonly value: string
}

export interface SettingChange {
  readonly name: string
  readonly from: string
  readonly to: string
}

export interface TopicPlan {
  readonly topic: Topic
  /** As the broker calls it. */
  readonly name: string
  /** Partitions on the broker; undefined where the topic is missing. */
  readonly partitions: number | undefined
  readonly changes: readonly SettingChange[]
  /** All settings that the topic should have of its own, foreign ones kept: altering replaces them all. */
  readonly settings: readonly Setting[]
}

/** Compaction leaves the segment that is written alone, so a large one is read in full by whoever reads a compacted topic. */
const compactedSegmentBytes = 64 * 1024 * 1024

/** The settings that a topic is created with. */
export function settingsOf({ cleanup, maxMessageBytes }: Topic, replicationFactor: number): Setting[] {
  return [
    { name: 'cleanup.policy', value: cleanup.policy },
    ...(cleanup.policy === 'delete' ? [{ name: 'retention.ms', value: String(cleanup.retentionMs) }] : []),
    ...(cleanup.policy === 'compact' ? [{ name: 'segment.bytes', value: String(compactedSegmentBytes) }] : []),
    ...(maxMessageBytes === undefined ? [] : [{ name: 'max.message.bytes', value: String(maxMessageBytes) }]),
    // Event times of a replay lie in the past: by them retention would delete it at once.
    { name: 'message.timestamp.type', value: 'LogAppendTime' },
    { name: 'compression.type', value: 'producer' },
    // An acknowledgement from all replicas is worth as much as there must be.
    ...(replicationFactor > 2 ? [{ name: 'min.insync.replicas', value: '2' }] : []),
  ]
}

/** Compares the broker's topics with ours; nothing is changed. */
export async function planTopics(
  admin: Admin,
  names: Names,
  topics: readonly Topic[],
  replicationFactor: number,
): Promise<TopicPlan[]> {
  const partitions = await partitionCounts(admin)
  const present = topics.filter((topic) => partitions.has(names.topic(topic)))
  const described = await describe(
    admin,
    present.map((topic) => names.topic(topic)),
  )
  return topics.map((topic) => {
    const name = names.topic(topic)
    const wanted = settingsOf(topic, replicationFactor)
    const current = described.get(name) ?? []
    const changes = wanted.flatMap(({ name: setting, value }) => {
      // A broker that does not know a setting cannot be told to change it.
      const now = current.find((entry) => entry.name === setting)
      return now === undefined || now.value === value ? [] : [{ name: setting, from: now.value, to: value }]
    })
    const kept = current.filter(({ own, name: setting }) => own && !wanted.some((entry) => entry.name === setting))
    const settings = [...kept.map(({ name: setting, value }) => ({ name: setting, value })), ...wanted]
    return { topic, name, partitions: partitions.get(name), changes, settings }
  })
}

/** Partition counts cannot be changed in place: keys would move to other partitions, away from their order and state. */
export const partitionFaults = (plans: readonly Pick<TopicPlan, 'topic' | 'name' | 'partitions'>[]): string[] =>
  plans.flatMap(({ topic, name, partitions }) =>
    partitions === undefined || partitions === topic.partitions
      ? []
      : `${name} has ${partitions} partitions, expected ${topic.partitions}`,
  )

/** @throws FatalError that lists every topic that is missing or has another number of partitions */
export async function assertTopics(admin: Admin, names: Names, topics: readonly Topic[]): Promise<void> {
  const counts = await partitionCounts(admin)
  const found = [...new Set(topics)].map((topic) => ({
    topic,
    name: names.topic(topic),
    partitions: counts.get(names.topic(topic)),
  }))
  const missing = found.filter(({ partitions }) => partitions === undefined).map(({ name }) => `${name} is missing`)
  const wrong = partitionFaults(found)
  if (missing.length + wrong.length === 0) return
  const hint = missing.length > 0 ? 'run: npm start -- topics apply' : migrationHint
  throw new FatalError('topic', 'Looking for the topics', { details: [...missing, ...wrong], hint })
}

export const migrationHint =
  'a partition count is fixed at creation: make a new version of the topic, or delete and create it where its data may go'

/** Asks for all topics: asking for one that is missing can create it. */
async function partitionCounts(admin: Admin): Promise<Map<string, number>> {
  const { topics } = await untilAnswered('Asking the brokers for their topics', () => admin.fetchTopicMetadata())
  return new Map(topics.map(({ name, partitions }) => [name, partitions.length]))
}

interface Described extends Setting {
  /** Set for the topic itself, not inherited from the broker. */
  readonly own: boolean
}

/** The source of a setting that the topic itself has (KIP-226). */
const dynamicTopicConfig = 1

async function describe(admin: Admin, names: readonly string[]): Promise<Map<string, Described[]>> {
  if (names.length === 0) return new Map()
  const resources = names.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name }))
  const answer = await untilAnswered("Asking for the topics' settings", () =>
    admin.describeConfigs({ includeSynonyms: false, resources }),
  )
  return new Map(
    answer.resources.map(({ resourceName, configEntries }) => [
      resourceName,
      configEntries.map(({ configName, configValue, configSource }) => ({
        name: configName,
        value: configValue,
        own: Number(configSource) === dynamicTopicConfig,
      })),
    ]),
  )
}
