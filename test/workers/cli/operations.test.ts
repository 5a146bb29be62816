import kafkajs, { type Producer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest'
import { z } from 'zod'
import { topics } from '../../../schemas/topics.ts'
import type { MarketTrade } from '../../../schemas/types.ts'
import { Encoder } from '../../../workers/runtime/codec.ts'
import { connectDatabase, type Database } from '../../../workers/runtime/database.ts'
import type { Topic } from '../../../workers/runtime/definitions.ts'
import { markHeaders, placeHeaders, type Headers } from '../../../workers/runtime/headers.ts'
import { Partitioner } from '../../../workers/runtime/kafka/client.ts'
import { sequencePosition } from '../../../workers/runtime/position.ts'
import { append as appendTo } from '../../../workers/runtime/kafka/make-topics.ts'
import { eventually, freshDatabase, freshPrefix, servers, type FreshDatabase } from '../../support/servers.ts'
import { groupsEmpty } from '../../support/topics.ts'
import { startWorker, type WorkerProcess } from '../../support/worker-process.ts'
import { command, failure, type Env } from './harness.ts'

const steps = 'build-candles,timescale-trades'
const key = 'binance-spot:BTC-USDT'
const origin = `${key}:trades`
const partition = new Partitioner(topics.marketTrades).of(key)
const start = Date.UTC(2024, 7, 8) * 1_000

let env: Env = {}
let own: FreshDatabase
let database: Database
let producer: Producer
let encoder: Encoder
let running: WorkerProcess | undefined

beforeAll(async () => {
  const { brokers, registryUrl, redisUrl } = await servers()
  own = await freshDatabase()
  env = {
    KAFKA_BROKERS: brokers,
    SCHEMA_REGISTRY_URL: registryUrl,
    DATABASE_URL: own.url,
    REDIS_URL: redisUrl,
    NAMESPACE: `${freshPrefix()}ops`,
    CHECKPOINT_MS: '50',
  }
  await command(['topics', 'apply'], { env })
  const ids = z
    .record(z.string(), z.number())
    .parse(JSON.parse((await command(['schemas', 'register', '--json'], { env })).join('')))
  encoder = new Encoder(
    new Map(Object.values<Topic>(topics).map(({ name }) => [name, ids[`${env['NAMESPACE']}.${name}-value`] ?? 0])),
  )
  expect(await command(['migrate'], { env })).toContain('applied 001_sinks.sql')
  expect(await command(['migrate'], { env })).toEqual(['nothing to apply'])
  database = await connectDatabase({ url: own.url, connections: 1 })
  producer = new kafkajs.Kafka({ brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING }).producer({
    allowAutoTopicCreation: false,
  })
  await producer.connect()
})

afterAll(async () => {
  await running?.kill()
  await producer?.disconnect()
  await database?.close()
  await own?.drop()
})

const run = async (args: string): Promise<string[]> => command(args.split(' '), { env })
const fail = async (args: string): Promise<string> => failure(args.split(' '), { env })
const trade = (number: number, size = '0.5'): MarketTrade => ({
  id: `${key}:${number}`,
  venue: 'binance-spot',
  symbol: 'BTC-USDT',
  ts: start + number * 500_000,
  receivedAt: start,
  tradeId: String(number),
  side: 'buy',
  price: '100',
  size,
})
const encode = (topic: Topic, record: object): Buffer => Buffer.from(encoder.encode(topic, record))

async function append(topic: Topic, at: number, value: Buffer | null, headers: Headers): Promise<void> {
  const messages = [{ partition: at, key, value, headers: Object.fromEntries(Object.entries(headers)) }]
  await appendTo(producer, { topic: `${env['NAMESPACE']}.${topic.name}`, messages })
}
const appendTrade = (number: number, value = encode(topics.marketTrades, trade(number))): Promise<void> =>
  append(topics.marketTrades, partition, value, placeHeaders({ origin, position: sequencePosition(number) }))

const Standing = z.array(
  z.object({
    topic: z.string(),
    partition: z.number(),
    stored: z.number().optional(),
    lag: z.number(),
    end: z.number(),
  }),
)
/** Where a step stands in the partition of the trades. */
async function standing(step: string) {
  const all = Standing.parse(JSON.parse((await run(`offsets show ${step} --json`)).join('')))
  return all.find((one) => one.partition === partition)
}
const caughtUp = (): Promise<void> =>
  eventually(async () => {
    for (const step of steps.split(',')) expect(await standing(step)).toMatchObject({ lag: 0 })
  })
const rows = async (): Promise<unknown> =>
  (await database.query('SELECT count(*) AS n, count(DISTINCT trade_id) AS ids FROM trades')).rows[0]

describe('operating a running pipeline', () => {
  it('starts the chosen steps, which work off what is there', async () => {
    for (let number = 0; number < 4; number++) await appendTrade(number)
    await appendTrade(4, encode(topics.marketTrades, trade(4)).fill(255, 5, 12))
    await append(
      topics.marketTrades,
      partition,
      encode(topics.marketTrades, trade(5, '1e999999')),
      placeHeaders({ origin, position: sequencePosition(5) }),
    )
    await append(
      topics.marketTrades,
      partition,
      null,
      markHeaders({ origin, time: start + 1_000_000, block: null, finalized: null, removed: false }, undefined),
    )
    running = startWorker(steps, env, 'file')
    await running.up
    await caughtUp()
    expect(await rows()).toEqual({ n: 4, ids: 4 })
  }, 60_000)

  it('tail prints records and marks, and what cannot be decoded as hex', async () => {
    const lines = await run('tail market.trades.v1 --from earliest --no-follow')
    expect(lines).toHaveLength(7)
    expect(lines[0]).toMatch(new RegExp(`^${partition}:0  ${key}  {"id":"${key}:0",.*"size":"0.5"}$`))
    expect(lines[4]).toMatch(/^\d:4 .* ! the value does not decode as market.trades.v1, schema \d+: .*: 0x00[0-9a-f]+$/)
    expect(lines[6]).toMatch(/~ binance-spot:BTC-USDT:trades has come to 2024-08-08T00:00:01.000Z$/)
  })

  it('tail chooses by place, number and key', async () => {
    const ids = (lines: string[]) => lines.flatMap((line) => /"id":"[^"]*:(\d+)"/.exec(line)?.[1] ?? [])
    expect(ids(await run(`tail market.trades.v1 --from earliest --limit 2 --key ${key}`))).toEqual(['0', '1'])
    expect(ids(await run('tail market.trades.v1 --from -5 --no-follow'))).toEqual(['2', '3', '5'])
    expect(await run('tail market.trades.v1 --from earliest --no-follow --key nobody')).toEqual([])
    const [line = ''] = await run('tail market.trades.v1 --from earliest --limit 1 --json')
    expect(JSON.parse(line)).toMatchObject({
      partition,
      offset: 0,
      key,
      headers: { origin, position: sequencePosition(0) },
      kind: 'record',
      record: trade(0),
    })
    expect((await run('tail market.trades.v1 --from earliest --limit 1 --headers'))[0]).toContain(
      `"origin":"${origin}"`,
    )
  })

  it('tail follows until it is stopped', async () => {
    const stop = new AbortController()
    const seen: string[] = []
    const onLine = (line: string): void => {
      seen.push(line)
      stop.abort()
    }
    const following = command(['tail', 'market.trades.v1', '--from', '-1'], { env, stop: stop.signal, onLine })
    await following
    expect(seen).toHaveLength(1)
  })

  it('state show lists keys and prints the state of one', async () => {
    const list = await run('state show build-candles')
    expect(list).toContainEqual(expect.stringMatching(new RegExp(`^market.trades.v1 +${partition}  ${key} `)))
    expect(list.at(-1)).toBe('1 keys in 1 of 4 partitions that have state')
    expect(JSON.parse((await run(`state show build-candles --key ${key}`)).join(''))).toMatchObject({
      topic: 'market.trades.v1',
      partition,
      key,
      origin,
      version: 1,
      newest: '2024-08-08T00:00:01.500Z',
    })
    expect(await fail('state show build-candles --key nobody')).toBe('build-candles keeps no state of nobody')
  })

  it('dlq list and show tell what failed where', async () => {
    const list = await run('dlq list --step timescale-trades')
    expect(list).toHaveLength(4)
    expect(list[1]).toContain(`timescale-trades:market.trades.v1:${partition}:4:poison`)
    expect(list[2]).toContain(`timescale-trades:market.trades.v1:${partition}:5:poison`)
    expect(list[3]).toBe('2 of 2 dead letters')
    expect(
      JSON.parse((await run(`dlq show timescale-trades:market.trades.v1:${partition}:5:poison`)).join('')),
    ).toMatchObject({
      step: 'timescale-trades',
      code: 'invalid',
      topic: 'market.trades.v1',
      origin,
      key,
      record: { tradeId: '5', size: '1e999999' },
    })
    const poison = await run(`dlq show timescale-trades:market.trades.v1:${partition}:4:poison`)
    expect(JSON.parse(poison.join(''))).toMatchObject({ reason: 'poison', hex: expect.stringMatching(/^00/) })
    expect(await fail('dlq show nobody')).toMatch(/^Looking for dead letters: no dead letter is called nobody/)
  })

  it('dlq redrive gives a record back to the step that left it out, once', async () => {
    await database.query(`ALTER TABLE trades ADD CONSTRAINT none_of_these CHECK (trade_id NOT IN ('6', '7'))`)
    await appendTrade(6)
    await appendTrade(7)
    await caughtUp()
    expect(await rows()).toEqual({ n: 4, ids: 4 })
    const id = (offset: number): string => `timescale-trades:market.trades.v1:${partition}:${offset}:rejected`
    expect(await run(`dlq redrive ${id(7)} --dry-run`)).toEqual([
      `${id(7)} → market.trades.v1:${partition}`,
      '1 dead letters would be sent',
    ])
    // What is refused again stays left out.
    expect((await run(`dlq redrive ${id(7)}`)).at(-1)).toBe('1 dead letters sent')
    await caughtUp()
    expect(await run(`dlq skip ${id(8)}`)).toContain('1 dead letters given up')
    await caughtUp()
    await database.query('ALTER TABLE trades DROP CONSTRAINT none_of_these')
    for (let time = 0; time < 2; time++) await run(`dlq redrive ${id(7)} ${id(8)}`)
    await caughtUp()
    expect(await rows()).toEqual({ n: 5, ids: 5 })
    expect((await database.query('SELECT record_offset FROM sink_left_out ORDER BY 1')).rows).toMatchObject([{ record_offset: 4 }, { record_offset: 5 }]) // prettier-ignore
    const [line = ''] = (await run('tail market.trades.v1 --from -1 --no-follow --json')).slice(-1)
    expect(JSON.parse(line)).toMatchObject({
      headers: { origin, position: sequencePosition(7), 'only-step': 'timescale-trades', 'left-out': '8' },
    })
    expect(await fail('dlq redrive nobody no-one')).toMatch(
      /2 faults\n  no dead letter is called nobody\n  no dead letter is called no-one/,
    )
  })

  it('dlq count tells how many there are of each kind', async () => {
    const counts = (await run('dlq count --json')).map((line): unknown => JSON.parse(line))
    expect(counts).toMatchObject([
      { step: 'build-candles', code: 'invalid', letters: 1 },
      { step: 'build-candles', code: 'undecodable', letters: 1 },
      { step: 'timescale-trades', code: 'invalid', letters: 1 },
      { step: 'timescale-trades', code: 'undecodable', letters: 1 },
      { step: 'timescale-trades', reason: 'rejected', code: 'refused', letters: 2 },
    ])
  })

  it('nothing is reset under a step that runs', async () => {
    expect(await fail('offsets reset timescale-trades --to earliest --yes')).toMatch(
      /^timescale-trades runs: its group has 1 members/,
    )
    expect(await fail('state reset build-candles --yes')).toMatch(/^build-candles runs: its group has 1 members/)
  })

  it('ends with 0 on SIGTERM', async () => {
    onTestFailed(() => running?.kill())
    running?.stop()
    expect(await running?.ended).toMatchObject({ code: 0 })
    await groupsEmpty(env, steps.split(','))
  })

  it('nothing is reset without a yes, nor to where there is no log', async () => {
    expect(await fail('offsets reset timescale-trades --to earliest')).toBe(
      'timescale-trades would move, partitions: 4: nothing was changed: add --yes to do it',
    )
    expect(await fail('state reset build-candles')).toBe(
      'build-candles would forget its state, partitions: 4: nothing was changed: add --yes to do it',
    )
    expect(await fail(`offsets reset timescale-trades --to 999 --partition ${partition} --yes`)).toMatch(
      /holds 0 to \d+, not 999$/,
    )
  })

  it('a sink moved back writes each row once, a processor without state repeats itself', async () => {
    await run('offsets reset timescale-trades --to earliest --yes')
    expect(await standing('timescale-trades')).toMatchObject({ stored: 0 })
    await database.query('DELETE FROM trades WHERE trade_id = $1', ['2'])
    expect(await run(`state reset build-candles --partition ${partition} --yes`)).toEqual([
      `market.trades.v1:${partition} forgotten`,
    ])
    expect((await run('state show build-candles')).at(-1)).toBe('0 keys in 0 of 4 partitions that have state')
    const candles = await run('tail market.candles.v1 --from earliest --no-follow --json')
    const again = startWorker(steps, env)
    await again.up
    await caughtUp()
    // The log brings what had been given up, and its copies count beside it no more than before.
    expect(await rows()).toEqual({ n: 6, ids: 6 })
    expect((await run('state show build-candles')).at(-1)).toBe('1 keys in 1 of 4 partitions that have state')
    again.stop()
    expect(await again.ended).toMatchObject({ code: 0 })
    await groupsEmpty(env, steps.split(','))
    const places = (lines: string[]) =>
      lines
        .map((line) =>
          z
            .looseObject({ headers: z.looseObject({ position: z.string() }), record: z.unknown() })
            .parse(JSON.parse(line)),
        )
        .map(({ headers, record }) => [headers.position, record])
    const twice = await run('tail market.candles.v1 --from earliest --no-follow --json')
    expect(places(twice)).toEqual([...places(candles), ...places(candles)])
  }, 60_000)

  it('offsets reset moves a processor and its lag', async () => {
    await run('offsets reset build-candles --to latest --yes')
    expect(await standing('build-candles')).toMatchObject({ lag: 0 })
    await run(`offsets reset build-candles --to 3 --partition ${partition} --topic market.trades.v1 --yes`)
    const { end = 0, lag } = (await standing('build-candles')) ?? {}
    expect(lag).toBe(end - 3)
  })
})
