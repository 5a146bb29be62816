/** Reads words of 32 bytes out of hex text, as event logs carry them; nothing is copied but what is asked for. */

const wordDigits = 64
const wordRange = 1n << 256n

/** Number of whole words in 0x… data; NaN where it does not divide into words. */
export function wordCount(data: string): number {
  const words = (data.length - 2) / wordDigits
  return Number.isInteger(words) ? words : Number.NaN
}

/** The address in a topic or a word of data. */
export const addressAt = (data: string, word: number): string =>
  `0x${data.slice(2 + word * wordDigits + 24, 2 + (word + 1) * wordDigits)}`

/** An unsigned word. */
export const uintAt = (data: string, word: number): bigint =>
  BigInt(`0x${data.slice(2 + word * wordDigits, 2 + (word + 1) * wordDigits)}`)

/** A word in two's complement. */
export function intAt(data: string, word: number): bigint {
  const value = uintAt(data, word)
  return value < wordRange / 2n ? value : value - wordRange
}

/**
 * A dynamic array of unsigned words whose offset stands at `word`.
 * Source: https://docs.soliditylang.org/en/latest/abi-spec.html#use-of-dynamic-types
 * @returns undefined where the data is too short for what it promises
 */
export function uintsAt(data: string, word: number): bigint[] | undefined {
  const words = wordCount(data)
  const offset = uintAt(data, word)
  if (offset % 32n !== 0n || offset / 32n >= BigInt(words)) return undefined
  const start = Number(offset / 32n)
  const length = uintAt(data, start)
  if (BigInt(start) + 1n + length > BigInt(words)) return undefined
  return Array.from({ length: Number(length) }, (_, index) => uintAt(data, start + 1 + index))
}
