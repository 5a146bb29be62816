/** Corrupt records, and records that kill their thread, cost their own entries in the DLQ and nothing else. */
import { randomBytes } from 'node:crypto'
import type { Message } from 'kafkajs'
import { beforeAll, describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import type { DeadLetter, MarketTrade, PatternMatch } from '../../../schemas/types.ts'
import { readDeadLetters, type FiledLetter } from '../../../workers/cli/dead-letter-log.ts'
import { redrive } from '../../../workers/cli/redrive.ts'
import { Decoder, Encoder, schemaText } from '../../../workers/runtime/codec.ts'
import type { Processor } from '../../../workers/runtime/definitions.ts'
import { placeHeaders } from '../../../workers/runtime/headers.ts'
import { Partitioner } from '../../../workers/runtime/kafka/client.ts'
import { append, makeTopics } from '../../../workers/runtime/kafka/make-topics.ts'
import { sequencePosition } from '../../../workers/runtime/position.ts'
import { runSteps } from '../../../workers/runtime/run.ts'
import { readTopic } from '../../chaos/log.ts'
import { createDriver } from '../../support/driver.ts'
import { installed } from '../../support/installed.ts'
import { eventually, freshPrefix, servers } from '../../support/servers.ts'
import { noon, trade } from '../records.ts'
import { mended } from './poison-steps-mended.ts'
import { bystander, tally } from './poison-steps.ts'

type Env = Record<string, string>
type Corrupt = (value: Buffer) => Buffer | null

const symbols = ['BTC-USDT', 'ETH-USDT', 'SOL-USDT', 'XRP-USDT', 'ADA-USDT']
const partitioner = new Partitioner(topics.marketTrades)

let common: Env = {}
beforeAll(async () => {
  const { brokers, registryUrl, redisUrl, databaseUrl } = await servers()
  common = { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, REDIS_URL: redisUrl, DATABASE_URL: databaseUrl }
})

/** Topics of a test's own, filled with trades of which some are corrupt. */
async function fill(trades: readonly MarketTrade[], corrupt: (index: number) => Corrupt | undefined): Promise<Env> {
  const env = { ...common, NAMESPACE: freshPrefix().replace(/-$/, ''), THREADS: '1', CHECKPOINT_MS: '100' }
  await installed(env, async (installation) => {
    const admin = await installation.admin()
    const needed = [topics.marketTrades, topics.patternsMatches, topics.deadLetters, topics.stateSnapshots]
    const created = needed.map((topic) => ({
      topic: installation.names.topic(topic),
      numPartitions: topic.partitions,
      configEntries: [{ name: 'message.timestamp.type', value: 'LogAppendTime' }],
    }))
    await makeTopics(admin, created)
    const ids = await installation.registry.registerAll([topics.marketTrades])
    const encoder = new Encoder(ids)
    const messages = trades.map((record, index): Message => {
      const key = topics.marketTrades.key(record)
      const value = Buffer.from(encoder.encode(topics.marketTrades, record))
      const spoil = corrupt(index)
      const headers = Object.fromEntries(
        Object.entries(placeHeaders({ origin: key, position: sequencePosition(index + 1) })),
      )
      return { key, value: spoil === undefined ? value : spoil(value), headers, partition: partitioner.of(key) }
    })
    const producer = await installation.producer()
    await append(producer, { topic: installation.names.topic(topics.marketTrades), messages })
  })
  return env
}

/** Runs steps until all is worked off and stored. @returns how often each was started again for a dead thread */
async function runThrough(env: Env, steps: readonly Processor[], timeoutMs = 30_000): Promise<Record<string, number>> {
  return installed(env, async (installation) => {
    await runSteps(steps, installation)
    const ends = await installation.ends.all(installation.names.topic(topics.marketTrades))
    const store = await installation.store()
    const atEnd = async (): Promise<void> => {
      for (const { name: step } of steps)
        for (const { partition, high } of ends) {
          const { offset } = await store.read({ step, topic: topics.marketTrades.name, partition })
          expect(offset ?? 0, `${step}:${partition}`).toBe(high)
        }
    }
    await eventually(atEnd, { timeoutMs })
    const { values } = await installation.context.metrics.restarts.get()
    const deaths = values.filter(({ labels }) => labels.reason === 'thread')
    return Object.fromEntries(deaths.map(({ labels, value }) => [String(labels.step), value]))
  })
}

/** What a reader of the matches sees: of each step, key and time in the order of the log. */
async function matches(env: Env): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>()
  await installed(env, async (installation) => {
    const { kafka, names, registry } = installation
    const ids = await registry.registerAll([topics.patternsMatches])
    const decoder = new Decoder<PatternMatch>(topics.patternsMatches)
    decoder.learn(ids.get(topics.patternsMatches.name) ?? 0, schemaText(topics.patternsMatches.name))
    const admin = await installation.admin()
    await readTopic({ kafka, admin, names }, topics.patternsMatches, ({ accepted, message }) => {
      if (accepted && message.value !== null) note(found, decoder.decode(message.value))
    })
  })
  return found
}

function note(found: Map<string, string[]>, { id, subject, pattern, facts }: PatternMatch): void {
  const name = `${pattern} ${subject}`
  found.set(name, [...(found.get(name) ?? []), `${id} ${facts['begun']} ${facts['trades']}`])
}

