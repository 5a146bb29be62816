/** What a task has left out, and how it is struck off. */
import { describe, expect, it } from 'vitest'
import { redriveHeaders } from '../../../workers/runtime/headers.ts'
import { Intake } from '../../../workers/runtime/intake.ts'
import { LeftOut } from '../../../workers/runtime/left-out.ts'
import { sequencePosition } from '../../../workers/runtime/position.ts'

const message = (offset: number, headers: object) => ({
  key: null,
  value: Buffer.of(0),
  timestamp: '1',
  attributes: 0,
  offset: String(offset),
  headers: Object.fromEntries(Object.entries(headers)),
})
const own = { origin: 'feed', position: sequencePosition(7) }
const copy = (offset: number, step = 'sink', skip = false) =>
  message(50, { ...own, ...redriveHeaders({ step, offset, skip }) })

function intakeWith(...leftOut: [number, string][]): Intake {
  const intake = new Intake('sink')
  intake.reset([], new LeftOut(leftOut))
  intake.accepts(message(7, own))
  return intake
}

describe('a redriven copy', () => {
  it('counts once, under the origin of the record, and only where the record was left out', () => {
    const intake = intakeWith([9, 'a'])
    expect(intake.accepts(copy(9))).toEqual({ origin: 'feed', original: 9 })
    expect(intake.accepts(copy(9))).toBeUndefined()
    expect(intake.accepts(copy(8))).toBeUndefined()
    expect(intake.leftOut.changes()).toEqual([[9, null]])
  })

  it('is passed over by every other step', () => {
    expect(intakeWith([9, 'a']).accepts(copy(9, 'another'))).toBeUndefined()
  })

  it('that is to be skipped only strikes the record off', () => {
    const intake = intakeWith([9, 'a'])
    expect(intake.accepts(copy(9, 'sink', true))).toBeUndefined()
    expect(intake.accepts(copy(9))).toBeUndefined()
  })

  it('is worked off after the batch that holds the record itself, which is left out again where the log is read once more', () => {
    const intake = new Intake('sink')
    const plain = (offset: number) => message(offset, { origin: 'feed', position: sequencePosition(offset) })
    const copies = [51, 52].map((offset) => ({ ...copy(9), offset: String(offset) }))
    intake.add([plain(9), plain(10), ...copies, plain(53)])
    const offsets = (most: number) => intake.batch(most).map(({ offset }) => Number(offset))
    expect(offsets(100)).toEqual([9, 10])
    expect(offsets(1)).toEqual([51])
    expect(offsets(100)).toEqual([52, 53])
    expect(offsets(100)).toEqual([])
    expect(intake.bytes).toBe(0)
  })

  it('that says nothing that can be understood is passed over', () => {
    const intake = intakeWith([9, 'a'])
    for (const text of ['', '-9', '9.0', '9 twice', '1e1', '0x9', '99999999999999999999'])
      expect(intake.accepts(message(50, { ...own, 'only-step': 'sink', 'left-out': text }))).toBeUndefined()
    expect(intake.leftOut.size).toBe(1)
  })
})

describe('a record that was left out', () => {
  it('is struck off by its removal, or where the log brings it once more', () => {
    const leftOut = new LeftOut([[3, 'a'], [4, ''], [5, 'b']]) // prettier-ignore
    expect(leftOut.strikeId('a')).toBe(true)
    expect(leftOut.strikeId('')).toBe(false)
    const intake = new Intake('sink')
    intake.reset([], leftOut)
    intake.accepts(message(5, own))
    expect(leftOut.changes()).toEqual([[3, null], [5, null]]) // prettier-ignore
    expect([...leftOut.ids()]).toEqual([])
    expect(leftOut.has(4)).toBe(true)
  })

  it('is remembered until there are too many', () => {
    const leftOut = new LeftOut()
    for (let offset = 0; offset < 100_010; offset++) leftOut.add(offset, `r${offset}`)
    expect(leftOut.size).toBe(100_000)
    expect(leftOut.has(9)).toBe(false)
    expect(leftOut.has(10)).toBe(true)
  })
})
