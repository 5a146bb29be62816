/** What every command is given, and how it prints. */
import type { Env } from '../runtime/config.ts'
import type { Topology } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import { nearest } from '../runtime/nearest.ts'

export interface App {
  readonly topologies: readonly Topology[]
  readonly env: Env
  /** Prints a line of the result. */
  print(line: string): void
  /** From the call on Ctrl-C does not end the process but aborts the signal: for what would go on for ever. */
  untilStopped(): AbortSignal
}

/** @returns the topology of that name. @throws FatalError that names the nearest and all there are */
export function topologyCalled(app: App, name: string): Topology {
  return find(app.topologies, name, 'topology')
}

/** @returns the one called so. @throws FatalError that names the nearest and all there are */
export function find<T extends { readonly name: string }>(all: readonly T[], name: string, kind: string): T {
  const found = all.find((one) => one.name === name)
  if (found !== undefined) return found
  const known = all.map((one) => one.name)
  throw new FatalError('usage', `no ${kind} is called ${name}`, { hint: proposal(name, known) })
}

/** What somebody who wrote `name` may have meant. */
export function proposal(name: string, known: readonly string[]): string {
  const like = nearest(name, known)
  return like === undefined ? `there are: ${known.join(', ')}` : `did you mean ${like}?`
}

/** Prints rows under headings, numbers to the right, without blanks at the end. */
export function printTable(
  app: App,
  headings: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): void {
  const widths = headings.map((heading, at) =>
    Math.max(heading.length, ...rows.map((row) => String(row[at] ?? '').length)),
  )
  const right = headings.map(
    (_, at) => rows.length > 0 && rows.every((row) => typeof row[at] === 'number' || row[at] === '-'),
  )
  for (const row of [headings, ...rows]) {
    const cells = row.map((cell, at) => {
      const width = widths[at] ?? 0
      return right[at] ? String(cell).padStart(width) : String(cell).padEnd(width)
    })
    app.print(cells.join('  ').trimEnd())
  }
}

/** JSON of plain data; bytes as text where they are text, else as hex. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, (_key, inner: unknown) => (isBytes(inner) ? textOf(inner) : inner), indent)
}

/** Buffer's own toJSON runs before the replacer, so its form is recognised too. */
function isBytes(value: unknown): value is Uint8Array | { readonly type: 'Buffer'; readonly data: readonly number[] } {
  if (value instanceof Uint8Array) return true
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer' && 'data' in value
}

/** @returns bytes as text where they are printable UTF-8, else as 0x and hex digits. */
export function textOf(bytes: Uint8Array | { readonly data: readonly number[] }): string {
  const buffer = bytes instanceof Uint8Array ? Buffer.from(bytes) : Buffer.from(bytes.data)
  const text = buffer.toString()
  const printable = !/[^\P{Cc}\s]|\ufffd/u.test(text)
  return printable ? text : `0x${buffer.toString('hex')}`
}

/** A time in microseconds as ISO 8601. */
export const isoTime = (micros: number): string => new Date(micros / 1_000).toISOString()
