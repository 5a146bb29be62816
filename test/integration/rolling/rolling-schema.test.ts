/** A rolling deploy of a version with other state and another record schema: both run side by side, and nothing is lost. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, Producer } from 'kafkajs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { localFolder } from '../../../ops/local/paths.ts'
import { topics } from '../../../schemas/topics.ts'
import { Encoder } from '../../../workers/runtime/codec.ts'
import { loadConfig, type Config } from '../../../workers/runtime/config.ts'
import { placeHeaders } from '../../../workers/runtime/headers.ts'
import { createKafka, createNames, Partitioner } from '../../../workers/runtime/kafka/client.ts'
import { append } from '../../../workers/runtime/kafka/make-topics.ts'
import { Registry } from '../../../workers/runtime/kafka/registry.ts'
import { createLogger } from '../../../workers/runtime/logger.ts'
import { Positions, sequencePosition } from '../../../workers/runtime/position.ts'
import { RedisStore } from '../../../workers/runtime/state/redis-store.ts'
import { storedVersion } from '../../../workers/runtime/state/version.ts'
import type { ProjectCopy } from '../../contributing/recipe.ts'
import { Fleet } from '../../chaos/fleet.ts'
import { sumOf } from '../../chaos/outage-watch.ts'
import { eventually, freshPrefix, servers } from '../../support/servers.ts'
import { endsOf } from '../../support/topics.ts'
import { noon, trade } from '../../workers/records.ts'
import { deployVersion } from './versions.ts'

const symbols = Array.from({ length: 24 }, (_, index) => `S${index}-USDT`)
const pauseMs = 50
const [counted, echoed] = ['test.counts.v1', 'test.echoes.v1']
const refusal = /state of version 2, and this count-trades knows 1: a replica of the newer version has to take it/

let [older, newer]: ProjectCopy[] = []
let env: Record<string, string>
let config: Config
let fleet: Fleet
let producer: Producer
let admin: Admin
let store: RedisStore
const ending = new AbortController()
let feeding: Promise<void> | undefined
/** Records of each symbol so far. */
const fed = new Map<string, number>()

beforeAll(async () => {
  const { brokers, registryUrl, redisUrl } = await servers()
  older = deployVersion(1)
  newer = deployVersion(2)
  const watchFile = join(older.folder, 'watch.yaml')
  writeFileSync(watchFile, '{}\n')
  env = {
    KAFKA_BROKERS: brokers,
    SCHEMA_REGISTRY_URL: registryUrl,
    REDIS_URL: redisUrl,
    NAMESPACE: freshPrefix().replace(/-$/, ''),
    WATCH_FILE: watchFile,
    CHECKPOINT_MS: '100',
    SESSION_TIMEOUT_MS: '3000',
    THREADS: '1',
  }
  config = loadConfig({ ...env, DATABASE_URL: 'postgres://unused', LOG_LEVEL: 'silent' })
  await Promise.all(['topics apply', 'schemas register'].map((line) => run(older, line)))
  const kafka = createKafka(config, createLogger(config, 'rolling'))
  ;[producer, admin, store] = [kafka.producer(), kafka.admin(), await RedisStore.connect(config, () => {})]
  await Promise.all([producer.connect(), admin.connect()])
  const steps = ['count-trades', 'echo-counts']
  fleet = new Fleet({
    topology: 'crypto-intel',
    groups: [
      { name: 'older', steps, project: older.folder },
      { name: 'newer', steps, project: newer.folder },
    ],
    env,
    folder: join(localFolder, 'logs', env['NAMESPACE'] ?? ''),
  })
})

afterAll(async () => {
  ending.abort()
  await feeding
  await fleet?.stop()
  await Promise.all([producer?.disconnect(), admin?.disconnect(), store?.close()])
  older?.remove()
  newer?.remove()
})

async function run(copy: ProjectCopy | undefined, line: string): Promise<string> {
  // Warnings would stand in the midst of what is printed.
  return (await copy?.run(`node workers/main.ts ${line} 2>/dev/null`, env)) ?? ''
}

/** Feeds a trade of each symbol again and again until the signal aborts. */
async function feed(signal: AbortSignal): Promise<void> {
  const names = createNames(config.namespace)
  const encoder = new Encoder(await new Registry(config, names).registerAll([topics.marketTrades]))
  const partitioner = new Partitioner(topics.marketTrades)
  while (!signal.aborted) {
    const messages = symbols.map((symbol) => {
      const number = (fed.get(symbol) ?? 0) + 1
      fed.set(symbol, number)
      const record = trade(number, noon + number * 1_000, 1, { symbol, id: `${symbol}:${number}`, size: `${number}` })
      const key = topics.marketTrades.key(record)
      const headers = placeHeaders({ origin: key, position: sequencePosition(number) })
      return { key, value: Buffer.from(encoder.encode(topics.marketTrades, record)), headers, partition: partitioner.of(key) } // prettier-ignore
    })
    await append(producer, { topic: names.topic(topics.marketTrades), messages })
    await sleep(pauseMs)
  }
}

