/** What the sinks that keep a table share: rows are copied in; what they remove or replace is deleted first. */
import { quoted, sqlState, timestamp } from '../workers/runtime/database.ts'
import {
  defineSink,
  type Column,
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
 * Positions have dropped duplicates, so rows are copied straight in. A batch that takes part in a reorganisation is folded
 * by key, the newest record wins, and only those keys are deleted before of which the table may hold a row. Where it
 * holds one of another key too (an offset was reset, a step reprocessed), all keys of the batch are.
 */
export function defineTableSink<In extends object>(sink: TableSink<In>): Sink<In> {
  const table = new Table(sink)
  return defineSink({
    name: sink.name,
    input: sink.input,
    async write(records, transaction) {
      if (records.length === 0) return table.copyNothing(transaction)
      const { standing, stale } = records.some(reorganised) ? table.fold(records) : { standing: records, stale: [] }
      if (stale.length > 0) await table.delete(stale, transaction)
      if (!(await table.append(standing, transaction))) await table.replace(records, transaction)
    },
  })
}

const isRemoved = (record: object): boolean => 'removed' in record && record.removed === true
const reorganised = (record: object): boolean =>
  isRemoved(record) || ('revision' in record && typeof record.revision === 'number' && record.revision > 0)

const uniqueViolation = '23505'

/** What a batch comes to. */
interface Folded<In> {
  /** The last record of each key, where it is not a removal. */
  readonly standing: readonly In[]
  /** One record of each key of which the table may hold a row. */
  readonly stale: readonly In[]
}

class Table<In extends object> {
  readonly #table: string
  readonly #columns: readonly Column<In>[]
  readonly #key: readonly Column<In>[]
  readonly #delete: string

  constructor({ table, key, columns }: TableSink<In>) {
    this.#table = table
    this.#columns = columns.map(([name, type, value]) => ({ name, type, value }))
    this.#key = key.flatMap((name) => this.#columns.filter((column) => column.name === name))
    const arrays = this.#key.map(({ type }, i) => `$${i + 1}::${type}[]`)
    const names = this.#key.map(({ name }) => quoted(name))
    const bounds = [names.length + 1, names.length + 2]
    // The bounds keep TimescaleDB from looking into every chunk.
    this.#delete = `DELETE FROM ${quoted(table)} USING unnest(${arrays.join(', ')}) AS gone (${names.join(', ')})
      WHERE ${names.map((name) => `${quoted(table)}.${name} = gone.${name}`).join(' AND ')}
      AND ${quoted(table)}.${names[0]} BETWEEN $${bounds[0]} AND $${bounds[1]}`
  }

  /**
   * A key that the batch begins with a first addition is not in the table, and one that it leaves removed must not be; if the
   * first does not hold, copying fails.
   */
  fold(records: readonly In[]): Folded<In> {
    const last = new Map<string, In>()
    const stale = new Map<string, In>()
    for (const record of records) {
      const key = this.#keyOf(record)
      if (reorganised(record) && !last.has(key)) stale.set(key, record)
      last.set(key, record)
    }
    const standing: In[] = []
    for (const [key, record] of last) {
      if (isRemoved(record)) stale.set(key, record)
      else standing.push(record)
    }
    return { standing, stale: [...stale.values()] }
  }

  /** Asks whether the table would take rows. */
  copyNothing(transaction: SinkTransaction): Promise<void> {
    return transaction.copy(this.#table, this.#columns, [])
  }

  /** @returns false, with nothing written, where a key is there already */
  async append(records: readonly In[], transaction: SinkTransaction): Promise<boolean> {
    if (records.length === 0) return true
    await transaction.query('SAVEPOINT append')
    try {
      await transaction.copy(this.#table, this.#columns, records)
      return true
    } catch (error) {
      if (sqlState(error) !== uniqueViolation) throw error
      await transaction.query('ROLLBACK TO SAVEPOINT append')
      return false
    }
  }

  /** Writes a batch whatever the table holds. */
  async replace(records: readonly In[], transaction: SinkTransaction): Promise<void> {
    const { standing } = this.fold(records)
    await this.delete(records, transaction)
    if (standing.length > 0) await transaction.copy(this.#table, this.#columns, standing)
  }

  async delete(records: readonly In[], transaction: SinkTransaction): Promise<void> {
    const keys = this.#key.map(({ type, value }) =>
      records.map((record) => {
        const part = value(record)
        return type === 'timestamptz' && typeof part === 'number' ? timestamp(part) : part
      }),
    )
    const times = keys[0]?.toSorted() ?? []
    await transaction.query(this.#delete, [...keys, times[0], times.at(-1)])
  }

  #keyOf(record: In): string {
    let key = ''
    for (const { value } of this.#key) {
      const part = value(record)
      key += (typeof part === 'string' ? part : JSON.stringify(part)) + '\0'
    }
    return key
  }
}
