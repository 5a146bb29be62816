/** The database client: the only module that knows pg. */
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { CopyEncoder } from './copy-binary.ts'
import type { Micros, SinkTransaction } from './definitions.ts'
import { FatalError, oneLine, PoisonError, RetryableError } from './errors.ts'
import { mayFail } from './test-errors.ts'

export interface DatabaseConfig {
  /** postgres://user:password@host:port/database; `sslmode` and its like are understood. */
  readonly url: string
  /** Certificate authority (PEM), where it is not one of the system's; turns TLS on. */
  readonly caFile?: string | undefined
  /** Most connections at once; 8 where it is not given. */
  readonly connections?: number | undefined
  /** Longest a statement may run, in milliseconds; 60,000 where it is not given, 0: as long as it takes. */
  readonly statementMs?: number | undefined
}

export interface Rows {
  readonly rows: Record<string, unknown>[]
  readonly rowCount: number
}

/** One connection. timestamptz comes as microseconds, int8 as a number where it is safe (else text), numeric as text. */
export interface Connection extends SinkTransaction {
  /** The server's process behind it. */
  readonly pid: number
}

export interface Database {
  query(sql: string, values?: readonly unknown[]): Promise<Rows>
  /** Runs `work` on a connection of the pool; a connection on which it threw is closed. */
  use<T>(work: (connection: Connection) => Promise<T>): Promise<T>
  /** Runs `work` on a new connection, however busy the pool is. */
  useNew<T>(work: (connection: Connection) => Promise<T>): Promise<T>
  /** Calls `heard` at each notification and once at the start, until `signal` aborts; throws where the connection is lost. */
  listen(channel: string, heard: () => void, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** All our connections have it, so that one may end the backend of another (see sink-writer.ts) but nobody else's. */
const applicationName = 'crypto-intel'
/** How long a frozen process may hold its locks; acknowledging refused records in the broker must fit in. */
const idleInTransactionMs = 20_000
const connectMs = 10_000
/** The server ends a statement first; whoever says nothing for so much longer has gone silent. */
const silentMs = 2_000

/**
 * Connects and tries the connection.
 * @throws FatalError `database` where the server refuses the user or has no such database
 * @throws RetryableError `unavailable` where nobody answers
 */
export async function connectDatabase(config: DatabaseConfig): Promise<Database> {
  const statementMs = config.statementMs ?? 60_000
  const settings: pg.PoolConfig = {
    connectionString: withAuthority(config),
    application_name: applicationName,
    max: config.connections ?? 8,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: connectMs,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    statement_timeout: statementMs,
    query_timeout: statementMs === 0 ? 0 : statementMs + silentMs,
    types: { getTypeParser },
  }
  let pool = createPool(settings)
  /** Where one connection has gone silent the others that were made before are not to be trusted either. */
  const renew = (silent: pg.Pool): void => {
    if (pool !== silent) return
    pool = createPool(settings)
    void silent.end()
  }
  const open = async (): Promise<pg.Client> => {
    const client = new pg.Client(settings)
    client.on('error', ignore)
    await client.connect().catch((error: unknown) => refuse(error, config))
    return client
  }
  const database: Database = {
    query: (sql, values) => database.use((connection) => connection.query(sql, values)),
    async use(work) {
      const current = pool
      const client = await current.connect().catch((error: unknown) => refuse(error, config))
      return during(client, work, (failed) => client.release(failed)).catch((error: unknown) => {
        if (error instanceof Error && error.message === 'Query read timeout') renew(current)
        throw error
      })
    },
    async useNew(work) {
      const client = await open()
      return during(client, work, () => void client.end())
    },
    async listen(channel, heard, signal) {
      const client = await open()
      try {
        await hear(client, channel, heard, signal)
      } finally {
        await client.end()
      }
    },
    close: () => pool.end(),
  }
  await database.query('SELECT 1').catch(async (error: unknown) => {
    await pool.end()
    throw error
  })
  return database
}

const ignore = (): void => {}

function createPool(settings: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool(settings)
  // Whoever works on a connection that is lost learns it from the query; the pool replaces the idle ones.
  pool.on('error', ignore)
  pool.on('connect', (client) => client.on('error', ignore))
  return pool
}

async function during<T>(
  client: pg.ClientBase,
  work: (connection: Connection) => Promise<T>,
  release: (failed: boolean) => void,
): Promise<T> {
  let failed = true
  try {
    const result = await work(await connectionOf(client))
    failed = false
    return result
  } catch (error) {
    throw explain(error)
  } finally {
    release(failed)
  }
}

const connections = new WeakMap<pg.ClientBase, Connection>()

async function connectionOf(client: pg.ClientBase): Promise<Connection> {
  const known = connections.get(client)
  if (known) return known
  const encoder = new CopyEncoder()
  const query = async (sql: string, values: readonly unknown[] = []): Promise<Rows> => {
    const { rows, rowCount } = await client.query<Record<string, unknown>>(sql, [...values])
    return { rows, rowCount: rowCount ?? 0 }
  }
  const { rows } = await query('SELECT pg_backend_pid() AS pid')
  const connection: Connection = {
    pid: Number(rows[0]?.['pid']),
    query,
    async copy(table, columns, records) {
      mayFail('copy')
      await pipeline(encoder.encode(columns, records), client.query(copyFrom(copySql(table, columns))))
    },
  }
  connections.set(client, connection)
  return connection
}

const copySql = (table: string, columns: readonly { readonly name: string }[]): string =>
  `COPY ${quoted(table)} (${columns.map((column) => quoted(column.name)).join(', ')}) FROM STDIN (FORMAT binary)`

/** A name as SQL takes it. */
export const quoted = (name: string): string => pg.escapeIdentifier(name)

async function hear(client: pg.Client, channel: string, heard: () => void, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // The connection may end before anyone awaits it.
  promise.catch(ignore)
  client.on('notification', heard)
  client.on('error', (error) => reject(error))
  client.on('end', () => reject(new RetryableError('unavailable', 'lost the database connection that listens')))
  signal.addEventListener('abort', () => resolve(), { once: true })
  if (signal.aborted) return
  await client.query(`LISTEN ${quoted(channel)}`)
  heard()
  await promise
}

/** sslrootcert in the URL makes pg verify the server's certificate and name. */
function withAuthority(config: DatabaseConfig): string {
  if (config.caFile === undefined) return config.url
  const url = new URL(config.url)
  url.searchParams.set('sslrootcert', config.caFile)
  if (!url.searchParams.has('sslmode')) url.searchParams.set('sslmode', 'verify-full')
  return url.href
}

/**
 * An event time as a parameter for timestamptz.
 * @throws PoisonError `refused` where it is beyond what a date can hold
 */
export function timestamp(micros: Micros): string {
  const second = new Date(Math.floor(micros / 1_000_000) * 1_000)
  if (Number.isNaN(second.getTime())) throw new PoisonError('refused', `${micros} is no event time`)
  const fraction = String(((micros % 1_000_000) + 1_000_000) % 1_000_000).padStart(6, '0')
  return second.toISOString().replace('.000Z', `.${fraction}Z`)
}

/** Says why no connection came about. */
function refuse(error: unknown, config: DatabaseConfig): never {
  const { host, pathname } = new URL(config.url)
  const at = `connecting to the database at ${host}${pathname}`
  const code = sqlState(error)
  // Class 28: refused user or password; 3D000: no such database.
  if (code.startsWith('28') || code === '3D000') {
    throw new FatalError('database', at, { hint: 'check user, password and database in DATABASE_URL', cause: error })
  }
  if (isTlsFault(error)) {
    throw new FatalError('database', at, { hint: 'check DATABASE_CA_FILE and sslmode in DATABASE_URL', cause: error })
  }
  throw new RetryableError('unavailable', at, {
    hint: 'is it running, and does DATABASE_URL point to it?',
    cause: error,
  })
}

/** A certificate that is not trusted, or a server without TLS (https://nodejs.org/api/tls.html#x509-certificate-error-codes). */
function isTlsFault(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  return /CERT|^UNABLE_TO_|^HOSTNAME_MISMATCH$/.test(code) || /does not support SSL/.test(error.message)
}

/** Tables or columns that are not there are the migrations' business; all else speaks for itself. */
function explain(error: unknown): unknown {
  if (!['42P01', '42703'].includes(sqlState(error))) return error
  return new FatalError('database', 'the database has other tables than this version expects', {
    hint: 'run the migrations: npm start -- migrate',
    cause: error,
  })
}

/** How a refused row reads in a dead letter: with the column, which PostgreSQL may give in the context of a COPY alone. */
export function refusalText(error: unknown): string {
  if (!(error instanceof pg.DatabaseError)) return oneLine(error)
  const column = error.column ?? /, column ("[^"]+"|[^\s,:]+)/.exec(error.where ?? '')?.[1]
  return column === undefined || error.message.includes(column) ? oneLine(error) : `column ${column}: ${oneLine(error)}`
}

/** The SQLSTATE of an error of the server; empty for any other error. */
export const sqlState = (error: unknown): string => (error instanceof pg.DatabaseError ? (error.code ?? '') : '')

const int8 = 20
const timestamptz = 1184

function getTypeParser(oid: number, format?: 'text' | 'binary'): (text: string) => unknown {
  if (oid === int8) return (text) => (Number.isSafeInteger(Number(text)) ? Number(text) : text)
  if (oid === timestamptz) return parseTimestamp
  return pg.types.getTypeParser(oid, format)
}

/** `2024-08-08 00:00:00.123456+00` as microseconds: Date keeps only the milliseconds. */
function parseTimestamp(text: string): Micros | string {
  const [, toSecond = '', fraction = '', zone = ''] =
    /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.?(\d*)([+-][\d:]+)$/.exec(text) ?? []
  const seconds = Date.parse(`${toSecond.replace(' ', 'T')}${zone.length === 3 ? `${zone}:00` : zone}`)
  return Number.isNaN(seconds) ? text : seconds * 1_000 + Number(fraction.padEnd(6, '0'))
}
