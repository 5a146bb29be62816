/** Look-alikes: by both ends, never the address itself. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { imitatedBy, sharedEnds } from '../../../workers/patterns/look-alike.ts'

const address = fc.stringMatching(/^0x[0-9a-f]{40}$/)

describe('look-alikes', () => {
  it('share so many digits at both ends', () => {
    fc.assert(
      fc.property(address, address, (a, b) => {
        const { prefix, suffix } = sharedEnds(a, b)
        expect(a.slice(2, 2 + prefix)).toBe(b.slice(2, 2 + prefix))
        expect(a.slice(42 - suffix)).toBe(b.slice(42 - suffix))
        if (a !== b) expect(a[2 + prefix]).not.toBe(b[2 + prefix])
      }),
    )
  })

  it('are no address that is known', () => {
    const [known, fake] = ['0xabcd000000000000000000000000000000001234', '0xabcd111111111111111111111111111111111234']
    const least = { prefix: 4, suffix: 4 }
    expect(imitatedBy(fake, [known], least)?.address).toBe(known)
    expect(imitatedBy(fake, [known, fake], least)).toBeUndefined()
    expect(imitatedBy(fake, [known], { prefix: 5, suffix: 4 })).toBeUndefined()
    expect(imitatedBy(fake, [known], { prefix: 4, suffix: 5 })).toBeUndefined()
  })
})
