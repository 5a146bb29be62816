/** What goes out when: messages that are in no hurry wait for others, but not for ever. */
import { Partitioners } from 'kafkajs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { loadConfig } from '../../../../workers/runtime/config.ts'
import { createContext } from '../../../../workers/runtime/context.ts'
import { Accumulator } from '../../../../workers/runtime/kafka/accumulator.ts'
import { createKafka } from '../../../../workers/runtime/kafka/client.ts'
import { WatchSchema } from '../../../../workers/runtime/watch.ts'
import { eventually, freshPrefix, servers } from '../../../support/servers.ts'

const topic = `${freshPrefix()}accumulator`
const message = { key: 'a', value: Buffer.from('b'), headers: {} }
/** Longer than the test may take: what comes of it comes too late. */
const never = '10000'

let close: () => Promise<void>
let accumulator: Accumulator
const acknowledged: number[] = []
beforeAll(async () => {
  const { brokers } = await servers()
  const config = loadConfig({ KAFKA_BROKERS: brokers, PRODUCER_LINGER_MS: never, LOG_LEVEL: 'silent' }, { require: [] })
  const kafka = createKafka(config, createContext(config, WatchSchema.parse({}), 'test').log)
  const [admin, producer] = [
    kafka.admin(),
    kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false }),
  ]
  await Promise.all([admin.connect(), producer.connect()])
  await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] })
  accumulator = new Accumulator({
    producer,
    config,
    onAcknowledged: (_topic, messages) => void acknowledged.push(messages),
    onRetry: () => {},
    onFatal: (error) => {
      throw error
    },
  })
  close = async () => {
    accumulator.close()
    await Promise.all([admin.disconnect(), producer.disconnect()])
  }
})
afterAll(() => close())

it('sends what is in no hurry after a while, whatever else may linger', async () => {
  for (let count = 0; count < 3; count++) accumulator.appendPatiently(topic, 0, message)
  await eventually(() => expect(acknowledged).toEqual([3]), { timeoutMs: 5_000 })
  accumulator.append(topic, 1, message)
  accumulator.appendPatiently(topic, 0, message, true)
  await eventually(() => expect(acknowledged).toEqual([3, 1, 1]), { timeoutMs: 5_000 })
})

it('sends it at once where somebody waits for it', async () => {
  accumulator.appendPatiently(topic, 0, message)
  await accumulator.flushed()
  expect(acknowledged).toEqual([3, 1, 1, 1])
})
