/**
 * The reference of the whole line: one process of plain kafkajs and pg that does nothing with the trades but carry them.
 * Frame → topic → row, and every so many frames over two further topics → another row. node bare-line.ts <url of streams>;
 * without a URL it only waits, as the reference of an idle process.
 */
import { Kafka, Partitioners, logLevel, type EachBatchPayload, type Producer } from 'kafkajs'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import WebSocket from 'ws'
import { loadConfig } from '../../workers/runtime/config.ts'
import { lineTopics as topics } from './names.ts'

const [url] = process.argv.slice(2)
/** One trade in so many is carried on, about as many as raise an alert. */
const alertEvery = 75
const lingerMs = 5
const config = loadConfig(process.env, { require: ['kafka', 'database'] })
// Not createKafka, which mends kafkajs.
const kafka = new Kafka({ brokers: [...config.kafkaBrokers], logLevel: logLevel.WARN })
const producer = kafka.producer({ allowAutoTopicCreation: false, createPartitioner: Partitioners.DefaultPartitioner })
const database = new pg.Pool({ connectionString: config.databaseUrl, max: 4 })

/** Sends what has come within the linger, one awaited send at a time. */
class Outlet {
  readonly #producer: Producer
  readonly #topic: string
  #waiting: string[] = []
  #timer: NodeJS.Timeout | undefined
  #sending = false

  constructor(to: Producer, topic: string) {
    this.#producer = to
    this.#topic = topic
  }

  add(value: string): void {
    this.#waiting.push(value)
    if (this.#sending || this.#timer !== undefined) return
    this.#timer = setTimeout(() => void this.#send(), lingerMs)
  }

  async #send(): Promise<void> {
    this.#timer = undefined
    this.#sending = true
    while (this.#waiting.length > 0) {
      const messages = this.#waiting.splice(0, 500).map((value) => ({ key: value.slice(0, 8), value, partition: 0 }))
      await this.#producer.send({ topic: this.#topic, acks: -1, messages })
    }
    this.#sending = false
  }
}

async function read(group: string, topic: string, eachBatch: (payload: EachBatchPayload) => Promise<void>) {
  const consumer = kafka.consumer({ groupId: `bare-${group}-${process.pid}`, maxWaitTimeInMs: 250 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: false })
  const joined = new Promise<void>((resolve) => consumer.on(consumer.events.GROUP_JOIN, () => resolve()))
  await consumer.run({ eachBatch })
  await joined
}

const store =
  (table: string) =>
  async ({ batch }: EachBatchPayload): Promise<void> => {
    const client = await database.connect()
    const rows = batch.messages.map(({ value }) => `${value?.toString().replace(' ', '\t') ?? ''}\n`)
    await pipeline([rows.join('')], client.query(copyFrom(`COPY ${table} (received_at, trade) FROM STDIN`)))
    client.release()
  }
const carry = (outlet: Outlet, every: number) => {
  let count = 0
  return async ({ batch }: EachBatchPayload): Promise<void> => {
    for (const { value } of batch.messages) if (count++ % every === 0) outlet.add(value?.toString() ?? '')
  }
}

await producer.connect()
const [first, second, third] = topics.map((topic) => new Outlet(producer, topic))
if (first === undefined || second === undefined || third === undefined) throw new Error('three topics are needed')
await Promise.all([
  read('rows', topics[0], store('bench_rows')),
  read('second', topics[0], carry(second, alertEvery)),
  read('third', topics[1], carry(third, 1)),
  read('outbox', topics[2], store('bench_outbox_rows')),
])
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send?.({ cpuSeconds: (user + system) / 1e6, bytes: process.memoryUsage.rss() })
})
if (url !== undefined) {
  const socket = new WebSocket(url)
  socket.on('message', (data) => {
    const receivedAt = new Date().toISOString()
    const frame: { data?: { e?: string } } = JSON.parse(Buffer.isBuffer(data) ? data.toString() : '{}')
    if (frame.data?.e === 'trade') first.add(`${receivedAt} ${JSON.stringify(frame.data)}`)
  })
  await new Promise((resolve) => socket.once('open', resolve))
}
process.send?.('ready')
