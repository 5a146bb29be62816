import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalDecimal } from '../../../connectors/market/decimal.ts'
import { compileLayout } from '../../../connectors/market/frame-layout.ts'

const one = compileLayout('[<decimal value>]')
const value = (text: string): string | undefined => one(Buffer.from(`[${text}]`))?.value

describe('a compiled layout', () => {
  it('gives the values by their names and passes what has none', () => {
    const read = compileLayout('{"a":<count id>,"b":"<word>","c":<flag yes>,"d":"<word name>"}')
    expect(read(Buffer.from('{"a":12,"b":"anything","c":false,"d":""}'))).toEqual({ id: 12, yes: false, name: '' })
    expect(read(Buffer.from('{"a":12,"b":"any\\thing","c":false,"d":""}'))).toBeUndefined()
    expect(read(Buffer.from('{"a":012,"b":"anything","c":false,"d":""}'))).toBeUndefined()
    expect(read(Buffer.from('{"a":12,"b":"anything","c":false,"d":""} '))).toBeUndefined()
  })

  it('reads a decimal as canonicalDecimal does, or leaves it', () => {
    const plain = fc.stringMatching(/^(0|[1-9]\d{0,9})(\.\d{1,10})?$/)
    fc.assert(
      fc.property(plain, (text) => {
        expect(value(text)).toBe(canonicalDecimal(text))
      }),
    )
    fc.assert(
      fc.property(fc.stringMatching(/^[-+.\de]{0,8}$/), (text) => {
        const read = value(text)
        if (read !== undefined) expect(read).toBe(canonicalDecimal(text))
      }),
    )
  })

  it('refuses a kind of value that there is not', () => {
    expect(() => compileLayout('<price p>')).toThrow('a layout has no price')
  })
})
