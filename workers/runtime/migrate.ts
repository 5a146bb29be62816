/** Brings the database's tables to what this version expects, whoever starts first. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connectDatabase, type Connection, type DatabaseConfig } from './database.ts'
import { FatalError } from './errors.ts'

/** Any number that no other program takes on this database. */
const advisoryLock = 7_236_402_117

const log = `CREATE TABLE IF NOT EXISTS schema_migrations (
  name text PRIMARY KEY,
  checksum text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
)`

/**
 * Applies the numbered .sql files of a folder that have not been applied, in order of their names, each in a transaction
 * of its own. Processes that start at once wait for each other. Files applied by a newer version are left alone.
 * @returns names of the files that this call applied
 * @throws FatalError `database` where a file has changed since it was applied, or cannot be applied
 */
export async function migrate(config: DatabaseConfig, folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => /^\d+.*\.sql$/.test(name)).toSorted()
  const files = await Promise.all(
    names.map(async (name) => ({ name, sql: await readFile(join(folder, name), 'utf8') })),
  )
  const database = await connectDatabase({ ...config, connections: 1, statementMs: 0 })
  try {
    return await database.use(async (connection) => {
      await connection.query('SELECT pg_advisory_lock($1)', [advisoryLock])
      try {
        return await applyMissing(connection, files)
      } finally {
        await connection.query('SELECT pg_advisory_unlock($1)', [advisoryLock])
      }
    })
  } finally {
    await database.close()
  }
}

interface File {
  readonly name: string
  readonly sql: string
}

async function applyMissing(connection: Connection, files: readonly File[]): Promise<string[]> {
  await connection.query(log)
  const { rows } = await connection.query('SELECT name, checksum FROM schema_migrations')
  const applied = new Map(rows.map((row) => [row['name'], row['checksum']]))
  const checked = files.map((file) => ({ ...file, checksum: createHash('sha256').update(file.sql).digest('hex') }))
  const changed = checked.filter(({ name, checksum }) => applied.has(name) && applied.get(name) !== checksum)
  if (changed.length > 0) {
    throw new FatalError('database', 'migrations have changed since they were applied', {
      details: changed.map(({ name }) => name),
      hint: 'restore the files and put the change into a new one',
    })
  }
  const missing = checked.filter(({ name }) => !applied.has(name))
  for (const file of missing) await apply(connection, file)
  return missing.map(({ name }) => name)
}

async function apply(connection: Connection, file: File & { readonly checksum: string }): Promise<void> {
  await connection.query('BEGIN')
  try {
    await connection.query(file.sql)
    await connection.query('INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)', [file.name, file.checksum])
    await connection.query('COMMIT')
  } catch (cause) {
    await connection.query('ROLLBACK')
    throw new FatalError('database', `applying the migration ${file.name}`, { cause })
  }
}
