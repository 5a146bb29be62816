/** The sliding extremes are those of a plain search. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addTick, emptyPriceWindow, hasThree, largestMove, type Tick } from '../../../workers/patterns/price-window.ts'

describe('price window', () => {
  it('knows the extremes of the window at every tick', () => {
    const moves = fc.array(fc.record({ gap: fc.nat({ max: 8 }), price: fc.integer({ min: 1, max: 30 }) }), {
      minLength: 1,
    })
    fc.assert(
      fc.property(moves, (steps) => {
        const [window, ticks]: [ReturnType<typeof emptyPriceWindow>, Tick[]] = [emptyPriceWindow(), []]
        let ts = 0
        for (const { gap, price } of steps) {
          ts += gap
          const tick = { ts, price, text: String(price), id: String(ticks.length) }
          ticks.push(tick)
          addTick(window, tick, 10)
          const inside = ticks.filter((tick) => tick.ts >= ts - 10)
          const prices = inside.map((tick) => tick.price)
          const [fall, rise] = [price / Math.max(...prices) - 1, price / Math.min(...prices) - 1]
          expect(largestMove(window)?.move).toBe(-fall >= rise ? fall : rise)
          expect(hasThree(window, 10)).toBe(inside.length >= 3)
        }
      }),
    )
  })
})
