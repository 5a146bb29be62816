/** Hostile HTTP requests: a good one, and what is changed of its parts. */
import type { Edit, Fields, Input } from './kind.ts'

/** A part of what is sent; `before` and `after` stand beside the request. */
export type Part = 'method' | 'target' | 'version' | 'headers' | 'body' | 'before' | 'after' | 'line end'

export interface HttpEdit extends Edit {
  readonly part: Part | 'writes' | 'end'
  readonly bytes: Uint8Array
}

/** How a client goes away: it says that it has sent all, it breaks the connection, or it says nothing more. */
export type End = 'finish' | 'reset' | 'stay'

export interface HttpInput extends Input {
  readonly edits: readonly HttpEdit[]
  readonly path: string
}

export const latin1 = (value: string): Buffer => Buffer.from(value, 'latin1')

/** The writes of a request in their order, and how it ends. */
export function requestOf(input: HttpInput): Fields {
  if (input.raw !== undefined) return input.raw
  const part = (name: HttpEdit['part'], usual: string): Buffer =>
    Buffer.from(input.edits.find((edit) => edit.part === name)?.bytes ?? latin1(usual))
  const lineEnd = part('line end', '\r\n')
  const start = [part('method', 'GET'), part('target', input.path), part('version', 'HTTP/1.1')]
  const request = Buffer.concat([
    part('before', ''),
    ...start.flatMap((bytes, index) => (index === 0 ? [bytes] : [latin1(' '), bytes])),
    lineEnd,
    part('headers', 'Host: a\r\n'),
    lineEnd,
    part('body', ''),
    part('after', ''),
  ])
  const cuts = [...part('writes', '')].map((byte) => Math.floor((byte / 256) * request.length))
  const places = [0, ...cuts.toSorted((a, b) => a - b), request.length]
  const writes = places.slice(1).map((to, index) => request.subarray(places[index], to))
  return [...writes.map((bytes, index): Fields[number] => [`write ${index}`, bytes]), ['end', part('end', 'finish')]]
}
