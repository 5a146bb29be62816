/** Exact decimals: sums and products lose no digit, whatever the scales. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addDecimals,
  compareDecimals,
  formatDecimal,
  fromSmallestUnit,
  multiplyDecimals,
  parseDecimal,
} from '../../workers/decimal.ts'

const decimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.nat({ max: 18 }))
  .map(([units, scale]) => ({ units, scale, text: formatDecimal({ units, scale }) }))

/** Both as counts of 10^-18. */
const wide = ({ units, scale }: { units: bigint; scale: number }): bigint => units * 10n ** BigInt(18 - scale)

describe('decimals', () => {
  it('add without losing a digit', () => {
    expect(addDecimals('0.1', '0.2')).toBe('0.3')
    expect(addDecimals('9007199254740993', '0.000000000000000001')).toBe('9007199254740993.000000000000000001')
    fc.assert(
      fc.property(decimal, decimal, (a, b) => {
        expect(addDecimals(a.text, b.text)).toBe(formatDecimal({ units: wide(a) + wide(b), scale: 18 }))
      }),
    )
  })

  it('multiply without losing a digit', () => {
    expect(multiplyDecimals('60123.45', '0.00123')).toBe('73.9518435')
    fc.assert(
      fc.property(decimal, decimal, (a, b) => {
        expect(multiplyDecimals(a.text, b.text)).toBe(formatDecimal({ units: wide(a) * wide(b), scale: 36 }))
      }),
    )
  })

  it('compare by every digit', () => {
    expect(compareDecimals('9007199254740993', '9007199254740992.5')).toBeGreaterThan(0)
    expect(compareDecimals('1.10', '1.1')).toBe(0)
    fc.assert(
      fc.property(decimal, decimal, (a, b) => {
        const [x, y] = [wide(a), wide(b)]
        expect(Math.sign(compareDecimals(a.text, b.text))).toBe(x < y ? -1 : x > y ? 1 : 0)
      }),
    )
  })

  it('have one canonical form, which reads back as the same', () => {
    expect(['-0.50', '0.000', '100', '-12.3400'].map((text) => formatDecimal(parseDecimal(text)))).toEqual([
      '-0.5',
      '0',
      '100',
      '-12.34',
    ])
    fc.assert(
      fc.property(decimal, ({ text }) => {
        expect(formatDecimal(parseDecimal(text))).toBe(text)
      }),
    )
  })

  it('refuse what is none', () => {
    for (const text of ['', '1e5', '.5', '1.', 'NaN', '1,5', ' 1']) expect(() => parseDecimal(text)).toThrow(RangeError)
  })

  it('count whole tokens from smallest units', () => {
    expect(fromSmallestUnit('1500000', 6)).toBe('1.5')
    expect(fromSmallestUnit('1', 18)).toBe('0.000000000000000001')
  })
})
