/** The database client against a real server: types, notifications, and what it says of faults. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectDatabase, timestamp, type Database } from '../../../workers/runtime/database.ts'
import { classify, oneLine } from '../../../workers/runtime/errors.ts'
import { eventually, freshDatabase, type FreshDatabase } from '../../support/servers.ts'

let fresh: FreshDatabase
let database: Database

beforeAll(async () => {
  fresh = await freshDatabase()
  database = await connectDatabase({ url: fresh.url })
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

const problem = (work: Promise<unknown>): Promise<unknown> =>
  work.then(() => undefined).catch((error: unknown) => error)

test('event times keep their microseconds, integers their digits', async () => {
  const micros = 1_723_075_200_123_456
  const { rows } = await database.query(
    `SELECT $1::timestamptz AS ts, timestamptz '2024-08-08 05:30:00.5+05:30' AS zoned, 42::bigint AS small,
       9007199254740993::bigint AS large, 1.50::numeric AS price`,
    [timestamp(micros)],
  )
  expect(rows).toEqual([
    { ts: micros, zoned: 1_723_075_200_500_000, small: 42, large: '9007199254740993', price: '1.50' },
  ])
  expect(timestamp(-1)).toBe('1969-12-31T23:59:59.999999Z')
})

test('nobody listening there is retryable and names the server, not the password', async () => {
  const error = await problem(connectDatabase({ url: 'postgres://user:secret@127.0.0.1:1/db' }))
  expect(classify(error)).toBe('retryable')
  expect(oneLine(error)).toMatch(/127\.0\.0\.1:1\/db.*ECONNREFUSED/)
  expect(oneLine(error)).not.toContain('secret')
})

test('a database that does not exist is fatal', async () => {
  const url = new URL(fresh.url)
  url.pathname = '/nowhere'
  const error = await problem(connectDatabase({ url: url.href }))
  expect(classify(error)).toBe('fatal')
  expect(oneLine(error)).toMatch(/nowhere.*DATABASE_URL/)
})

test('a missing table is fatal and points to the migrations', async () => {
  const error = await problem(database.query('SELECT * FROM absent'))
  expect(classify(error)).toBe('fatal')
  expect(oneLine(error)).toMatch(/migrate/)
})

test('a connection that the server ends is retryable, and the pool goes on', async () => {
  const error = await problem(
    database.use(async (connection) => {
      await database.query('SELECT pg_terminate_backend($1)', [connection.pid])
      await connection.query('SELECT 1')
    }),
  )
  expect(classify(error)).toBe('retryable')
  expect((await database.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
})

test('listening hears each notification, ends with the signal, and fails with the connection', async () => {
  let heard = 0
  const ending = new AbortController()
  const listening = database.listen('news', () => heard++, ending.signal)
  await eventually(() => expect(heard).toBe(1))
  await database.query('NOTIFY news')
  await eventually(() => expect(heard).toBe(2))
  ending.abort()
  await listening

  const lost = problem(database.listen('news', () => heard++, new AbortController().signal))
  await eventually(() => expect(heard).toBe(3))
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`,
  )
  expect(classify(await lost)).toBe('retryable')
})
