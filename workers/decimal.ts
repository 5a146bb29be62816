/** Exact arithmetic on decimal strings: what money is added and multiplied with, since doubles lose digits. */

/** A decimal as an integer count of its last place: `units × 10^-scale`. */
export interface Decimal {
  readonly units: bigint
  readonly scale: number
}

/** The same where the integer is a safe one: several times faster, and the usual case. */
interface Small {
  readonly units: number
  readonly scale: number
}

const shape = /^-?\d+(?:\.\d+)?$/
/** Longest text that may hold a safe integer with a point; longer ones go the long way. */
const smallLength = 17
const powers = Array.from({ length: 16 }, (_, exponent) => Number(`1e${exponent}`))

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

/**
 * A price as a double, which can be divided by and whose logarithm can be taken.
 * @throws RangeError where the text is no finite number above zero
 */
export function toPrice(text: string): number {
  const price = Number(text)
  if (price > 0 && Number.isFinite(price)) return price
  throw new RangeError(`not a price: ${JSON.stringify(text.slice(0, 40))}`)
}

/** Writes a decimal in its canonical form: no exponent, no trailing zeros, no sign on zero. */
export function formatDecimal({ units, scale }: Decimal | Small): string {
  const isNegative = units < 0
  const digits = String(isNegative ? -units : units).padStart(scale + 1, '0')
  let end = digits.length
  const point = end - scale
  while (end > point && digits.charCodeAt(end - 1) === 48) end -= 1
  const whole = isNegative ? `-${digits.slice(0, point)}` : digits.slice(0, point)
  return end === point ? whole : `${whole}.${digits.slice(point, end)}`
}

/** Sum of two decimal strings, in canonical form. */
export function addDecimals(a: string, b: string): string {
  const [x, y] = [parseSmall(a), parseSmall(b)]
  if (x !== undefined && y !== undefined) {
    const scale = Math.max(x.scale, y.scale)
    const left = x.units * (powers[scale - x.scale] ?? NaN)
    const right = y.units * (powers[scale - y.scale] ?? NaN)
    const units = left + right
    if (Number.isSafeInteger(left) && Number.isSafeInteger(right) && Number.isSafeInteger(units))
      return formatDecimal({ units, scale })
  }
  return formatDecimal(plus(parseDecimal(a), parseDecimal(b)))
}

/** Product of two decimal strings, in canonical form. */
export function multiplyDecimals(a: string, b: string): string {
  const [x, y] = [parseSmall(a), parseSmall(b)]
  if (x !== undefined && y !== undefined) {
    const units = x.units * y.units
    if (Number.isSafeInteger(units)) return formatDecimal({ units, scale: x.scale + y.scale })
  }
  const [left, right] = [parseDecimal(a), parseDecimal(b)]
  return formatDecimal({ units: left.units * right.units, scale: left.scale + right.scale })
}

/** Negative, zero or positive as `a` is less than, equal to or greater than `b`. */
export function compareDecimals(a: string, b: string): number {
  // Rounding to a double keeps order, so only what rounds alike needs every digit.
  const difference = Number(a) - Number(b)
  if (difference !== 0 || a === b) return difference
  const { units, scale } = parseDecimal(b)
  const exact = plus(parseDecimal(a), { units: -units, scale }).units
  return exact < 0n ? -1 : exact > 0n ? 1 : 0
}

/** An integer count of a token's smallest unit as a decimal of whole tokens. */
export const fromSmallestUnit = (amount: string, decimals: number): string =>
  formatDecimal({ units: BigInt(amount), scale: decimals })

function plus(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale)
  return { units: a.units * 10n ** BigInt(scale - a.scale) + b.units * 10n ** BigInt(scale - b.scale), scale }
}

/** @returns undefined where the text is long, or no decimal */
function parseSmall(text: string): Small | undefined {
  if (text.length > smallLength) return undefined
  let [units, scale, place] = [0, -1, text.charCodeAt(0) === 45 ? 1 : 0]
  const start = place
  for (; place < text.length; place += 1) {
    const code = text.charCodeAt(place)
    if (code === 46 && scale < 0 && place > start) scale = 0
    else if (code < 48 || code > 57) return undefined
    else {
      units = units * 10 + code - 48
      if (scale >= 0) scale += 1
    }
  }
  if (place === start || scale === 0 || !Number.isSafeInteger(units)) return undefined
  return { units: start === 0 ? units : -units, scale: Math.max(0, scale) }
}
