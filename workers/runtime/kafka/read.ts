/** Reads a stretch of a partition once, outside any step's group: for journals, `tail`, dead letters and replays. */
import { randomUUID } from 'node:crypto'
import type { Admin, Kafka, KafkaMessage } from 'kafkajs'
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
  { kafka, admin, names }: ReadOptions,
  { topic, partition, from, to }: Stretch,
  each: (message: KafkaMessage) => void,
  signal?: AbortSignal,
): Promise<void> {
  if (from >= to) return
  const groupId = `${names.group('reader')}-${randomUUID()}`
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, retry: { restartOnFailure: async () => false } })
  let timer: NodeJS.Timeout | undefined
  try {
    await consumer.connect()
    await new Promise<void>((resolve, reject) => {
      const wait = (): void => {
        clearTimeout(timer)
        if (to === Infinity) return
        timer = setTimeout(
          () => reject(new Error(`reading ${topic}:${partition} from ${from} brought nothing for ${patienceMs} ms`)),
          patienceMs,
        )
      }
      wait()
      signal?.addEventListener('abort', () => resolve(), { once: true })
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        const others = (payload.memberAssignment[topic] ?? []).filter((other) => other !== partition)
        if (others.length > 0) consumer.pause([{ topic, partitions: others }])
        consumer.seek({ topic, partition, offset: String(from) })
      })
      consumer
        .subscribe({ topic, fromBeginning: true })
        .then(() =>
          consumer.run({
            autoCommit: false,
            eachBatch: async ({ batch }) => {
              if (batch.partition !== partition) return
              wait()
              for (const message of batch.messages) {
                const offset = Number(message.offset)
                if (offset >= from && offset < to) each(message)
              }
              if (Number(batch.lastOffset()) + 1 >= to) resolve()
            },
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

/** @returns first offset and the offset behind the last of a partition. */
export async function partitionEnds(
  admin: Admin,
  topic: string,
  partition: number,
): Promise<{ low: number; high: number }> {
  const ends = (await admin.fetchTopicOffsets(topic)).find((end) => end.partition === partition)
  return { low: Number(ends?.low ?? 0), high: Number(ends?.high ?? 0) }
}
