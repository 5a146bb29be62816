/** The tables of a run beside those of a database that the sinks filled in one go from what the topics hold. */
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { openTables, type Tables } from '../../ops/local/demo/database.ts'
import type { Sink } from '../../workers/runtime/definitions.ts'
import { Decoder, schemaIdOf } from '../../workers/runtime/codec.ts'
import { connectDatabase, type Database } from '../../workers/runtime/database.ts'
import type { Registry } from '../../workers/runtime/kafka/registry.ts'
import { migrate } from '../../workers/runtime/migrate.ts'
import type { Entry } from './log.ts'

const migrations = fileURLToPath(new URL('../../ops/migrations/', import.meta.url))
const batch = 2_000
const shown = 3

export interface ReferenceTablesOptions {
  /** Of the run; the other database lies beside it. */
  readonly databaseUrl: string
  readonly sinks: readonly Sink[]
  readonly registry: Registry
}

export class ReferenceTables {
  readonly #options: ReferenceTablesOptions
  readonly #name: string
  readonly #database: Database
  readonly #expected: Tables
  readonly #waiting = new Map<Sink, object[]>()
  readonly #decoders = new Map<Sink, Decoder<object>>()

  private constructor(options: ReferenceTablesOptions, name: string, database: Database, expected: Tables) {
    this.#options = options
    this.#name = name
    this.#database = database
    this.#expected = expected
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

  /** Takes the next message of any topic. */
  async take({ topic, accepted, mark, message }: Entry): Promise<void> {
    if (!accepted || mark !== undefined || message.value === null) return
    for (const sink of this.#options.sinks) {
      if (sink.input !== topic) continue
      const decoder = this.#decoderOf(sink)
      await this.#learn(decoder, message.value)
      const waiting = this.#waiting.get(sink) ?? []
      this.#waiting.set(sink, waiting)
      waiting.push(decoder.decode(message.value))
      if (waiting.length >= batch) await this.#write(sink)
    }
  }

  /** Compares every table row for row. @returns what is missing, and what is too much */
  async differences(found: Tables): Promise<string[]> {
    for (const sink of this.#waiting.keys()) await this.#write(sink)
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

  async #write(sink: Sink): Promise<void> {
    const records = this.#waiting.get(sink) ?? []
    this.#waiting.set(sink, [])
    if (records.length === 0) return
    await this.#database.use(async (connection) => {
      await connection.query('BEGIN')
      await sink.write(records, connection)
      await connection.query('COMMIT')
    })
  }

  #decoderOf(sink: Sink): Decoder<object> {
    let decoder = this.#decoders.get(sink)
    if (decoder === undefined) this.#decoders.set(sink, (decoder = new Decoder(sink.input)))
    return decoder
  }

  async #learn(decoder: Decoder<object>, value: Buffer): Promise<void> {
    const id = schemaIdOf(value)
    if (id === undefined || decoder.knows(id)) return
    const schema = await this.#options.registry.schema(id)
    if (schema !== undefined) decoder.learn(id, schema)
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
