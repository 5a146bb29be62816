/** Exact arithmetic on decimal strings: what money is added and multiplied with, since doubles lose digits. */

/** A decimal as an integer count of its last place: `units × 10^-scale`. */
export interface Decimal {
  readonly units: bigint
  readonly scale: number
}

const shape = /^-?\d+(?:\.\d+)?$/

/**
 * Reads a plain decimal (`-12.50`, no exponent).
 * @throws RangeError where the text is none
 */
export function parseDecimal(text: string): Decimal {
  if (!shape.test(text)) throw new RangeError(`not a decimal: ${JSON.stringify(text)}`)
  const point = text.indexOf('.')
  if (point < 0) return { units: BigInt(text), scale: 0 }
  return { units: BigInt(text.slice(0, point) + text.slice(point + 1)), scale: text.length - point - 1 }
}

/** Writes a decimal in its canonical form: no exponent, no trailing zeros, no sign on zero. */
export function formatDecimal({ units, scale }: Decimal): string {
  if (scale === 0 || units === 0n) return units.toString()
  const sign = units < 0n ? '-' : ''
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0')
  let end = digits.length
  const point = end - scale
  while (end > point && digits.charCodeAt(end - 1) === 48) end -= 1
  const whole = sign + digits.slice(0, point)
  return end === point ? whole : `${whole}.${digits.slice(point, end)}`
}

const power = (exponent: number): bigint => 10n ** BigInt(exponent)

/** Sum of two decimals. */
export function plus(a: Decimal, b: Decimal): Decimal {
  if (a.scale === b.scale) return { units: a.units + b.units, scale: a.scale }
  if (a.scale < b.scale) return { units: a.units * power(b.scale - a.scale) + b.units, scale: b.scale }
  return { units: a.units + b.units * power(a.scale - b.scale), scale: a.scale }
}

/** Product of two decimals. */
export const times = (a: Decimal, b: Decimal): Decimal => ({ units: a.units * b.units, scale: a.scale + b.scale })

/** Sum of two decimal strings, in canonical form. */
export const addDecimals = (a: string, b: string): string => formatDecimal(plus(parseDecimal(a), parseDecimal(b)))

/** Product of two decimal strings, in canonical form. */
export const multiplyDecimals = (a: string, b: string): string => formatDecimal(times(parseDecimal(a), parseDecimal(b)))

/** Negative, zero or positive as `a` is less than, equal to or greater than `b`. */
export function compareDecimals(a: string, b: string): number {
  // Rounding to a double keeps order, so only what rounds alike needs every digit.
  const difference = Number(a) - Number(b)
  if (difference < 0 || difference > 0) return difference
  const { units } = plus(parseDecimal(a), times(parseDecimal(b), { units: -1n, scale: 0 }))
  return units < 0n ? -1 : units > 0n ? 1 : 0
}

/** An integer count of a token's smallest unit as a decimal of whole tokens. */
export const fromSmallestUnit = (amount: string, decimals: number): string =>
  formatDecimal({ units: BigInt(amount), scale: decimals })
