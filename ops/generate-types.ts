/** Writes schemas/types.ts, the TypeScript view of the Avro contracts; `--check` only compares. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { format, resolveConfig } from 'prettier'
import { z } from 'zod'

const folder = new URL('../schemas/', import.meta.url)
const target = new URL('types.ts', folder)

const Field = z.object({ name: z.string(), type: z.unknown(), doc: z.string().optional() })
const Named = z.object({ type: z.enum(['record', 'enum']), name: z.string(), doc: z.string().optional() })
const primitives: Record<string, string> = {
  null: 'null',
  boolean: 'boolean',
  int: 'number',
  long: 'number',
  float: 'number',
  double: 'number',
  string: 'string',
  bytes: 'Uint8Array',
}

/** @returns the text of schemas/types.ts for the .avsc files that are there. */
export async function generateTypes(): Promise<string> {
  const declarations = new Map<string, string>()
  for (const file of readdirSync(folder)
    .filter((name) => name.endsWith('.avsc'))
    .toSorted()) {
    typeOf(JSON.parse(readFileSync(new URL(file, folder), 'utf8')), declarations)
  }
  const text = `// Generated from the .avsc files by \`npm run types\`; do not edit.\n\n${[...declarations.values()].join('\n\n')}\n`
  return format(text, { ...(await resolveConfig(target)), parser: 'typescript' })
}

function typeOf(schema: unknown, declarations: Map<string, string>): string {
  if (typeof schema === 'string') return primitives[schema] ?? schema
  if (Array.isArray(schema)) return schema.map((branch) => typeOf(branch, declarations)).join(' | ')
  const { type } = z.object({ type: z.string() }).parse(schema)
  if (type === 'array')
    return `readonly (${typeOf(z.object({ items: z.unknown() }).parse(schema).items, declarations)})[]`
  if (type === 'map')
    return `Readonly<Record<string, ${typeOf(z.object({ values: z.unknown() }).parse(schema).values, declarations)}>>`
  if (type !== 'record' && type !== 'enum') return primitives[type] ?? type
  const named = Named.parse(schema)
  const doc = named.doc ? `/** ${named.doc} */\n` : ''
  if (type === 'enum') {
    const { symbols } = z.object({ symbols: z.array(z.string()) }).parse(schema)
    declarations.set(
      named.name,
      `${doc}export type ${named.name} = ${symbols.map((symbol) => `'${symbol}'`).join(' | ')}`,
    )
    return named.name
  }
  const { fields } = z.object({ fields: z.array(Field) }).parse(schema)
  const lines = fields.map(
    (field) => `${field.doc ? `/** ${field.doc} */\n` : ''}readonly ${field.name}: ${typeOf(field.type, declarations)}`,
  )
  declarations.set(named.name, `${doc}export interface ${named.name} {\n${lines.join('\n')}\n}`)
  return named.name
}

if (import.meta.main) {
  const text = await generateTypes()
  if (process.argv.includes('--check')) {
    if (readFileSync(target, 'utf8') !== text) {
      console.error('schemas/types.ts does not match the .avsc files: run `npm run types`')
      process.exitCode = 1
    }
  } else writeFileSync(target, text)
}