/** What the steps make of the good trades, run without a broker. */
function cleanRun(steps: readonly Processor[], trades: readonly MarketTrade[]): Map<string, string[]> {
  const driver = createDriver({ steps })
  for (const record of trades) driver.append(topics.marketTrades, record)
  driver.run()
  const found = new Map<string, string[]>()
  for (const match of driver.read(topics.patternsMatches)) note(found, match)
  return found
}

async function letters(env: Env): Promise<DeadLetter[]> {
  return (await filed(env)).map(({ letter }) => letter)
}

function filed(env: Env): Promise<FiledLetter[]> {
  return installed(env, async (installation) => {
    const all: FiledLetter[] = []
    await readDeadLetters(installation, (one) => void all.push(one))
    return all
  })
}

const made = (count: number, tradeId: (index: number) => string | undefined): MarketTrade[] =>
  Array.from({ length: count }, (_, index) => {
    const symbol = symbols[index % symbols.length] ?? ''
    const rest = { symbol, id: `${symbol}:${index}`, tradeId: tradeId(index) ?? String(index) }
    return trade(index, noon + index * 1_000, 100, rest)
  })

describe('one record in a hundred is corrupt', () => {
  const every = 100
  const kinds = ['magic', 'truncated', 'schema', 'empty', 'throws', 'garbage'] as const
  const kindOf = (index: number): (typeof kinds)[number] | undefined =>
    index % every === 50 ? kinds[Math.floor(index / every) % kinds.length] : undefined
  const spoil: Record<(typeof kinds)[number], Corrupt> = {
    magic: (value) => Buffer.concat([Buffer.from([7]), value.subarray(1)]),
    truncated: (value) => value.subarray(0, 20),
    schema: (value) => {
      const other = Buffer.from(value)
      other.writeUInt32BE(0x7fffffff, 1)
      return other
    },
    empty: () => null,
    throws: (value) => value,
    garbage: () => randomBytes(60).fill(0xff, 0, 10),
  }
  const trades = made(3_000, (index) => (kindOf(index) === 'throws' ? 'throws' : undefined))
  const good = trades.filter((_, index) => kindOf(index) === undefined)
  const corrupt = trades.flatMap((_, index) => kindOf(index) ?? [])

  it('costs those records alone, and a redrive after the fix brings back those that threw, once', async () => {
    const env = await fill(trades, (index) => {
      const kind = kindOf(index)
      return kind && spoil[kind]
    })
    await runThrough(env, [tally, bystander])
    const dead = await letters(env)
    const codes = (step: string): string[] => dead.filter((one) => one.step === step).map(({ code }) => code)
    expect(codes('tally').toSorted()).toEqual(
      corrupt.map((kind) => (kind === 'throws' ? 'unprocessable' : 'undecodable')).toSorted(),
    )
    expect(codes('bystander')).toEqual(corrupt.flatMap((kind) => (kind === 'throws' ? [] : ['undecodable'])))
    const readable = trades.filter((_, index) => (kindOf(index) ?? 'throws') === 'throws')
    expect(await matches(env)).toEqual(new Map([...cleanRun([tally], good), ...cleanRun([bystander], readable)]))

    const mendable = (await filed(env)).filter(({ letter }) => letter.code === 'unprocessable')
    for (let time = 0; time < 2; time++) await installed(env, (installation) => redrive(mendable, installation))
    await runThrough(env, [mended, bystander])
    const threw = trades.filter((_, index) => kindOf(index) === 'throws')
    const behind = (symbol: string): MarketTrade[] => threw.filter((one) => one.symbol === symbol)
    const redriven = symbols.flatMap(behind)
    expect(await matches(env)).toEqual(
      new Map([...cleanRun([mended], [...good, ...redriven]), ...cleanRun([bystander], readable)]),
    )
    expect(await letters(env)).toHaveLength(dead.length)
  }, 60_000)
})

describe('records that kill their thread', () => {
  // One grows until memory is out, one runs for ever.
  const deadly = new Map([
    [1_234, 'grows'],
    [2_345, 'loops'],
  ])

  it('go to the DLQ; their step and the others of the thread go on', async () => {
    const trades = made(3_000, (index) => deadly.get(index))
    const filled = await fill(trades, () => undefined)
    // On a busy machine memory must be out before.
    const recordMs = 8_000
    const env = { ...filled, THREAD_MEMORY_MB: '48', RECORD_TIMEOUT_MS: String(recordMs) }
    // Each once to become the suspect, and once by itself.
    expect(await runThrough(env, [tally, bystander], 90_000)).toEqual({ tally: 4, bystander: 0 })
    const dead = await letters(env)
    const found = new Map(dead.map((letter) => [letter.position, letter]))
    const [grew, looped] = [...deadly.keys()].map((index) => found.get(sequencePosition(index + 1)))
    expect(grew).toMatchObject({ step: 'tally', code: 'thread-crash', error: expect.stringMatching(/memory limit/) })
    expect(looped).toMatchObject({
      step: 'tally',
      code: 'thread-crash',
      error: expect.stringMatching(new RegExp(`${recordMs} ms`)),
    })
    expect(dead).toHaveLength(2)
    const good = trades.filter((_, index) => !deadly.has(index))
    expect(await matches(env)).toEqual(new Map([...cleanRun([tally], good), ...cleanRun([bystander], trades)]))
  }, 120_000)
})
