/** Reads the values of options. */
import { InvalidArgumentError } from 'commander'

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
