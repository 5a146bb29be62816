/** The reference of processors: the plainest kafkajs loop from topic to topic. node bare-loop.ts copy|read <records>. */
import { randomUUID } from 'node:crypto'
import { Kafka, Partitioners, logLevel, type KafkaMessage } from 'kafkajs'
import { topics } from '../../schemas/topics.ts'
import { loadConfig } from '../../workers/runtime/config.ts'
import { Stopwatch, type Run } from './child.ts'
import { passedName } from './names.ts'

/** More messages per partition in one send make kafkajs slow. */
const messagesPerSend = 500
const [what = 'copy', total = '0'] = process.argv.slice(2)
const config = loadConfig(process.env, { require: ['kafka'] })
// Not createKafka, which mends kafkajs.
const kafka = new Kafka({ brokers: [...config.kafkaBrokers], logLevel: logLevel.WARN })
const producer = kafka.producer({ allowAutoTopicCreation: false, createPartitioner: Partitioners.DefaultPartitioner })
const consumer = kafka.consumer({ groupId: `bare-${randomUUID()}`, maxWaitTimeInMs: 250 })
const stopwatch = new Stopwatch(Number(total))
const { promise: done, resolve } = Promise.withResolvers<Run>()
let records = 0

async function copy(partition: number, messages: readonly KafkaMessage[]): Promise<void> {
  for (let at = 0; at < messages.length; at += messagesPerSend) {
    const part = messages
      .slice(at, at + messagesPerSend)
      .map(({ key, value, headers }) => ({ key, value, partition, ...(headers && { headers }) }))
    await producer.send({ topic: passedName, acks: -1, messages: part })
  }
}

await Promise.all([producer.connect(), consumer.connect()])
await consumer.subscribe({ topics: [topics.marketTrades.name], fromBeginning: true })
await consumer.run({
  partitionsConsumedConcurrently: topics.marketTrades.partitions,
  eachBatch: async ({ batch: { partition, messages } }) => {
    if (what === 'copy') await copy(partition, messages)
    for (const { value } of messages) if (value !== null) records++
    const run = stopwatch.reached(records)
    if (run !== undefined) resolve(run)
  },
})
console.log(JSON.stringify(await done))
await Promise.all([producer.disconnect(), consumer.disconnect()])
process.exit(0)
