/** What the sinks that keep a table share: rows are copied in; what they remove or replace is deleted first. */
import { quoted, sqlState, timestamp } from '../workers/runtime/database.ts'
import {
  defineSink,
  type ColumnType,
  type ColumnValue,
  type Sink,
  type SinkTransaction,
  type Topic,
} from '../workers/runtime/definitions.ts'

/** A column, and what a record puts into it. */
export type Mapping<In extends object> = readonly [name: string, type: ColumnType, value: (record: In) => ColumnValue]

export interface TableSink<In extends object> {
  readonly name: string
  readonly input: Topic<In>
  readonly table: string
  /** Columns of the primary key, the time first. */
  readonly key: readonly [time: string, ...others: string[]]
  readonly columns: readonly Mapping<In>[]
}

/**
 * Defines a sink that keeps a table like its topic: one row a record, none where it was removed.
 *
 * Positions have dropped duplicates, so rows are copied straight in. Only in a batch that takes part in a
 * reorganisation, or where the table holds a row of the same key already (an offset was reset, a step reprocessed), are
 * the batch's keys deleted before: the newest record wins.
 */
export function defineTableSink<In extends object>(sink: TableSink<In>): Sink<In> {
  const table = new Table(sink)
  return defineSink({
    name: sink.name,
    input: sink.input,
    async write(records, transaction) {
      if (records.some(reorganised) || !(await table.append(records, transaction))) {
        await table.replace(records, transaction)
      }
    },
  })
}

const isRemoved = (record: object): boolean => 'removed' in record && record.removed === true
const reorganised = (record: object): boolean =>
  isRemoved(record) || ('revision' in record && typeof record.revision === 'number' && record.revision > 0)

const uniqueViolation = '23505'

class Table<In extends object> {
  readonly #table: string
  readonly #columns: readonly { readonly name: string; readonly type: ColumnType }[]
  readonly #values: readonly Mapping<In>[2][]
  readonly #key: readonly Mapping<In>[]
  readonly #delete: string

  constructor({ table, key, columns }: TableSink<In>) {
    this.#table = table
    this.#columns = columns.map(([name, type]) => ({ name, type }))
    this.#values = columns.map(([, , value]) => value)
    this.#key = key.flatMap((name) => columns.filter(([column]) => column === name))
    const arrays = this.#key.map(([, type], i) => `$${i + 1}::${type}[]`)
    const names = this.#key.map(([name]) => quoted(name))
    const bounds = [names.length + 1, names.length + 2]
    // The bounds keep TimescaleDB from looking into every chunk.
    this.#delete = `DELETE FROM ${quoted(table)} USING unnest(${arrays.join(', ')}) AS gone (${names.join(', ')})
      WHERE ${names.map((name) => `${quoted(table)}.${name} = gone.${name}`).join(' AND ')}
      AND ${quoted(table)}.${names[0]} BETWEEN $${bounds[0]} AND $${bounds[1]}`
  }

  /** @returns false, with nothing written, where a key is there already */
  async append(records: readonly In[], transaction: SinkTransaction): Promise<boolean> {
    await transaction.query('SAVEPOINT append')
    try {
      await this.#copy(records, transaction)
      return true
    } catch (error) {
      if (sqlState(error) !== uniqueViolation) throw error
      await transaction.query('ROLLBACK TO SAVEPOINT append')
      return false
    }
  }

  /** Of several records of a key the last wins. */
  async replace(records: readonly In[], transaction: SinkTransaction): Promise<void> {
    const last = [...new Map(records.map((record) => [this.#keyOf(record), record])).values()]
    const keys = this.#key.map(([, type, value]) =>
      last.map((record) => {
        const part = value(record)
        return type === 'timestamptz' && typeof part === 'number' ? timestamp(part) : part
      }),
    )
    const times = keys[0]?.toSorted() ?? []
    await transaction.query(this.#delete, [...keys, times[0], times.at(-1)])
    const standing = last.filter((record) => !isRemoved(record))
    if (standing.length > 0) await this.#copy(standing, transaction)
  }

  #keyOf(record: In): string {
    return this.#key.map(([, , value]) => JSON.stringify(value(record))).join()
  }

  #copy(records: readonly In[], transaction: SinkTransaction): Promise<void> {
    const values = this.#values
    return transaction.copy(
      this.#table,
      this.#columns,
      records.map((record) => values.map((value) => value(record))),
    )
  }
}