const Line = z.looseObject({
  partition: z.number(),
  headers: z.looseObject({ origin: z.string(), position: z.string() }),
  record: z.looseObject({ symbol: z.string(), count: z.number(), size: z.string() }),
})

/** Counts of each symbol in a topic, in order and by the position rule, and the records whose size no version has written wrongly. */
async function published(topic: string): Promise<{ counts: Map<string, number[]>; sizes: Set<string> }> {
  const positions = new Map<number, Positions>()
  const counts = new Map<string, number[]>()
  const sizes = new Set<string>()
  for (const line of (await run(newer, `tail ${topic} --from earliest --no-follow --json`)).trim().split('\n')) {
    const { partition, headers, record } = Line.parse(JSON.parse(line))
    const accepted = positions.get(partition) ?? new Positions()
    positions.set(partition, accepted)
    if (!accepted.accept(headers)) continue
    counts.set(record.symbol, [...(counts.get(record.symbol) ?? []), record.count])
    sizes.add(record.size === String(record.count) ? 'written' : record.size)
  }
  return { counts, sizes }
}

/** Whether the older and the newer have both worked on what is there. */
async function worked(group: 'older' | 'newer'): Promise<void> {
  await eventually(
    async () => {
      const texts = fleet
        .running(group)
        .map(async ({ port }) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text())
      expect(sumOf(await Promise.all(texts), 'records_out_total')).toBeGreaterThan(0)
    },
    { timeoutMs: 60_000 },
  )
}

/** Resolves when the newer has made a checkpoint: what it has published before that, an older one works off again. */
async function storedByNewer(): Promise<void> {
  const step = { step: 'count-trades', topic: topics.marketTrades.name }
  await eventually(
    async () => {
      const slots = Array.from({ length: topics.marketTrades.partitions }, (_, partition) => store.read({ ...step, partition })) // prettier-ignore
      const versions = (await Promise.all(slots)).map(({ fields }) => storedVersion(fields))
      expect(versions).toContain(2)
    },
    { timeoutMs: 60_000 },
  )
}

/** Resolves when both steps have stored that they stand at the end of their logs. */
async function caughtUp(): Promise<void> {
  const names = createNames(config.namespace)
  await eventually(
    async () => {
      for (const [step, input] of [
        ['count-trades', topics.marketTrades.name] as const,
        ['echo-counts', counted] as const,
      ])
        for (const { partition, high } of await endsOf(admin, names.topic(input))) {
          const { offset = 0 } = await store.read({ step, topic: input, partition })
          expect(`${step} ${partition} ${offset}`).toBe(`${step} ${partition} ${high}`)
        }
    },
    { timeoutMs: 60_000 },
  )
}

it('changes versions under load and loses nothing', { timeout: 240_000 }, async () => {
  feeding = feed(ending.signal)
  const [first, second] = [await fleet.add('older'), await fleet.add('older')]
  await worked('older')
  await run(newer, 'schemas register')
  const third = await fleet.add('newer')
  await worked('newer')
  await fleet.remove(first)
  await storedByNewer()
  // What it has written comes to the older one alone.
  await fleet.discard(third)
  await eventually(() => expect(fleet.log(second)).toMatch(refusal), { timeoutMs: 60_000 })
  await fleet.add('newer')
  await worked('newer')
  await fleet.remove(second)
  await fleet.add('newer')
  ending.abort()
  await feeding
  await caughtUp()
  await fleet.stop()

  expect(fleet.faults).toEqual([])
  const expected = new Map(symbols.map((symbol) => [symbol, Array.from({ length: fed.get(symbol) ?? 0 }, (_, index) => index + 1)])) // prettier-ignore
  for (const topic of [counted, echoed]) {
    const { counts, sizes } = await published(topic)
    expect(counts).toEqual(expected)
    expect(sizes).toEqual(new Set(['unknown', 'written']))
  }
  expect(await states()).toEqual(new Map([...fed].map(([symbol, total]) => [symbol, { total }])))
})

/** The state of each symbol. */
async function states(): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>()
  for (let partition = 0; partition < topics.marketTrades.partitions; partition++) {
    const { fields } = await store.read({ step: 'count-trades', topic: topics.marketTrades.name, partition })
    for (const [field, text] of fields) {
      const [, , symbol] = /^k:(.*):(.*)$/.exec(field) ?? []
      if (symbol !== undefined) found.set(symbol, z.object({ c: z.looseObject({ state: z.unknown() }) }).parse(JSON.parse(text)).c.state) // prettier-ignore
    }
  }
  return found
}
