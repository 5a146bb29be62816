import { crc32 } from 'node:zlib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { topics } from '../../../../schemas/topics.ts'
import { Encoder } from '../../../../workers/runtime/codec.ts'
import { loadConfig } from '../../../../workers/runtime/config.ts'
import { createContext } from '../../../../workers/runtime/context.ts'
import { Installation } from '../../../../workers/runtime/installation.ts'
import type { Accumulator } from '../../../../workers/runtime/kafka/accumulator.ts'
import type { ClaimedSlot, RedisStore, SlotName } from '../../../../workers/runtime/state/redis-store.ts'
import { SlotSnapshots } from '../../../../workers/runtime/state/slot-snapshots.ts'
import {
  chunkBytes,
  keyOf,
  partitionOf,
  slotText,
  SnapshotWriter,
} from '../../../../workers/runtime/state/snapshots.ts'
import { createAccumulator } from '../../../../workers/runtime/step-support.ts'
import { WatchSchema } from '../../../../workers/runtime/watch.ts'
import { freshPrefix, servers } from '../../../support/servers.ts'
import { command, failure } from '../../cli/harness.ts'

const step = 'build-candles'
const env: Record<string, string> = {}
const releasers: (() => Promise<void> | void)[] = []
let installation: Installation
let store: RedisStore
let accumulator: Accumulator
let schemaIds: ReadonlyMap<string, number>
let slots = 0

beforeAll(async () => {
  const { brokers, registryUrl, redisUrl } = await servers()
  const namespace = freshPrefix().replace(/-$/, '')
  Object.assign(env, { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, REDIS_URL: redisUrl, NAMESPACE: namespace }) // prettier-ignore
  await command(['topics', 'apply'], { env })
  const config = { ...loadConfig(env, { require: ['kafka', 'registry', 'redis'] }), logLevel: 'silent' as const }
  const shutdown = {
    signal: new AbortController().signal,
    onStop: (_name: string, release: () => Promise<void> | void) => {
      releasers.push(release)
      return () => {}
    },
    stop: () => {},
    fatal: (error: unknown) => {
      throw error
    },
  }
  const health = { port: 0, register: () => () => {}, close: async () => {} }
  installation = new Installation(createContext(config, WatchSchema.parse({}), 'test'), health, shutdown)
  store = await installation.store()
  schemaIds = await installation.registry.registerAll([topics.stateSnapshots])
  accumulator = await createAccumulator(installation, installation.context, step)
  const topic = installation.names.topic(topics.marketTrades)
  for (const partition of [0, 1, 2, 3])
    accumulator.append(topic, partition, { key: '', value: Buffer.from('anything'), headers: {} })
  await accumulator.flushed()
})
afterAll(async () => {
  for (const release of releasers.toReversed()) await release()
})

/** A slot that no other test uses; its partition is one that there is. */
const freshSlot = (): SlotName => ({ step: `${step}-${++slots}`, topic: topics.marketTrades.name, partition: 0 })

const writerOf = (sending: Pick<Accumulator, 'append' | 'flushed'> = accumulator): SnapshotWriter =>
  new SnapshotWriter({ context: installation.context, step, names: installation.names, store, accumulator: sending, schemaIds }) // prettier-ignore

/** Claims a slot, from its snapshot where Redis has nothing. */
function claim(slot: SlotName): Promise<ClaimedSlot> {
  const { context, snapshotReader } = installation
  return new SlotSnapshots({ context, store, snapshots: writerOf(), snapshotReader }, slot, () => {}, () => {}).claim() // prettier-ignore
}

async function checkpoint(
  slot: SlotName,
  { token, offset: expected }: Pick<ClaimedSlot, 'token' | 'offset'>,
  offset: number,
  fields: Record<string, string>,
): Promise<void> {
  const positions = [['a feed', `000${offset}`]] as const
  const changes = Object.entries(fields)
  expect(await store.checkpoint(slot, { token, expected, offset, appendTime: 1_700_000_000_000, positions, changes })).toBe(true) // prettier-ignore
}

/** A key's state of so many megabytes, which no pattern makes small. */
const large = (megabytes: number): string => {
  let seed = 1
  const digit = (): string => String.fromCharCode(48 + ((seed = (seed * 48_271) % 2_147_483_647) % 64))
  return Array.from({ length: megabytes * 1024 * 1024 }, digit).join('')
}

