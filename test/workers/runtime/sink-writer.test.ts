/** The sink's transaction on a real server: all or nothing, one owner at a time, refused records found. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { connectDatabase, type Database } from '../../../workers/runtime/database.ts'
import { defineSink, type Column } from '../../../workers/runtime/definitions.ts'
import { classify, RetryableError } from '../../../workers/runtime/errors.ts'
import { migrate } from '../../../workers/runtime/migrate.ts'
import type { Rejected } from '../../../workers/runtime/sink-bisection.ts'
import { createSinkWriter, type SinkBatch, type SinkWriter } from '../../../workers/runtime/sink-writer.ts'
import { freshDatabase, type FreshDatabase } from '../../support/servers.ts'

interface Reading {
  readonly id: string
  readonly value: string
}

const columns: readonly Column<Reading>[] = [
  { name: 'id', type: 'text', value: ({ id }) => id },
  { name: 'value', type: 'numeric', value: ({ value }) => value },
]
const sink = defineSink<Reading>({
  name: 'readings',
  input: { name: 'readings.v1', key: ({ id }) => id, partitions: 1, cleanup: { policy: 'compact' } },
  write: (records, transaction) => transaction.copy('readings', columns, records),
})
const slot = { step: 'readings', topic: 'readings.v1', partition: 0 }
const appendTime = 1_723_075_200_123_000

let fresh: FreshDatabase
let database: Database
let writer: SinkWriter

beforeAll(async () => {
  fresh = await freshDatabase()
  await migrate({ url: fresh.url }, 'ops/migrations')
  database = await connectDatabase({ url: fresh.url })
  writer = createSinkWriter(database, { lockWaitMs: 100 })
  await database.query('CREATE TABLE readings (id text PRIMARY KEY, value numeric)')
})
beforeEach(() => database.query('TRUNCATE readings, sink_offsets, sink_positions, sink_left_out').then(() => {}))
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

const readings = (...ids: string[]): Reading[] => ids.map((id) => ({ id, value: '1.0' }))
const stored = async (): Promise<unknown[]> => {
  const { rows } = await database.query('SELECT id FROM readings ORDER BY id')
  return rows.map(({ id }) => id)
}

function batch(
  expectedOffset: number | undefined,
  nextOffset: number,
  records: Reading[],
  rest: Partial<SinkBatch<Reading>> = {},
): SinkBatch<Reading> {
  const refuse = (): Promise<void> => Promise.reject(new Error('nothing should be refused here'))
  return { slot, sink, expectedOffset, nextOffset, appendTime, positions: [], records, onRejected: refuse, ...rest }
}

test('rows, positions and the offset are stored together and read back', async () => {
  const nothing = { nextOffset: undefined, appendTime: undefined, positions: [], leftOut: [], refusals: undefined, acceptedUntil: 0 } // prettier-ignore
  expect(await writer.open(slot)).toEqual(nothing)
  expect(
    await writer.write(
      batch(undefined, 3, readings('a', 'b'), {
        positions: [
          ['feed', '7'],
          ['other', '9'],
        ],
      }),
    ),
  ).toBe('written')
  expect(await writer.write(batch(3, 4, readings('c'), { positions: [['feed', '8']] }))).toBe('written')
  const { positions, ...place } = await writer.open(slot)
  expect(place).toMatchObject({ nextOffset: 4, appendTime })
  expect(new Map(positions)).toEqual(
    new Map([
      ['feed', '8'],
      ['other', '9'],
    ]),
  )
  expect(await stored()).toEqual(['a', 'b', 'c'])
})

test('a batch without records moves offset and positions on', async () => {
  expect(await writer.write(batch(undefined, 3, [], { positions: [['feed', '1']] }))).toBe('written')
  expect(await writer.open(slot)).toMatchObject({ nextOffset: 3, positions: [['feed', '1']] })
})

test('a writer that expects another offset writes nothing', async () => {
  await writer.write(batch(undefined, 3, readings('a')))
  for (const expected of [undefined, 2, 4]) expect(await writer.write(batch(expected, 5, readings('b')))).toBe('lost')
  expect(await stored()).toEqual(['a'])
  expect(await writer.open(slot)).toMatchObject({ nextOffset: 3, positions: [] })
})

test('of writers that race for the same offset exactly one writes', async () => {
  const first = await Promise.all(['a', 'b', 'c', 'd'].map((id) => writer.write(batch(undefined, 1, readings(id)))))
  expect(first.toSorted()).toEqual(['lost', 'lost', 'lost', 'written'])
  const second = await Promise.all(['e', 'f', 'g', 'h'].map((id) => writer.write(batch(1, 2, readings(id)))))
  expect(second.toSorted()).toEqual(['lost', 'lost', 'lost', 'written'])
  expect(await stored()).toHaveLength(2)
})

test('refused records are reported before the commit, and all others written', async () => {
  await writer.write(batch(undefined, 1, readings('taken')))
  const records = readings('a', 'b', 'taken', 'c', 'nul\0', 'd')
  records.push({ id: 'e', value: 'no number' }, { id: 'f', value: '2' })
  const rejected: Rejected[] = []
  const onRejected = async (found: readonly Rejected[]): Promise<void> => {
    rejected.push(...found)
    expect(await stored()).toEqual(['taken'])
  }
  expect(await writer.write(batch(1, 2, records, { onRejected }))).toBe('written')
  expect(rejected.map(({ index }) => index)).toEqual([2, 4, 6])
  expect(rejected.every(({ error }) => classify(error) === 'poison')).toBe(true)
  expect(await stored()).toEqual(['a', 'b', 'c', 'd', 'f', 'taken'])
})

test('nothing is committed where refused records cannot be acknowledged', async () => {
  const onRejected = (): Promise<void> => Promise.reject(new RetryableError('unavailable', 'no broker'))
  await expect(writer.write(batch(undefined, 2, readings('a', 'nul\0'), { onRejected }))).rejects.toThrow('no broker')
  expect(await stored()).toEqual([])
  expect(await writer.open(slot)).toMatchObject({ nextOffset: undefined })
})

test('a frozen owner loses its connection, and its successor writes', async () => {
  await writer.write(batch(undefined, 1, readings('a')))
  const ended: number[] = []
  const successor = createSinkWriter(database, {
    lockWaitMs: 50,
    onBlockersEnded: (_, connections) => ended.push(connections),
  })
  const held = Promise.withResolvers<void>()
  const thaw = Promise.withResolvers<void>()
  const frozen = defineSink<Reading>({
    ...sink,
    async write(records, transaction) {
      await sink.write(records, transaction)
      held.resolve()
      await thaw.promise
    },
  })
  const former = writer.write(batch(1, 2, readings('old'), { sink: frozen })).catch((error: unknown) => classify(error))
  await held.promise
  expect(await successor.write(batch(1, 2, readings('new')))).toBe('written')
  thaw.resolve()
  expect(await former).toBe('retryable')
  expect(ended).toEqual([1])
  expect(await stored()).toEqual(['a', 'new'])
})

test('what blocks a slot but is not ours is left alone', async () => {
  await writer.write(batch(undefined, 1, readings('a')))
  const url = new URL(fresh.url)
  url.searchParams.set('application_name', 'somebody else')
  const other = await connectDatabase({ url: url.href })
  const held = Promise.withResolvers<void>()
  const holder = other.use(async (connection) => {
    await connection.query('BEGIN')
    await connection.query('SELECT FROM sink_offsets FOR UPDATE')
    held.resolve()
    await sleep(400)
    await connection.query('COMMIT')
  })
  await held.promise
  expect(await createSinkWriter(database, { lockWaitMs: 50 }).write(batch(1, 2, readings('b')))).toBe('written')
  await holder
  await other.close()
})
