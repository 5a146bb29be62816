/**
 * W3C trace context (https://www.w3.org/TR/trace-context/#traceparent-header). A connector begins a trace with each record;
 * what follows from a record carries its `traceparent` unchanged, down to the log line of an alert.
 */
import { randomFillSync } from 'node:crypto'
import type { Headers } from './headers.ts'

const idBytes = 24
/** Random bytes are drawn for many records at once. */
const pool = Buffer.allocUnsafe(idBytes * 512)
let at = pool.length

/** @returns the traceparent of a new, sampled trace: `00-<trace id>-<span id>-01`. */
export function newTraceparent(): string {
  if (at >= pool.length) {
    randomFillSync(pool)
    at = 0
  }
  const id = pool.toString('hex', at, at + idBytes)
  at += idBytes
  return `00-${id.slice(0, 32)}-${id.slice(32)}-01`
}

/** @returns the traceparent that a message carries. */
export function traceparentOf(headers: Headers | undefined): string | undefined {
  const value = headers?.traceparent
  return (Array.isArray(value) ? value[0] : value)?.toString()
}

/** @returns the trace id in a traceparent, by which logs and traces are found. */
export const traceIdOf = (traceparent: string): string | undefined => traceparent.split('-')[1]
