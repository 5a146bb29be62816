/**
 * The part of PostgreSQL that a sink's transaction needs, in memory: savepoints, deletes by key, primary keys as the migrations
 * give them, and what the server refuses in a text. What is copied is read by a reader of its own.
 */
import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'
import { CopyEncoder } from '../../../workers/runtime/copy-binary.ts'
import { timestamp, type Connection, type Database, type Rows } from '../../../workers/runtime/database.ts'
import type { Column } from '../../../workers/runtime/definitions.ts'
import { rowsOf } from './copy-reader.ts'
import type { Output } from './reader.ts'

/** A row of a table. */
interface Row extends Output {
  /** What a column holds, as a parameter of a statement would say it. */
  readonly valueOf: (column: string) => unknown
}

const migrations = new URL('../../../ops/migrations/', import.meta.url)

/** Names of the columns of a list in SQL. */
const namesIn = (list: string): string[] => list.split(',').map((name) => name.trim().replaceAll('"', ''))

/** Table → columns of its primary key. */
const primaryKeys: ReadonlyMap<string, readonly string[]> = new Map(
  readdirSync(migrations)
    .filter((name) => name.endsWith('.sql'))
    .map((name) => readFileSync(new URL(name, migrations), 'utf8'))
    .flatMap((sql) => [...sql.matchAll(/CREATE TABLE (\w+) \(\n(?:(?!^\)).*\n)*? +PRIMARY KEY \(([^)]*)\)/gm)])
    .map(([, table = '', list = '']) => [table, namesIn(list)]),
)

/** NUL in a text within JSON, not a backslash before letters. */
const escapedNul = /(?<!\\)(?:\\\\)*\\u0000/

/** An error as the server sends it. */
function refusal(code: string, message: string): pg.DatabaseError {
  const error = new pg.DatabaseError(message, message.length, 'error')
  return Object.assign(error, { code, severity: 'ERROR' })
}

export class PlayedServer implements Database, Connection {
  readonly pid = 1
  readonly #offsetOf: ReadonlyMap<object, number>
  readonly #encoder = new CopyEncoder()
  #rows: readonly Row[] = []
  #savepoints: { readonly name: string; readonly rows: readonly Row[] }[] = []

  /** @param offsetOf the offset of each record that is written */
  constructor(offsetOf: ReadonlyMap<object, number>) {
    this.#offsetOf = offsetOf
  }

  /** The rows in the order of their records: a server's have none. */
  get rows(): Output[] {
    return this.#rows.toSorted((a, b) => a.offset - b.offset)
  }

  use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return work(this)
  }

  useNew<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    return work(this)
  }

  listen(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  query(sql: string, values: readonly unknown[] = []): Promise<Rows> {
    const words = sql.split(/\s+/)
    const name = words.at(-1) ?? ''
    const at = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name)
    if (words[0] === 'BEGIN') [this.#rows, this.#savepoints] = [[], []]
    else if (words[0] === 'SAVEPOINT') this.#savepoints.push({ name, rows: this.#rows })
    else if (words[0] === 'RELEASE') this.#savepoints.length = Math.max(0, at)
    else if (words[0] === 'ROLLBACK') {
      this.#rows = this.#savepoints[at]?.rows ?? []
      this.#savepoints.length = at + 1
    } else if (words[0] === 'DELETE') this.#delete(sql, values)
    return Promise.resolve({ rows: [], rowCount: 1 })
  }

  async copy<Record>(table: string, columns: readonly Column<Record>[], records: readonly Record[]): Promise<void> {
    // An encoder overwrites its own chunks with the next batch.
    const copied = await Promise.resolve(Buffer.concat([...this.#encoder.encode(columns, records)]))
    const rows = rowsOf(copied, columns.length)
    if (rows.length !== records.length) throw new Error(`${records.length} records make ${rows.length} rows`)
    const made = rows.map((value, index) => this.#row(table, columns, records[index], value))
    const key = primaryKeys.get(table)
    if (key === undefined) throw new Error(`the migrations make no table ${table}`)
    const keyOf = ({ valueOf }: Row): string => JSON.stringify(key.map(valueOf))
    const known = new Set(this.#rows.filter(({ target }) => target === table).map(keyOf))
    for (const row of made) {
      if (known.has(keyOf(row)))
        throw refusal('23505', `duplicate key value violates unique constraint "${table}_pkey"`)
      known.add(keyOf(row))
    }
    this.#rows = [...this.#rows, ...made]
  }

  #row<Record>(table: string, columns: readonly Column<Record>[], record: Record | undefined, value: Buffer): Row {
    const offset = typeof record === 'object' && record !== null ? this.#offsetOf.get(record) : undefined
    for (const { type, value: of } of columns) {
      const part = record === undefined ? undefined : of(record)
      if (type === 'jsonb' && escapedNul.test(JSON.stringify(part)))
        throw refusal('22P05', 'unsupported Unicode escape sequence')
      const texts: readonly unknown[] = Array.isArray(part) ? part : [part]
      if (type !== 'jsonb' && texts.some((text) => typeof text === 'string' && text.includes('\0')))
        throw refusal('22021', 'invalid byte sequence for encoding "UTF8": 0x00')
    }
    const valueOf = (name: string): unknown => {
      const column = columns.find((one) => one.name === name)
      const part = record === undefined ? undefined : column?.value(record)
      return column?.type === 'timestamptz' && typeof part === 'number' ? timestamp(part) : part
    }
    return { offset: offset ?? -1, index: 0, target: table, key: '', value, more: '', valueOf }
  }

  /** The rows whose key columns, which the statement names, are among its parameters. */
  #delete(sql: string, values: readonly unknown[]): void {
    const names = namesIn(/ AS gone \(([^)]*)\)/.exec(sql)?.[1] ?? '')
    const lists = names.map((_, index) => values[index])
    const [first] = lists
    const count = Array.isArray(first) ? first.length : 0
    const keyAt = (at: number): string =>
      JSON.stringify(lists.map((list): unknown => (Array.isArray(list) ? list[at] : undefined)))
    const gone = new Set(Array.from({ length: count }, (_, at) => keyAt(at)))
    this.#rows = this.#rows.filter(({ valueOf }) => !gone.has(JSON.stringify(names.map(valueOf))))
  }
}
