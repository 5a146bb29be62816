/** Binary COPY against a real server: what goes in comes out. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CopyEncoder } from '../../../workers/runtime/copy-binary.ts'
import { connectDatabase, type Database } from '../../../workers/runtime/database.ts'
import type { Column, ColumnType, ColumnValue } from '../../../workers/runtime/definitions.ts'
import { classify } from '../../../workers/runtime/errors.ts'
import { freshDatabase, type FreshDatabase } from '../../support/servers.ts'

type Row = readonly ColumnValue[]

const types: readonly (readonly [name: string, type: ColumnType])[] = [
  ['position', 'integer'],
  ['name', 'text'],
  ['count', 'bigint'],
  ['ratio', 'double'],
  ['amount', 'numeric'],
  ['good', 'boolean'],
  ['ts', 'timestamptz'],
  ['tags', 'text[]'],
  ['facts', 'jsonb'],
]
const columns = types.map(([name, type], at): Column<Row> => ({ name, type, value: (row) => row[at] ?? null }))

/** PostgreSQL has no NUL in text, UTF-8 no lone surrogates. */
const text = fc.string({ unit: 'binary' }).map((value) => value.replaceAll('\0', ''))
const decimal = fc
  .tuple(fc.bigInt({ min: 0n, max: 10n ** 78n }), fc.stringMatching(/^(\.\d{1,40})?$/), fc.boolean())
  .map(([whole, fraction, negative]) => `${negative && /[1-9]/.test(whole + fraction) ? '-' : ''}${whole}${fraction}`)
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null })
const row = fc.tuple(
  orNull(text),
  orNull(fc.maxSafeInteger()),
  orNull(fc.double({ noNaN: true })),
  orNull(decimal),
  orNull(fc.boolean()),
  // From 1800 to 2250: microseconds as safe integers.
  orNull(fc.integer({ min: -5_364_662_400_000_000, max: 8_835_955_199_999_999 })),
  orNull(fc.array(text, { maxLength: 5 })),
  orNull(fc.dictionary(text, fc.oneof(text, fc.integer(), fc.boolean()))),
)

describe('binary COPY', () => {
  let fresh: FreshDatabase
  let database: Database

  beforeAll(async () => {
    fresh = await freshDatabase()
    database = await connectDatabase({ url: fresh.url })
    await database.query(`CREATE TABLE sample (position int, name text, count bigint, ratio float8, amount numeric,
      good boolean, ts timestamptz, tags text[], facts jsonb)`)
  })
  afterAll(async () => {
    await database.close()
    await fresh.drop()
  })

  const copyAndRead = async (rows: readonly Row[]) => {
    await database.query('TRUNCATE sample')
    await database.use((connection) => connection.copy('sample', columns, rows))
    return (await database.query('SELECT * FROM sample ORDER BY position')).rows
  }

  test('brings every value of every type to the table and back', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 40 }), async (values) => {
        const rows = values.map((value, position): ColumnValue[] => [position, ...value])
        const read = await copyAndRead(rows)
        expect(read.map((found) => columns.map(({ name }) => found[name]))).toEqual(rows)
      }),
      { numRuns: 60 },
    )
  })

  test('keeps the zeros behind a decimal point and integers beyond 2^53', async () => {
    const rows = ['0.00100000', '61234.5600', '0', '100000000', '0.1', '9999.9999', '10000'].map(
      (amount, position): ColumnValue[] => {
        return [position, null, '-9223372036854775808', null, amount, null, null, null, null]
      },
    )
    const read = await copyAndRead(rows)
    expect(read.map(({ amount }) => amount)).toEqual(rows.map((values) => values[4]))
    expect(read[0]?.['count']).toBe('-9223372036854775808')
  })

  test('writes rows larger than a slab and batches of many slabs', async () => {
    const rows = [200_000, 3, 70_000, 0, 500_000].map((length, position): ColumnValue[] => {
      return [position, 'é'.repeat(length), null, null, null, null, null, ['x'.repeat(length)], null]
    })
    const read = await copyAndRead(rows)
    expect(read.map(({ name, tags }) => [name, tags])).toEqual(rows.map((values) => [values[1], values[7]]))
  })

  test('takes up the next batch after the server refused one', async () => {
    await database.use(async (connection) => {
      const nul: ColumnValue[] = [0, 'a\0b', null, null, null, null, null, null, null]
      await expect(connection.copy('sample', columns, [nul])).rejects.toMatchObject({ code: '22021' })
      const good: ColumnValue[] = [7, 'fine', null, null, null, null, null, null, null]
      await connection.query('TRUNCATE sample')
      await connection.copy('sample', columns, [good])
      expect((await connection.query('SELECT position FROM sample')).rows).toEqual([{ position: 7 }])
    })
  })
})

test.each([
  ['numeric', '1e5'],
  ['numeric', '1.'],
  ['numeric', '.5'],
  ['numeric', ''],
  ['numeric', '1.2.3'],
  ['bigint', '9223372036854775808'],
  ['bigint', 2 ** 53],
  ['integer', 2 ** 31],
  ['timestamptz', Number.NaN],
  ['text', 5],
  ['boolean', 'true'],
] as const)('a %s column refuses %j as a poison record that names the column', (type, value) => {
  const encode = () => [
    ...new CopyEncoder().encode([{ name: 'spot', type, value: (spot: ColumnValue) => spot }], [value]),
  ]
  expect(encode).toThrow(/spot/)
  try {
    encode()
  } catch (error) {
    expect(classify(error)).toBe('poison')
  }
})
