/** Reads the values of options. */
import { InvalidArgumentError } from 'commander'
import type { Micros } from '../runtime/definitions.ts'
import { duration } from '../runtime/watch.ts'

/** @throws InvalidArgumentError where the text is no whole number from 0 on */
export function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number')
}

/** A place to begin to read at. */
export type From = 'earliest' | 'latest' | { readonly last: number }

/** @throws InvalidArgumentError where the text names no place */
export function readingStart(text: string): From {
  if (text === 'earliest' || text === 'latest') return text
  if (/^-\d{1,9}$/.test(text)) return { last: -Number(text) }
  throw new InvalidArgumentError('expected earliest, latest or -N')
}

/** A place to move an offset to. */
export type Target = 'earliest' | 'latest' | number

/** @throws InvalidArgumentError where the text names no place */
export function target(text: string): Target {
  if (text === 'earliest' || text === 'latest') return text
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected earliest, latest or an offset')
}

/** A point in time, in microseconds. @throws InvalidArgumentError where the text is none, or leaves its zone open */
export function pointInTime(text: string): Micros {
  if (/^\d{16}$/.test(text)) return Number(text)
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : NaN
  if (!Number.isNaN(time)) return time * 1_000
  throw new InvalidArgumentError('expected a time such as 2026-11-20T10:00:00Z, or microseconds since 1970')
}

/** A length of time in microseconds, or all of it. @throws InvalidArgumentError where the text is none */
export function lengthOfTime(text: string): 'all' | Micros {
  if (text === 'all') return text
  const length = duration.safeParse(text)
  if (length.success) return length.data
  throw new InvalidArgumentError('expected all, or a length of time such as 30m or 4h')
}

/** Whose topics the steps of a replay read. @throws InvalidArgumentError */
export function replayInputs(text: string): 'replayed' | 'live' {
  if (text === 'replayed' || text === 'live') return text
  throw new InvalidArgumentError('expected replayed or live')
}