const sorted = <T>(pairs: readonly T[]): T[] => pairs.toSorted((a, b) => (String(a) < String(b) ? -1 : 1))
const emptied = (slot: SlotName): Promise<boolean> => store.reset(slot)

/** Writes parts of a snapshot as they are told, whatever they are worth. */
async function append(slot: SlotName, name: string, offset: number, state: string, parts: readonly number[]) {
  const texts = ['0', 'k:a', state].map((text) => Buffer.from(text))
  const bytes = Buffer.concat(texts.flatMap((text) => [Buffer.from(Uint32Array.of(text.length).buffer).swap32(), text]))
  const half = Math.ceil(bytes.length / 2)
  const chunks = [bytes.subarray(0, half), bytes.subarray(half), Buffer.alloc(0)]
  const encoder = new Encoder(schemaIds)
  const [token = '', number] = name.split('/')
  const topic = installation.names.topic(topics.stateSnapshots)
  for (const chunk of parts) {
    const id = keyOf(slot, name, chunk)
    const checksum = crc32(Buffer.concat(chunks.slice(0, chunk + 1)))
    const about = { ts: 1_700_000_000_000_000, slot: slotText(slot), token, number: Number(number) }
    const record = { id, ...about, offset, appendTime: -1, chunk, chunks: 2, checksum, bytes: chunks[chunk] }
    const value = Buffer.from(encoder.encode(topics.stateSnapshots, record))
    accumulator.append(topic, partitionOf(slot), { key: id, value, headers: {} })
  }
  await accumulator.flushed()
}

it('brings a slot of several chunks back as it was', async () => {
  const slot = freshSlot()
  const owner = await claim(slot)
  const fields = { 'k:small': '{}', 'k:größe €': '"κόσμε 🜁"', 'k:large': large(1.5), 'i:1:k': '' }
  await checkpoint(slot, owner, 4_711, fields)
  expect(await writerOf().write(slot, owner.token)).toBe(4_711)
  const keys = await installation.snapshotReader.keys(slot)
  expect(keys.length).toBe(Math.ceil((1.5 * 1024 * 1024) / chunkBytes) + 2)
  await emptied(slot)
  const again = await claim(slot)
  expect(again).toMatchObject({ offset: 4_711, appendTime: 1_700_000_000_000, positions: [['a feed', '0004711']] })
  expect(sorted(again.fields)).toEqual(sorted(Object.entries(fields)))
  const { token, ...stored } = { ...(await store.read(slot)), ...(await store.owner(slot)) }
  expect(token).toBe(again.token)
  expect(stored).toMatchObject({ offset: 4_711, positions: again.positions })
  expect(sorted(stored.fields)).toEqual(sorted(again.fields))
  expect(stored.snapshots).toEqual([expect.objectContaining({ offset: 4_711, chunks: keys.length - 1 })])
})

it('takes the complete snapshot with the highest offset', async () => {
  const slot = freshSlot()
  await append(slot, 'a/1', 10, '"ten"', [0, 1, 2])
  await append(slot, 'b/1', 15, '"fifteen"', [0, 1, 2])
  await append(slot, 'a/2', 12, '"twelve"', [0, 1, 2])
  await append(slot, 'c/1', 20, '"no manifest"', [0, 1])
  await append(slot, 'd/1', 30, '"no second chunk"', [0, 2])
  expect(await claim(slot)).toMatchObject({ offset: 15, fields: [['k:a', '"fifteen"']] })
})

it('does not mix the chunks of two writers', async () => {
  const slot = freshSlot()
  await append(slot, 'a/1', 10, '"of the one"', [0])
  await append(slot, 'b/1', 11, '"of another"', [0])
  await append(slot, 'a/1', 10, '"of the one"', [1])
  await append(slot, 'b/1', 11, '"of another"', [1, 2])
  await append(slot, 'a/1', 10, '"of the one"', [2])
  expect(await claim(slot)).toMatchObject({ offset: 11, fields: [['k:a', '"of another"']] })
  const mixed = freshSlot()
  await append(mixed, 'a/1', 10, 'one '.repeat(9), [0])
  await append(mixed, 'a/1', 10, 'two '.repeat(9), [1, 2])
  expect(await claim(mixed)).toMatchObject({ offset: undefined, fields: [] })
})

