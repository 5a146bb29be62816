/** `schemas check|register`: holds the schemas to their recorded versions, and gives them to the registry. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Schema } from 'avsc'
import type { Command } from 'commander'
import { topics as knownTopics } from '../../schemas/topics.ts'
import type { Topic } from '../runtime/definitions.ts'
import { classify, FatalError, oneLine } from '../runtime/errors.ts'
import { printTable, toJson, type App } from './app.ts'
import { incompatibilities } from './compatibility.ts'
import { withServers } from './servers.ts'

const schemaFolder = fileURLToPath(new URL('../../schemas/', import.meta.url))
const all: readonly Topic[] = Object.values(knownTopics)

interface CheckOptions {
  readonly record?: true
  readonly folder?: string
}

interface RegisterOptions {
  readonly json?: true
}

export function addSchemas(program: Command, app: App): void {
  const schemas = program
    .command('schemas')
    .description('Check schemas against their history, and register them.')
    .addHelpText('after', '\nExample:\n  npm start -- schemas check')
  schemas
    .command('check')
    .description('Check that every version of a schema can read every other (FULL_TRANSITIVE).')
    .option('--record', 'record the present schemas as new versions in <folder>/history')
    .option('--folder <folder>', "another folder than this version's schemas")
    .addHelpText('after', '\nExample:\n  npm start -- schemas check --record')
    .action((options: CheckOptions) => check(app, options))
  schemas
    .command('register')
    .description('Register all schemas; those that are registered already stay as they are.')
    .option('--json', 'print ids by subject as JSON')
    .addHelpText('after', '\nExample:\n  npm start -- schemas register')
    .action((options: RegisterOptions) => register(app, options))
}

interface Version {
  readonly number: number
  readonly schema: Schema
}

function check(app: App, { record, folder = schemaFolder }: CheckOptions): void {
  const details: string[] = []
  const unrecorded: { readonly name: string; readonly file: string; readonly schema: Schema }[] = []
  for (const { name } of all) {
    const file = join(folder, `${name}.avsc`)
    if (!existsSync(file)) details.push(`${name}.avsc is missing`)
    else {
      const schema = readSchema(file)
      const versions = versionsOf(folder, name)
      for (const { number, schema: before } of versions) {
        const faults = incompatibilities(schema, before)
        details.push(...faults.map((fault) => `${name}, against version ${number}: ${fault}`))
      }
      const newest = versions.at(-1)
      if (JSON.stringify(newest?.schema) === JSON.stringify(schema)) continue
      unrecorded.push({ name, file: join(folder, 'history', `${name}.${(newest?.number ?? 0) + 1}.avsc`), schema })
    }
  }
  if (details.length === 0 && !record)
    details.push(...unrecorded.map(({ name }) => `${name}: this version is not recorded`))
  if (details.length > 0) {
    const hint =
      details.length === unrecorded.length && !record
        ? 'run: npm start -- schemas check --record, and commit the files'
        : 'give a new field a default and keep the old ones, or make a new version of the topic'
    throw new FatalError('schema', 'Checking the schemas', { details, hint })
  }
  if (unrecorded.length > 0) mkdirSync(join(folder, 'history'), { recursive: true })
  for (const { file, schema } of unrecorded) {
    writeFileSync(file, `${JSON.stringify(schema, null, 2)}\n`)
    app.print(`recorded ${relative(folder, file)}`)
  }
  app.print(`${all.length} schemas, compatible with all their versions`)
}

/** The recorded versions of a topic's schema, oldest first. */
function versionsOf(folder: string, topic: string): Version[] {
  const history = join(folder, 'history')
  if (!existsSync(history)) return []
  return readdirSync(history)
    .flatMap((file) => {
      const [, name, number] = /^(.*)\.(\d+)\.avsc$/.exec(file) ?? []
      return name === topic ? [{ number: Number(number), schema: readSchema(join(history, file)) }] : []
    })
    .sort((a, b) => a.number - b.number)
}

function readSchema(file: string): Schema {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new FatalError('schema', `Reading ${file}`, { cause })
  }
}

function register(app: App, { json }: RegisterOptions): Promise<void> {
  return withServers(app, ['registry'], async ({ registry, names }) => {
    const ids: Record<string, number> = {}
    const details: string[] = []
    for (const topic of all) {
      try {
        ids[names.subject(topic)] = await registry.register(topic)
      } catch (error) {
        if (classify(error) === 'retryable') throw error
        details.push(oneLine(error))
      }
    }
    if (details.length > 0) throw new FatalError('schema', 'Registering the schemas', { details })
    if (json) app.print(toJson(ids, 2))
    else printTable(app, ['subject', 'id'], Object.entries(ids))
  })
}
