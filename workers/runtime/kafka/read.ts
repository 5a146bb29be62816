/** Reads a stretch of a partition once, outside any step's group: for journals, `tail`, dead letters and replays. */
import { randomUUID } from 'node:crypto'
import type { Admin, Kafka, KafkaMessage } from 'kafkajs'
import { RetryableError } from '../errors.ts'
import type { Names } from './client.ts'

export interface Stretch {
  /** As the servers call it. */
  readonly topic: string
  readonly partition: number
  /** First offset. */
  readonly from: number
  /** Offset behind the last. */
  readonly to: number
}

export interface ReadOptions {
  readonly kafka: Kafka
  readonly admin: Admin
  readonly names: Names
}

/** Without news for so long while messages should be there, the read fails. */
const patienceMs = 15_000

/**
 * Reads the messages of a stretch in order; offsets that were compacted away are missing.
 * @throws Error where the broker does not deliver
 */
export async function readStretch(options: ReadOptions, stretch: Stretch): Promise<KafkaMessage[]> {
  const messages: KafkaMessage[] = []
  await followPartition(options, stretch, (message) => {
    messages.push(message)
  })
  return messages
}

/**
 * Calls `each` with every message of a stretch.
 * @param signal ends the reading early
 */
export async function followPartition(
  options: ReadOptions,
  { topic, ...stretch }: Stretch,
  each: (message: KafkaMessage) => void,
  signal?: AbortSignal,
): Promise<void> {
  await followTopic(options, topic, [stretch], each, signal)
}

/**
 * Calls `each` with every message of several stretches of a topic, each partition's in order; a stretch that ends at
 * Infinity goes on with what is appended.
 * @param signal ends the reading early
 * @throws Error where the broker does not deliver, and whatever `each` throws
 */
export async function followTopic(
  { kafka, admin, names }: ReadOptions,
  topic: string,
  stretches: readonly Omit<Stretch, 'topic'>[],
  each: (message: KafkaMessage, partition: number) => Promise<void> | void,
  signal?: AbortSignal,
): Promise<void> {
  const open = new Map(stretches.filter(({ from, to }) => from < to).map((stretch) => [stretch.partition, stretch]))
  if (open.size === 0 || signal?.aborted) return
  const groupId = `${names.group('reader')}-${randomUUID()}`
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, retry: { restartOnFailure: async () => false } })
  let timer: NodeJS.Timeout | undefined
  try {
    await consumer.connect()
    await new Promise<void>((resolve, reject) => {
      const wait = (): void => {
        clearTimeout(timer)
        const due = [...open.values()].find(({ to }) => to !== Infinity)
        if (due === undefined) return
        const what = `reading ${topic}:${due.partition} from ${due.from} brought nothing for ${patienceMs} ms`
        timer = setTimeout(() => reject(new RetryableError('timeout', what)), patienceMs)
      }
      wait()
      signal?.addEventListener('abort', () => resolve(), { once: true })
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        const others = (payload.memberAssignment[topic] ?? []).filter((partition) => !open.has(partition))
        if (others.length > 0) consumer.pause([{ topic, partitions: others }])
        for (const { partition, from } of open.values()) consumer.seek({ topic, partition, offset: String(from) })
      })
      const take = async (partition: number, messages: readonly KafkaMessage[], last: number): Promise<void> => {
        const stretch = open.get(partition)
        if (stretch === undefined) return
        wait()
        for (const message of messages) {
          const offset = Number(message.offset)
          if (signal?.aborted) return
          if (offset >= stretch.from && offset < stretch.to) await each(message, partition)
        }
        // A rejoin goes on from here.
        open.set(partition, { ...stretch, from: Math.max(stretch.from, last + 1) })
        if (last + 1 < stretch.to) return
        open.delete(partition)
        if (open.size === 0) resolve()
        else consumer.pause([{ topic, partitions: [partition] }])
      }
      consumer
        .subscribe({ topic, fromBeginning: true })
        .then(() =>
          consumer.run({
            autoCommit: false,
            eachBatch: ({ batch }) => take(batch.partition, batch.messages, Number(batch.lastOffset())).catch(reject),
          }),
        )
        .catch(reject)
    })
  } finally {
    clearTimeout(timer)
    await consumer.disconnect().catch(() => {})
    await admin.deleteGroups([groupId]).catch(() => {})
  }
}
