/** Append times as the broker gives them: required of inputs, and what records are judged by. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { topics } from '../../../../schemas/topics.ts'
import { readDeadLetters } from '../../../../workers/cli/dead-letter-log.ts'
import { withInstallation } from '../../../../workers/cli/servers.ts'
import { Encoder } from '../../../../workers/runtime/codec.ts'
import { loadConfig } from '../../../../workers/runtime/config.ts'
import type { Micros } from '../../../../workers/runtime/definitions.ts'
import { explain } from '../../../../workers/runtime/errors.ts'
import { placeHeaders } from '../../../../workers/runtime/headers.ts'
import type { Installation } from '../../../../workers/runtime/installation.ts'
import { assertLogAppendTime } from '../../../../workers/runtime/kafka/append-time.ts'
import { Partitioner } from '../../../../workers/runtime/kafka/client.ts'
import { sequencePosition } from '../../../../workers/runtime/position.ts'
import { runSteps } from '../../../../workers/runtime/run.ts'
import { WatchSchema } from '../../../../workers/runtime/watch.ts'
import { buildCandles } from '../../../../workers/build-candles.ts'
import { readTopic } from '../../../chaos/log.ts'
import { eventually, freshPrefix, servers } from '../../../support/servers.ts'
import { minute, second, trade } from '../../records.ts'
import { command, type Env } from '../../cli/harness.ts'

const key = topics.marketTrades.key(trade(0, 0, 1))
const partition = new Partitioner(topics.marketTrades).of(key)
const namespace = freshPrefix().replace(/-$/, '')
const name = `${namespace}.market.trades.v1`
let env: Env = {}

const installed = <T>(work: (installation: Installation) => Promise<T>): Promise<T> =>
  withInstallation(loadConfig({ ...env, LOG_LEVEL: 'silent' }), WatchSchema.parse({}), {}, work)

beforeAll(async () => {
  const { brokers, registryUrl, redisUrl, databaseUrl } = await servers()
  env = { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, REDIS_URL: redisUrl, DATABASE_URL: databaseUrl, NAMESPACE: namespace, CHECKPOINT_MS: '50', THREADS: '1' } // prettier-ignore
  // As somebody else's tool may have made it.
  await installed(async (installation) => {
    const configEntries = [{ name: 'message.timestamp.type', value: 'CreateTime' }]
    const admin = await installation.admin()
    await admin.createTopics({ topics: [{ topic: name, numPartitions: 4, configEntries }], waitForLeaders: false })
  })
})
afterAll(() =>
  installed(async (installation) => {
    const admin = await installation.admin()
    const ours = (await admin.listTopics()).filter((topic) => topic.startsWith(`${namespace}.`))
    await admin.deleteTopics({ topics: ours })
  }),
)

const fault = `Looking for append times: ${name} has message.timestamp.type CreateTime, expected LogAppendTime`

it('an input that keeps the times of its senders is refused at the start, told by topics list, and mended by topics apply', async () => {
  const refusal = () => installed((installation) => runSteps([buildCandles], installation)).then(() => '', explain)
  await eventually(async () => expect(await refusal()).toBe(`${fault}: run: npm start -- topics apply`))
  const list = await command(['topics', 'list'], { env })
  expect(list.filter((line) => line.startsWith(name))).toEqual([
    expect.stringContaining('message.timestamp.type: CreateTime, should be LogAppendTime'),
  ])
  const applied = await command(['topics', 'apply'], { env })
  expect(applied).toContain(`change ${name}, message.timestamp.type: CreateTime → LogAppendTime`)
  await eventually(() =>
    installed(async (installation) => {
      const { names } = installation
      await assertLogAppendTime(await installation.admin(), names, [topics.marketTrades, topics.marketCandles])
    }),
  )
  const after = await command(['topics', 'list'], { env })
  expect(after.filter((line) => line.startsWith(name))).toEqual([expect.not.stringContaining('should be')])
}, 60_000)

it('a record ahead of its append goes to the DLQ, and a copy is judged by when it was appended first', async () => {
  await command(['schemas', 'register'], { env })
  const now = Date.now() * 1_000
  const send = async (installation: Installation, trades: [id: number, ts: Micros, appendedMs?: number][]) => {
    const encoder = new Encoder(await installation.registry.registerAll([topics.marketTrades]))
    const messages = trades.map(([id, ts, appended]) => {
      const value = Buffer.from(encoder.encode(topics.marketTrades, trade(id, ts, 100)))
      const place = placeHeaders({ origin: key, position: sequencePosition(id) })
      // What a sender calls the message's time counts for nothing.
      const headers = appended === undefined ? place : { ...place, appended: String(appended) }
      return { key, partition, value, headers, timestamp: String(Math.round(ts / 1_000)) }
    })
    await (await installation.producer()).send({ topic: name, messages, acks: -1 })
  }
  await installed(async (installation) => {
    await send(installation, [
      [1, now - 10 * minute],
      [2, now + 1_440 * minute],
      [3, now - 9 * minute],
      [4, now - 7 * minute, Math.round((now - 9 * minute) / 1_000)],
      [5, now - 8 * minute],
      [6, now + 30 * second],
    ])
    await runSteps([buildCandles], installation)
    const admin = await installation.admin()
    const store = await installation.store()
    await eventually(async () => {
      const { offset } = await store.read({ step: 'build-candles', topic: topics.marketTrades.name, partition })
      const end = (await admin.fetchTopicOffsets(name)).find((one) => one.partition === partition)
      expect(offset).toBe(Number(end?.high))
    })
  })
  const letters = await installed(readAll)
  expect(letters.dead).toEqual(['1 ahead poison', '3 ahead poison'])
  expect(letters.candles).toBeGreaterThanOrEqual(3)
}, 60_000)

async function readAll(installation: Installation): Promise<{ dead: string[]; candles: number }> {
  const { kafka, names } = installation
  const dead: string[] = []
  await readDeadLetters(
    installation,
    ({ letter: { offset, code, reason } }) => void dead.push(`${offset} ${code} ${reason}`),
  )
  let candles = 0
  await readTopic({ kafka, admin: await installation.admin(), names }, topics.marketCandles, ({ accepted, mark }) => {
    if (accepted && mark === undefined) candles++
  })
  return { dead, candles }
}
