import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { topics } from '../../../schemas/topics.ts'
import { incompatibilities } from '../../../workers/cli/compatibility.ts'
import { command, failure } from './harness.ts'

const real = fileURLToPath(new URL('../../../schemas/', import.meta.url))
const Fields = z.looseObject({ fields: z.array(z.looseObject({ name: z.string() })) })
type Fields = z.output<typeof Fields>
const count = Object.keys(topics).length

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'schemas-'))
  for (const file of readdirSync(real).filter((name) => name.endsWith('.avsc')))
    cpSync(join(real, file), join(folder, file))
})
afterEach(() => rmSync(folder, { recursive: true }))

const check = (...more: string[]) => ['schemas', 'check', '--folder', folder, ...more]

/** Changes the schema of trades in the folder. */
function change(by: (schema: Fields) => Fields): void {
  const file = join(folder, 'market.trades.v1.avsc')
  writeFileSync(file, JSON.stringify(by(Fields.parse(JSON.parse(readFileSync(file, 'utf8'))))))
}
const add =
  (field: { readonly name: string; readonly [key: string]: unknown }) =>
  (schema: Fields): Fields => ({ ...schema, fields: [...schema.fields, field] })

describe('schemas check', () => {
  it('finds the committed schemas compatible with their committed history', async () => {
    expect(await command(['schemas', 'check'])).toEqual([`${count} schemas, compatible with all their versions`])
  })

  it('asks for versions that are not recorded, and records them', async () => {
    expect(await failure(check())).toMatch(
      / faults\n  market.trades.v1: this version is not recorded\n[^]*--record, and commit/,
    )
    expect(await command(check('--record'))).toHaveLength(count + 1)
    expect(await command(check())).toEqual([`${count} schemas, compatible with all their versions`])
  })

  it('lets a field with a default come and go, and records each version', async () => {
    await command(check('--record'))
    change(add({ name: 'maker', type: ['null', 'string'], default: null }))
    expect(await failure(check())).toMatch(/market.trades.v1: this version is not recorded/)
    await command(check('--record'))
    expect(readdirSync(join(folder, 'history')).filter((name) => name.startsWith('market.trades'))).toEqual([
      'market.trades.v1.1.avsc',
      'market.trades.v1.2.avsc',
    ])
    change((schema) => ({ ...schema, fields: schema.fields.filter(({ name }) => name !== 'maker') }))
    await command(check('--record'))
  })

  it('names every field that breaks compatibility, against every version', async () => {
    await command(check('--record'))
    change(add({ name: 'fee', type: 'string' }))
    const faults = 'market.trades.v1, against version 1: fee is new and has no default: older data cannot be read'
    expect(await failure(check())).toContain(faults)
    expect(await failure(check('--record'))).toContain(faults)
    change((schema) => ({ ...schema, fields: schema.fields.filter(({ name }) => name !== 'size' && name !== 'fee') }))
    expect(await failure(check())).toContain('size is gone and had no default: older code cannot read newer data')
    change((schema) => ({
      ...schema,
      fields: schema.fields.map((field) => (field.name === 'price' ? { ...field, type: 'double' } : field)),
    }))
    expect(await failure(check())).toMatch(
      /price: older data cannot be read .*\n.*price: older code cannot read newer data .*\n.*size is gone/,
    )
  })

  it('says which file is no JSON', async () => {
    writeFileSync(join(folder, 'market.quotes.v1.avsc'), '{')
    expect(await failure(check())).toMatch(/^Reading .*market.quotes.v1.avsc: Expected property name/)
  })
})

describe('compatibility', () => {
  const record = (type: unknown) =>
    JSON.parse(JSON.stringify({ type: 'record', name: 'R', fields: [{ name: 'inner', type }] }))
  const inner = (fields: unknown[]) => ({ type: 'record', name: 'Inner', fields })

  it('finds the field inside arrays and maps of records', () => {
    const [before, now] = [inner([]), inner([{ name: 'x', type: 'int' }])]
    const fault = 'x is new and has no default: older data cannot be read'
    expect(incompatibilities(record({ type: 'array', items: now }), record({ type: 'array', items: before }))).toEqual([
      `inner[].${fault}`,
    ])
    expect(incompatibilities(record({ type: 'map', values: now }), record({ type: 'map', values: before }))).toEqual([
      `inner{}.${fault}`,
    ])
  })

  it('refuses a symbol that older code does not know, and a wider number', () => {
    const symbols = (...names: string[]) => record({ type: 'enum', name: 'E', symbols: names })
    expect(incompatibilities(symbols('a', 'b'), symbols('a'))).toEqual([
      expect.stringMatching(/^inner: older code cannot read newer data/),
    ])
    expect(incompatibilities(record('long'), record('int'))).toEqual([expect.stringMatching(/^inner: older code/)])
  })

  it('passes what changes documentation only', () => {
    const plain = inner([{ name: 'x', type: 'int' }])
    const explained = inner([{ name: 'x', type: 'int', doc: 'what it is' }])
    expect(incompatibilities(record(explained), record(plain))).toEqual([])
  })
})
