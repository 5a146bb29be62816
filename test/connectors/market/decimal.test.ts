import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalDecimal } from '../../../connectors/market/decimal.ts'

describe('canonicalDecimal', () => {
  it.each([
    ['61837.63000000', '61837.63'],
    ['0.02000000', '0.02'],
    ['100.00000000', '100'],
    ['100', '100'],
    ['0.00000000', '0'],
    ['0', '0'],
    ['007.50', '7.5'],
    ['-1.50', '-1.5'],
    ['-0.0', '0'],
    ['5e-7', '0.0000005'],
    ['1.25E+3', '1250'],
    ['12.5e-1', '1.25'],
    ['0.00001180', '0.0000118'],
  ])('writes %s as %s', (text, canonical) => {
    expect(canonicalDecimal(text)).toBe(canonical)
  })

  it.each(['', '.', '.5', '5.', '1.2.3', 'NaN', 'Infinity', '1,5', ' 1', '0x10', '1e9999', '--1'])(
    'refuses %j',
    (text) => {
      expect(canonicalDecimal(text)).toBeUndefined()
    },
  )

  it('keeps every digit and gives numbers that are equal one text', () => {
    const digits = fc.bigInt({ min: 0n, max: 10n ** 30n })
    fc.assert(
      fc.property(digits, fc.nat(18), fc.nat(6), fc.nat(3), (unscaled, scale, trailing, leading) => {
        const plain = unscaled.toString().padStart(scale + 1, '0')
        const whole = plain.slice(0, plain.length - scale)
        const fraction = scale === 0 ? '' : plain.slice(-scale)
        const point = fraction + '0'.repeat(trailing) === '' ? '' : '.'
        const canonical = canonicalDecimal('0'.repeat(leading) + whole + point + fraction + '0'.repeat(trailing))
        const [w = '', f = ''] = (canonical ?? '').split('.')
        expect(BigInt(w + f.padEnd(scale, '0'))).toBe(unscaled)
        expect(canonical).not.toMatch(/^0\d|\.\d*0$|\.$/)
        expect(canonicalDecimal(`${unscaled}e-${scale}`)).toBe(canonical)
      }),
    )
  })
})
