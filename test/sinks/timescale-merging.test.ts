/** What a table holds after reorganisations, wherever batches end and however often they come: the last record of each key. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ChainTransfer } from '../../schemas/types.ts'
import { timescaleTransfers } from '../../sinks/timescale-transfers.ts'
import { connectDatabase, type Database } from '../../workers/runtime/database.ts'
import { migrate } from '../../workers/runtime/migrate.ts'
import { freshDatabase, type FreshDatabase } from '../support/servers.ts'
import { at, transfer } from './records.ts'

let fresh: FreshDatabase
let database: Database

beforeAll(async () => {
  fresh = await freshDatabase()
  await migrate({ url: fresh.url }, 'ops/migrations')
  database = await connectDatabase({ url: fresh.url })
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

const write = (records: readonly ChainTransfer[]): Promise<void> =>
  database.use(async (connection) => {
    await connection.query('BEGIN')
    await timescaleTransfers.write(records, connection)
    await connection.query('COMMIT')
  })

const stored = async (): Promise<unknown[]> => {
  const { rows } = await database.query('SELECT id, ts, amount FROM transfers ORDER BY id')
  return rows.map(({ id, ts, amount }) => [id, ts, amount])
}

function standing(records: readonly ChainTransfer[]): unknown[] {
  const last = new Map(records.map((record) => [record.id, record]))
  return [...last.values()]
    .filter(({ removed }) => !removed)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ id, ts, amount }) => [id, ts, amount])
}

const keys = 6
const made = (key: number, index: number, rest: Pick<ChainTransfer, 'removed' | 'revision'>): ChainTransfer => ({ ...transfer, id: `id ${key}`, ts: at + (key % 3) * 1_000_000, amount: String(index), ...rest }) // prettier-ignore

/** As chains write them: added, removed, added with the next revision. */
const reorganisation = fc.array(fc.nat(keys - 1), { maxLength: 40 }).map((picked) => {
  const times = new Map<number, number>()
  return picked.map((key, index) => {
    const before = times.get(key) ?? 0
    times.set(key, before + 1)
    return made(key, index, { removed: before % 2 === 1, revision: before >> 1 })
  })
})
/** As nobody should write them. */
const anything = fc
  .array(fc.tuple(fc.nat(keys - 1), fc.boolean(), fc.nat(2)), { maxLength: 40 })
  .map((picked) => picked.map(([key, removed, revision], index) => made(key, index, { removed, revision })))
const sizes = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 })

/** Cuts at sizes that come round again. */
function* batches(
  records: readonly ChainTransfer[],
  lengths: readonly number[],
): Generator<[ChainTransfer[], end: number]> {
  for (let [start, turn] = [0, 0]; start < records.length; turn++) {
    const end = start + (lengths[turn % lengths.length] ?? 1)
    yield [records.slice(start, end), end]
    start = end
  }
}

test.each([
  ['of chains', reorganisation],
  ['of any kind', anything],
])('additions and removals %s leave the last record of each key, also when they are read again', async (_, history) => {
  await fc.assert(
    fc.asyncProperty(history, sizes, sizes, fc.nat(40), async (records, lengths, others, reset) => {
      await database.query('TRUNCATE transfers')
      for (const [batch, end] of batches(records, lengths)) {
        await write(batch)
        expect(await stored()).toEqual(standing(records.slice(0, end)))
      }
      for (const [batch] of batches(records.slice(reset), others)) await write(batch)
      expect(await stored()).toEqual(standing(records))
      // Cut short before the offset was reset: removals that follow have not been seen.
      await database.query('TRUNCATE transfers')
      if (reset > 0) await write(records.slice(0, Math.max(1, reset)))
      for (const [batch] of batches(records, others)) await write(batch)
      expect(await stored()).toEqual(standing(records))
    }),
    { numRuns: 25 },
  )
})

test('beside a removal only those keys are deleted that the table may hold', async () => {
  await database.query('TRUNCATE transfers')
  const gone: unknown[] = []
  await write([made(0, 0, { removed: false, revision: 0 })])
  await database.use(async (connection) => {
    await connection.query('BEGIN')
    const query: typeof connection.query = (sql, values) => {
      if (sql.startsWith('DELETE')) gone.push(values?.[1])
      return connection.query(sql, values)
    }
    const batch = [
      made(0, 1, { removed: true, revision: 0 }),
      made(1, 2, { removed: false, revision: 0 }),
      made(2, 3, { removed: false, revision: 0 }),
      made(2, 4, { removed: true, revision: 0 }),
      made(2, 5, { removed: false, revision: 1 }),
      made(3, 6, { removed: false, revision: 1 }),
    ]
    await timescaleTransfers.write(batch, { ...connection, query })
    await connection.query('COMMIT')
    expect(await stored()).toEqual(standing(batch))
  })
  expect(gone).toEqual([['id 0', 'id 3']])
})
