/** An accumulator on the real broker whose sends can be seen. */
import { Partitioners } from 'kafkajs'
import { loadConfig } from '../../../../workers/runtime/config.ts'
import { createContext } from '../../../../workers/runtime/context.ts'
import { Accumulator } from '../../../../workers/runtime/kafka/accumulator.ts'
import { createKafka } from '../../../../workers/runtime/kafka/client.ts'
import { makeTopics } from '../../../../workers/runtime/kafka/make-topics.ts'
import { WatchSchema } from '../../../../workers/runtime/watch.ts'
import { servers } from '../../../support/servers.ts'

/** Longer than a test may take: what comes of it comes too late. */
const never = '10000'

/** @param topic is created, with two partitions */
export async function openSending(topic: string) {
  const { brokers } = await servers()
  const config = loadConfig({ KAFKA_BROKERS: brokers, PRODUCER_LINGER_MS: never, LOG_LEVEL: 'silent' }, { require: [] })
  const context = createContext(config, WatchSchema.parse({}), 'test')
  const kafka = createKafka(config, context.log)
  const admin = kafka.admin()
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false })
  await Promise.all([admin.connect(), producer.connect()])
  await makeTopics(admin, [{ topic, numPartitions: 2 }])
  await admin.disconnect()
  /** Messages of each send to a partition. */
  const sends: number[] = []
  const accumulator = new Accumulator({
    producer,
    config,
    onAcknowledged: (_topic, messages) => void sends.push(messages),
    onRetry: () => {},
    onFatal: (error) => {
      throw error
    },
  })
  const close = (): Promise<void> => {
    accumulator.close()
    return producer.disconnect()
  }
  return { kafka, accumulator, context, sends, close }
}

export type Sending = Awaited<ReturnType<typeof openSending>>
