/** What a reader accepts of a journal, wherever in it the reader begins. */
import { describe, expect, it } from 'vitest'
import { Positions, sequencePosition, type Placed } from '../../../workers/runtime/position.ts'

const origin = 'evm:1'

/** `5 a>b`: the fifth message, which leads from the tip a to b. */
function message(text: string): Placed {
  const [, position, before = '', tip = ''] = /^(\d+) (\w+)>(\w+)$/.exec(text) ?? []
  return { origin, position: sequencePosition(Number(position)), link: { extends: before, tip } }
}

/** What a reader accepts; with `restarts` it is stored and read again after every message. */
function accepted(texts: readonly string[], restarts: boolean): string[] {
  let positions = new Positions()
  const stored = new Map<string, string>()
  return texts.filter((text) => {
    const isNew = positions.accept(message(text))
    for (const [name, value] of positions.changes()) stored.set(name, value)
    if (restarts) positions = new Positions(stored)
    return isNew
  })
}

/** Blocks 1, 2, … of one chain. */
const chain = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `${from + index} b${from + index - 1}>b${from + index}`)

describe.each([
  ['in one go', false],
  ['stored and read again after every message', true],
])('a reader of a journal, %s', (_, restarts) => {
  it('accepts what extends the tip, additions and removals, from wherever it begins', () => {
    const whole = [...chain(1, 5), '6 b5>b4', '7 b4>c5', '8 c5>c6']
    for (let start = 0; start < whole.length; start++)
      expect(accepted(whole.slice(start), restarts)).toEqual(whole.slice(start))
  })

  it('drops what was written again, from wherever it begins', () => {
    const resent = [...chain(1, 8), ...chain(1, 8), ...chain(9, 12)]
    for (let start = 0; start < 8; start++)
      expect(accepted(resent.slice(start), restarts)).toEqual(chain(start + 1, 12))
  })

  it('drops what another writer began with elsewhere, under other positions', () => {
    const other = ['1 b7>b8', '2 b8>b9', '3 b9>b10', '4 b10>b11', '5 b11>b12', '6 b12>b13']
    const first = ['1 b9>b10', '2 b10>b11', '3 b11>b12']
    expect(accepted([...first, ...other], restarts)).toEqual([...first, '6 b12>b13'])
  })

  it('drops an overtaken writer for good', () => {
    const overtaken = ['4 b3>x4', '5 x4>x5', '6 x5>x6']
    expect(accepted([...chain(1, 4), ...overtaken, ...chain(5, 30)], restarts)).toEqual(chain(1, 30))
    expect(accepted([...chain(1, 20), '21 x1>x2', '22 x2>x3', ...chain(21, 22)], restarts)).toEqual(chain(1, 22))
  })

  it('does not stay with an overtaken writer whose message is the first that it sees', () => {
    expect(accepted(['4 b3>x4', ...chain(5, 30)], restarts)).toEqual(['4 b3>x4', ...chain(6, 30)])
    expect(accepted(['4 b3>x4', '5 x4>x5', '6 x5>x6', ...chain(5, 30)], restarts)).toEqual(['4 b3>x4', '5 x4>x5', '6 x5>x6', ...chain(8, 30)]) // prettier-ignore
  })

  it('is no reader in the middle any more once it has accepted sixteen', () => {
    const rivals = Array.from({ length: 40 }, (_, index) => `${100 + index} x${index}>x${index + 1}`)
    expect(accepted([...chain(1, 16), ...rivals, ...chain(17, 20)], restarts)).toEqual(chain(1, 20))
  })
})

describe('a reader of what has no links', () => {
  it('accepts what is higher', () => {
    const positions = new Positions([[origin, sequencePosition(3)]])
    const places = [2, 3, 4, 4, 9].map((position) => ({ origin, position: sequencePosition(position) }))
    expect(places.map((place) => positions.accept(place))).toEqual([false, false, true, false, true])
  })
})