it('stops a writer that was overtaken, and clears away what it had written', async () => {
  const slot = freshSlot()
  const zombie = await claim(slot)
  await checkpoint(slot, zombie, 10, { 'k:a': large(1.2) })
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const frozen = {
    append: accumulator.append.bind(accumulator),
    flushed: async () => {
      await accumulator.flushed()
      reached.resolve()
      await released.promise
    },
  }
  const late = writerOf(frozen).write(slot, zombie.token)
  await reached.promise
  expect(await installation.snapshotReader.keys(slot)).toEqual([keyOf(slot, `${zombie.token}/1`, 0)])
  const successor = await claim(slot)
  await checkpoint(slot, successor, 20, { 'k:a': '"short"' })
  expect(await writerOf().write(slot, successor.token)).toBe(20)
  released.resolve()
  expect(await late).toBeUndefined()
  expect(await installation.snapshotReader.keys(slot)).toEqual([0, 1].map((chunk) => keyOf(slot, `${successor.token}/1`, chunk))) // prettier-ignore
  await emptied(slot)
  expect(await claim(slot)).toMatchObject({ offset: 20, fields: [['k:a', '"short"']] })
})

it('leaves the newest snapshot alone in the topic', async () => {
  const slot = freshSlot()
  const owner = await claim(slot)
  const writer = writerOf()
  await checkpoint(slot, owner, 1, { 'k:a': large(1) })
  await writer.write(slot, owner.token)
  await checkpoint(slot, { ...owner, offset: 1 }, 2, { 'k:a': '1' })
  await writer.write(slot, owner.token)
  expect(await installation.snapshotReader.keys(slot)).toEqual([0, 1].map((chunk) => keyOf(slot, `${owner.token}/2`, chunk))) // prettier-ignore
  expect((await store.read(slot)).snapshots).toMatchObject([{ name: `${owner.token}/2`, offset: 2 }])
})

it('puts nothing back into a slot that has content, or that another has claimed', async () => {
  const slot = freshSlot()
  const content = { offset: 5, appendTime: undefined, positions: [], fields: [['k:a', 'old']], snapshots: [] } as const
  const [first, second] = [await store.claim(slot), await store.claim(slot)]
  expect(await store.restore(slot, first.token, content)).toBe(false)
  expect(await store.read(slot)).toMatchObject({ offset: undefined, fields: [] })
  await checkpoint(slot, second, 7, { 'k:a': 'new' })
  expect(await store.restore(slot, second.token, content)).toBe(false)
  expect(await store.read(slot)).toMatchObject({ offset: 7, fields: [['k:a', 'new']] })
})

it('stores a checkpoint of a hundred thousand fields', async () => {
  const slot = freshSlot()
  const owner = await store.claim(slot)
  const fields = Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`k:${at}`, '']))
  await checkpoint(slot, owner, 1, fields)
  expect((await store.read(slot)).fields).toHaveLength(100_000)
  await store.reset(slot)
})

it('state reset forgets snapshots too, unless they are to be kept', async () => {
  const slot = { step, topic: topics.marketTrades.name, partition: 2 }
  const reset = (...more: string[]) => command(['state', 'reset', step, '--partition', '2', '--yes', ...more], { env })
  const owner = await claim(slot)
  await checkpoint(slot, owner, 9, { 'k:binance-spot:BTC-USDT': '{}' })
  await writerOf().write(slot, owner.token)
  expect(await command(['state', 'show', step], { env })).toContainEqual(
    expect.stringMatching(/^market\.trades\.v1:2 stands at 9, its newest snapshot at 9, taken 20..-..-..T/),
  )
  expect(await reset('--keep-snapshot')).toEqual(['market.trades.v1:2 forgotten'])
  expect(await claim(slot)).toMatchObject({ offset: 9 })
  expect(await reset()).toEqual(['market.trades.v1:2 forgotten'])
  expect(await claim(slot)).toMatchObject({ offset: undefined, fields: [] })
  expect(await failure(['state', 'reset', step], { env })).toContain('nothing was changed')
})
