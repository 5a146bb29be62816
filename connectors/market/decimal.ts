/** Canonical decimal strings: one text per number, exact as the venue gave it. */

const MINUS = 45
const ZERO = 48
const NINE = 57
const POINT = 46
/** At most three digits of exponent, so that a hostile number cannot grow into megabytes. */
const unusual = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/

/**
 * The canonical form of a decimal number: no exponent, no leading zeros, no zeros after the last digit of a fraction.
 *
 * @param text as venues write it: `61837.63000000`, `0.10`, `5e-7`
 * @returns the canonical text (`61837.63`, `0.1`, `0.0000005`), or undefined where `text` is no decimal number
 */
export function canonicalDecimal(text: string): string | undefined {
  const length = text.length
  let point = -1
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index)
    if (code === POINT && point < 0 && index > 0) point = index
    else if (code < ZERO || code > NINE) return expand(text)
  }
  if (text.charCodeAt(0) === ZERO && length > 1 && point !== 1) return expand(text)
  if (point < 0) return length > 0 ? text : undefined
  if (point === length - 1) return undefined
  let end = length
  while (text.charCodeAt(end - 1) === ZERO) end--
  if (end === point + 1) end = point
  return end === length ? text : text.slice(0, end)
}

/** What a price or a size of a topic may have: digits without end say nothing. */
const longestAmount = 80

/** @returns whether a canonical decimal is a price or a size: above zero, and not of hundreds of digits. */
export const isAmount = (canonical: string): boolean =>
  canonical !== '0' && canonical.charCodeAt(0) !== MINUS && canonical.length <= longestAmount

/** Signs, exponents and leading zeros, which no venue sends often. */
function expand(text: string): string | undefined {
  const match = unusual.exec(text)
  if (!match) return undefined
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  const digits = whole + fraction
  const point = whole.length + Number(exponent)
  const integer = digits.slice(0, Math.max(0, point)).padEnd(point, '0').replace(/^0+/, '') || '0'
  const rest = ('0'.repeat(Math.max(0, -point)) + digits.slice(Math.max(0, point))).replace(/0+$/, '')
  const magnitude = rest === '' ? integer : `${integer}.${rest}`
  return magnitude === '0' ? '0' : sign + magnitude
}
