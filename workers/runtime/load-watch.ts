/** Reads the watch file: YAML, checked against watch.ts, every fault reported with its line and column. */
import { readFileSync } from 'node:fs'
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Tags } from 'yaml'
import { z } from 'zod'
import { FatalError } from './errors.ts'
import { nearest } from './nearest.ts'
import { WatchSchema, type Watch } from './watch.ts'

type Path = readonly PropertyKey[]

/**
 * Reads and checks the watch file.
 * @throws FatalError that lists every fault as file:line:column, path and what was expected
 */
export function loadWatch(path: string): Watch {
  const lines = new LineCounter()
  const document = parseDocument(readText(path), { lineCounter: lines, prettyErrors: false, customTags: withoutHex })
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `${path}:${line}:${col}`
  }
  const broken = [...document.errors, ...document.warnings].map(({ pos, message }) => `${at(pos[0])}: ${message}`)
  if (broken.length > 0) throw faulty(path, broken)
  const content: unknown = document.toJS()
  const parsed = WatchSchema.safeParse(content, { reportInput: true })
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues
    .flatMap((issue) => explain(issue, document))
    .sort((a, b) => a.offset - b.offset)
    .map(({ offset, text }) => `${at(offset)}: ${text}`)
  throw faulty(path, faults)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const hint = 'set WATCH_FILE, or copy watch.example.yaml and change it'
    throw new FatalError('watch-file', 'Reading the watch file', { cause, hint })
  }
}

function faulty(path: string, details: readonly string[]): FatalError {
  return new FatalError('watch-file', `Reading the watch file ${path}`, { details })
}

/** YAML reads 0x… as a number, which would cut addresses short; here it stays text. */
function withoutHex(tags: Tags): Tags {
  return tags.filter((tag) => typeof tag === 'string' || tag.format !== 'HEX')
}

/** What an issue says to people, one fault for each unknown key. */
function explain(issue: z.core.$ZodIssue, document: Document): { offset: number; text: string }[] {
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(issue.path)
    return issue.keys.map((key) => {
      const similar = nearest(key, known)
      const help = similar ? `is ${similar} meant?` : `there are: ${known.join(', ')}`
      const path = [...issue.path, key]
      return { offset: locate(document, path).key, text: `${show(path)}: no such key; ${help}` }
    })
  }
  const { key, value } = locate(document, issue.path)
  const offset = issue.code === 'invalid_key' ? key : value
  if (issue.code === 'custom') return [{ offset, text: `${show(issue.path)}: ${issue.message}` }]
  const expected = (issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined) ?? issue.message
  const given = issue.input === undefined ? 'nothing' : JSON.stringify(issue.input)
  const text = expected
    .replace(/^.*?\b(?=expected )/, '')
    .replace(/, received .*$/, '')
    .replaceAll('"|"', '", "')
  return [{ offset, text: `${show(issue.path)}: ${text}, got ${given.length > 60 ? `${given.slice(0, 60)}…` : given}` }]
}

/** `alerts[2].channels[0]` */
function show(path: Path): string {
  if (path.length === 0) return 'the file'
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '')
}

/** Where a path's key and value begin; of what is missing, where its nearest parent begins. */
function locate(document: Document, path: Path): { key: number; value: number } {
  let node: unknown = document.contents
  let place = { key: 0, value: document.contents?.range?.[0] ?? 0 }
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document)
    const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && String(key.value) === step) : undefined
    const next = isSeq(node) && typeof step === 'number' ? node.items[step] : pair?.value
    if (!pair && next === undefined) return place
    const key = startOf(pair?.key) ?? startOf(next) ?? place.key
    place = { key, value: startOf(next) ?? key }
    node = next
  }
  return place
}

function startOf(node: unknown): number | undefined {
  return isAlias(node) || isScalar(node) || isMap(node) || isSeq(node) ? node.range?.[0] : undefined
}

/** A part of a JSON Schema (https://json-schema.org), as far as finding an object's keys needs it. */
const Part = z.looseObject({
  properties: z.record(z.string(), z.unknown()).default({}),
  additionalProperties: z.unknown().optional(),
  items: z.unknown().optional(),
  anyOf: z.array(z.unknown()).default([]),
  oneOf: z.array(z.unknown()).default([]),
})

/** The keys that the schema knows at a path, of all variants. */
function keysAt(path: Path): string[] {
  const variants = (part: unknown): z.output<typeof Part>[] => {
    const parsed = Part.safeParse(part)
    return parsed.success ? [parsed.data, ...[...parsed.data.anyOf, ...parsed.data.oneOf].flatMap(variants)] : []
  }
  let parts = variants(z.toJSONSchema(WatchSchema, { io: 'input', unrepresentable: 'any' }))
  for (const step of path) {
    parts = parts.flatMap((part) =>
      typeof step === 'number'
        ? variants(part.items)
        : variants(part.properties[String(step)] ?? part.additionalProperties),
    )
  }
  return [...new Set(parts.flatMap((part) => Object.keys(part.properties)))]
}
