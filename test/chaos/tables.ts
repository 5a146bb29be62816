/** The tables of a run beside those of a database that the sinks filled in one go from what the topics hold. */
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { openTables, type Tables } from '../../ops/local/demo/database.ts'
import type { Sink } from '../../workers/runtime/definitions.ts'
import { connectDatabase, type Database } from '../../workers/runtime/database.ts'
import type { Registry } from '../../workers/runtime/kafka/registry.ts'
import { migrate } from '../../workers/runtime/migrate.ts'
import type { Dirt } from './dirty/dirt.ts'
import type { Entry } from './log.ts'
import { ReferenceSink } from './reference-sink.ts'

const migrations = fileURLToPath(new URL('../../ops/migrations/', import.meta.url))
const shown = 3

export interface ReferenceTablesOptions {
  /** Of the run; the other database lies beside it. */
  readonly databaseUrl: string
  readonly sinks: readonly Sink[]
  readonly registry: Registry
  readonly dirt: Dirt
}

export class ReferenceTables {
  readonly #options: ReferenceTablesOptions
  readonly #name: string
  readonly #database: Database
  readonly #expected: Tables
  readonly #sinks: readonly ReferenceSink[]

  private constructor(options: ReferenceTablesOptions, name: string, database: Database, expected: Tables) {
    this.#options = options
    this.#name = name
    this.#database = database
    this.#expected = expected
    this.#sinks = options.sinks.map((sink) => new ReferenceSink(sink, database, options.registry, options.dirt))
  }

  static async create(options: ReferenceTablesOptions): Promise<ReferenceTables> {
    const url = new URL(options.databaseUrl)
    const name = `${url.pathname.slice(1)}_reference`
    await administer(options.databaseUrl, `DROP DATABASE IF EXISTS ${name}`, `CREATE DATABASE ${name}`)
    url.pathname = name
    await migrate({ url: url.href }, migrations)
    const database = await connectDatabase({ url: url.href, connections: 2 })
    return new ReferenceTables(options, name, database, openTables(url.href))
  }

  /** Ids of the dead letters that the sinks write without faults too. */
  get deadLetters(): readonly string[] {
    return this.#sinks.flatMap(({ deadLetters }) => deadLetters)
  }

  /** Takes the next message of any topic. */
  async take(entry: Entry): Promise<void> {
    for (const sink of this.#sinks) if (sink.topic === entry.topic) await sink.take(entry)
  }

  /** Compares every table row for row. @returns what is missing, and what is too much */
  async differences(found: Tables): Promise<string[]> {
    for (const sink of this.#sinks) await sink.flush()
    const differences: string[] = []
    for (const table of Object.keys(await found.counts())) {
      if (table === 'alert_outbox') differences.push(...(await outboxDifferences(this.#expected, found)))
      else differences.push(...(await tableDifferences(table, this.#expected, found)))
    }
    return differences
  }

  async close(): Promise<void> {
    await this.#expected.close()
    await this.#database.close()
    await administer(this.#options.databaseUrl, `DROP DATABASE ${this.#name} WITH (FORCE)`)
  }
}

async function tableDifferences(table: string, expected: Tables, found: Tables): Promise<string[]> {
  const digest = `SELECT md5(string_agg(line, '' ORDER BY line)) AS digest FROM (SELECT md5(t::text) AS line FROM ${table} t) AS lines`
  const [[one], [other]] = await Promise.all([expected.query(digest), found.query(digest)])
  if (one?.['digest'] === other?.['digest']) return []
  const rows = `SELECT t::text AS line FROM ${table} t`
  return compareLines(table, await linesOf(expected, rows), await linesOf(found, rows))
}

/** What is sent depends on when it is sent; which alerts are fired and which are taken back does not. */
async function outboxDifferences(expected: Tables, found: Tables): Promise<string[]> {
  const fired = `SELECT concat_ws(' ', alert_id, revision, channel, payload, CASE WHEN status = 'cancelled' OR EXISTS (
      SELECT FROM alert_outbox r WHERE r.removed AND (r.alert_id, r.revision, r.channel) = (o.alert_id, o.revision, o.channel))
      THEN 'taken back' END) AS line
    FROM alert_outbox o WHERE NOT removed`
  return compareLines('alert_outbox', await linesOf(expected, fired), await linesOf(found, fired))
}

const linesOf = async (tables: Tables, sql: string): Promise<string[]> =>
  (await tables.query<{ line: string }>(sql)).map(({ line }) => line)

function compareLines(what: string, expected: readonly string[], found: readonly string[]): string[] {
  const [wanted, there] = [new Set(expected), new Set(found)]
  const lacking = expected.filter((line) => !there.has(line))
  const surplus = found.filter((line) => !wanted.has(line))
  return [
    ...(lacking.length > 0
      ? [`${what} lacks ${lacking.length} rows, such as ${lacking.slice(0, shown).join(' and ')}`]
      : []),
    ...(surplus.length > 0
      ? [`${what} holds ${surplus.length} rows too many, such as ${surplus.slice(0, shown).join(' and ')}`]
      : []),
    ...(found.length !== there.size ? [`${what} holds ${found.length - there.size} rows twice`] : []),
  ]
}

async function administer(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}
