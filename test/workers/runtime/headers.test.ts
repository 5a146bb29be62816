/** Headers and keys that nobody of ours has written are told, whatever they hold. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  headerFault,
  markHeaders,
  markOf,
  placeHeaders,
  placeOf,
  type Headers,
} from '../../../workers/runtime/headers.ts'
import {
  emissionPosition,
  isPosition,
  Positions,
  sequencePosition,
  sessionPosition,
} from '../../../workers/runtime/position.ts'
import { newTraceparent, traceparentOf } from '../../../workers/runtime/trace.ts'
import { topics } from '../../../schemas/topics.ts'
import { buildCandles } from '../../../workers/build-candles.ts'
import { createDriver } from '../../support/driver.ts'
import { noon, second, trade } from '../records.ts'

const position = sequencePosition(7)
const place = { origin: 'binance-spot:BTC-USDT:trades', position }
const mark = { origin: 'evm:1', time: noon, chainId: 1, block: 5, finalized: 3, removed: false }
const bytesOf = (headers: Headers): Headers =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Buffer.from(String(value))]))
const broken = (text: string): Buffer => Buffer.from(text, 'latin1')

describe('what our steps write', () => {
  it.each<[string, Headers]>([
    ['a record', placeHeaders(place)],
    ['a record with a trace', { ...placeHeaders(place), traceparent: newTraceparent() }],
    ['a record of a session', placeHeaders({ origin: 'feed', position: sessionPosition(1_723_161_254_087, 3) })],
    ['an emission', placeHeaders({ origin: 'build-candles:market.trades.v1:3', position: emissionPosition(0, 9, 1) })],
    ['a block', placeHeaders({ origin: 'evm:1', position, link: { extends: '0xab', tip: '0xcd' } })],
    ['a redriven letter', { ...placeHeaders({ origin: 'dlq:0:17', position }), 'only-step': 'build-candles' }],
    ['an origin beyond ASCII', placeHeaders({ origin: 'binance-spot:币安人生-USDT:trades', position })],
    ['an origin of 512 bytes', placeHeaders({ origin: 'x'.repeat(512), position })],
    ['nothing', {}],
  ])('is taken: %s', (_what, headers) => {
    for (const one of [headers, bytesOf(headers)]) {
      expect(
        headerFault({ headers: one, key: Buffer.from('binance-spot:BTC-USDT'), value: Buffer.of(0) }),
      ).toBeUndefined()
    }
  })

  it('is taken of marks, as they are read', () => {
    for (const change of [{}, { finalized: null }, { removed: true }, { block: null, finalized: null, chainId: null }])
      for (const at of [undefined, position]) {
        const headers = markHeaders({ ...mark, ...change }, at)
        expect(headerFault({ headers, key: '', value: null })).toBeUndefined()
        expect(markOf(headers)).toEqual({ ...mark, ...change })
      }
  })
})

describe('what they do not write', () => {
  const { origin } = place
  const marked = markHeaders(mark, undefined)
  const link = { extends: '0xab', tip: '0xcd' }
  it.each<[string, object, string]>([
    ['NUL in the origin', { origin: 'a\0b', position }, 'origin: "a\\u0000b" holds a control character'],
    ['a line break in the origin', { origin: 'a\nb', position }, 'origin: "a\\nb" holds a control character'],
    ['an origin of 513 bytes', { origin: 'x'.repeat(513), position }, 'origin: it has more than 512 bytes'],
    ['an origin of 171 wide letters', { origin: '币'.repeat(171), position }, 'origin: it has more than 512 bytes'],
    ['an origin that is not UTF-8', { origin: broken('a\xff'), position }, 'origin: it is not UTF-8'],
    ['an empty origin', { origin: '', position }, 'origin: it has not one value'],
    ['two origins', { origin: [Buffer.from('a'), Buffer.from('b')], position }, 'origin: it has not one value'],
    ['an origin without bytes', { origin: null, position }, 'origin: it has not one value'],
    ['an origin alone', { origin }, 'position: there is none'],
    ['a position alone', { position }, 'origin: there is none'],
    ['a position without bytes', { origin, position: null }, 'position: "not one text" is none'],
    ['two positions', { origin, position: [position, position] }, 'position: "not one text" is none'],
    ['a word for a position', { origin, position: 'zzzz' }, 'position: "zzzz" is none'],
    ['a short position', { origin, position: '1' }, 'position: "1" is none'],
    ['letters in a position', { origin, position: '000000000000000z' }, 'position: "000000000000000z" is none'],
    ['a long position', { origin, position: '0'.repeat(100_000) }, `position: "${'0'.repeat(40)}" is none`],
    ['NUL in a position', { origin, position: '000000000000000\0' }, 'position: "000000000000000\\u0000" is none'],
    ['a mark alone', { mark: '1723118400000000' }, 'origin: there is none'],
    ['a mark of words', { origin, mark: 'soon' }, 'mark: "soon" is none'],
    ['a mark below zero', { origin, mark: '-1' }, 'mark: "-1" is none'],
    ['a mark that is not exact', { origin, mark: '9999999999999999' }, 'mark: "9999999999999999" is none'],
    ['a mark of Infinity', { origin, mark: 'Infinity' }, 'mark: "Infinity" is none'],
    ['a mark with an exponent', { origin, mark: '1e15' }, 'mark: "1e15" is none'],
    ['a mark with half of the blocks', { origin, mark: '1723118400000000 5' }, 'mark: "1723118400000000 5" is none'],
    ['a mark with too much', { origin, mark: '1 2 3 removed 4' }, 'mark: "1 2 3 removed 4" is none'],
    ['a mark with another word', { origin, mark: '1 2 3 gone' }, 'mark: "1 2 3 gone" is none'],
    ['an empty mark', { origin, mark: '' }, 'mark: "" is none'],
    ['a mark without end', { origin, mark: '1 '.repeat(10_000) }, `mark: "${'1 '.repeat(20)}" is none`],
    ['a chain of words', { ...marked, chain: 'mainnet' }, 'chain: "mainnet" is none'],
    ['a link to nothing', { origin, position, extends: '0xab' }, 'tip: there is none'],
    ['a link from nothing', { origin, position, tip: '0xab' }, 'extends: there is none'],
    ['a link without a place', link, 'origin: there is none beside a link'],
    ['a link with a space', { origin, position, ...link, tip: 'a b' }, 'tip: "a b" is none'],
    ['a link with a comma', { origin, position, ...link, extends: 'a,b' }, 'extends: "a,b" is none'],
    ['a link of nothing', { origin, position, ...link, extends: '' }, 'extends: "" is none'],
    ['a long link', { origin, position, ...link, tip: 'x'.repeat(257) }, 'tip: it has more than 256 bytes'],
    [
      'many headers',
      Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`h${at}`, 'x'])),
      'there are 65 headers, more than 64',
    ],
    ['one header many times', { h: Array.from({ length: 65 }, () => 'x') }, 'there are 65 headers, more than 64'],
    [
      'large headers',
      { ...placeHeaders(place), h: 'x'.repeat(20_000) },
      'the headers have 20059 bytes, more than 16384',
    ],
    ['a large name', { ['x'.repeat(20_000)]: '' }, 'the headers have 20000 bytes, more than 16384'],
  ])('is told: %s', (_what, headers, fault) => {
    expect(headerFault({ headers: Object(headers), key: 'k', value: null })).toBe(fault)
  })

  it('is told of keys and of marks with a value', () => {
    const headers = placeHeaders(place)
    expect(headerFault({ headers, key: Buffer.alloc(1_025, 65) })).toBe('key: it has more than 1024 bytes')
    expect(headerFault({ headers, key: broken('\xc3') })).toBe('key: it is not UTF-8')
    expect(headerFault({ headers: marked, value: Buffer.of(0) })).toBe('mark: there is a value beside it')
  })

  it('is told or taken, and never thrown of, whatever it is', () => {
    const value = fc.oneof(fc.uint8Array().map((bytes) => Buffer.from(bytes)), fc.constant(null), fc.string(), fc.constant(position), fc.constant('0xab'), fc.constant('1 2 3'), fc.array(fc.constant(Buffer.from('x')))) // prettier-ignore
    const names = fc.constantFrom('origin', 'position', 'extends', 'tip', 'mark', 'chain', 'only-step', 'other')
    fc.assert(
      fc.property(fc.dictionary(names, value), fc.option(value), fc.boolean(), (made, key, isMark) => {
        const headers: Headers = Object(made)
        const bytes = Buffer.isBuffer(key) ? key : null
        const fault = headerFault({ headers, key: bytes, value: isMark ? null : Buffer.of(0) })
        if (fault !== undefined) return
        // What is taken can be stored and read back.
        const found = placeOf(headers)
        if (found === undefined) return
        const positions = new Positions()
        positions.accept(found)
        const again = new Positions(positions.changes())
        expect(again.get(found.origin)).toMatchObject({ position: found.position, tip: found.link?.tip })
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('a position', () => {
  it('is one in its three forms', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(9_999), fc.nat(99_999_999), (a, b, generation, index) => {
        for (const one of [sequencePosition(a), sessionPosition(a, b), emissionPosition(generation, b, index)])
          expect([isPosition(one), isPosition(Buffer.from(one))]).toEqual([true, true])
      }),
    )
    expect(isPosition(sessionPosition(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER))).toBe(true)
  })

  it('is none otherwise', () => {
    const forms = [sequencePosition(1), sessionPosition(1, 2), emissionPosition(1, 2, 3)]
    fc.assert(
      fc.property(
        fc.constantFrom(...forms),
        fc.nat(32),
        fc.string({ minLength: 0, maxLength: 2 }),
        (form, at, text) => {
          const other = form.slice(0, at) + text + form.slice(at + 1)
          const isOne = /^(\d{16}(\.\d{16})?|\d{4}\.\d{16}\.\d{8})$/.test(other)
          expect([isPosition(other), isPosition(Buffer.from(other))]).toEqual([isOne, isOne])
        },
      ),
      { numRuns: 2_000 },
    )
    for (const text of ['', '.', '0'.repeat(33), '0'.repeat(30), '０'.repeat(16)]) expect(isPosition(text)).toBe(false)
  })
})

describe('a task', () => {
  it('tells a position of another form than its origin had, and goes on with those of its own', () => {
    const positions = new Positions()
    const take = (text: string) => [positions.fault({ origin: 'o', position: text }), positions.accept({ origin: 'o', position: text })] // prettier-ignore
    expect(take(sequencePosition(5))).toEqual([undefined, true])
    const fault = `position: it has another form than ${sequencePosition(5)}, the last of its origin`
    expect(take(sessionPosition(9, 9))).toEqual([fault, false])
    expect(take(emissionPosition(9, 9, 9))).toEqual([fault, false])
    expect(take(sequencePosition(5))).toEqual([undefined, false])
    expect(take(sequencePosition(6))).toEqual([undefined, true])
  })

  it('remembers ten thousand origins, and goes on with those', () => {
    const names = Array.from({ length: 10_000 }, (_, at) => `o${at}`)
    const positions = new Positions(names.slice(0, 9_999).map((name) => [name, position]))
    const last = { origin: 'o9999', position }
    expect([positions.fault(last), positions.accept(last)]).toEqual([undefined, true])
    const more = { origin: 'one more', position }
    expect([positions.fault(more), positions.accept(more)]).toEqual(['origin: it is new, and 10000 are known', false])
    expect(positions.accept({ origin: 'o3', position: sequencePosition(8) })).toBe(true)
    expect(new Map(positions.changes()).has('one more')).toBe(false)
  })
})

it('takes no traceparent of another form for one', () => {
  const good = newTraceparent()
  expect(traceparentOf({ traceparent: Buffer.from(good) })).toBe(good)
  for (const bad of [
    '',
    `${good}x`,
    good.slice(1),
    good.replace('-', '\0'),
    good.replaceAll(/[0-9a-f]/g, 'G'),
    'x'.repeat(1e5),
  ])
    expect(traceparentOf({ traceparent: bad })).toBeUndefined()
})

it('costs that message alone: the genuine ones of its origin count', () => {
  const driver = createDriver({ steps: [buildCandles] })
  const origin = 'binance-spot:BTC-USDT:trades'
  const bad = ['zzzz', sessionPosition(9, 9), emissionPosition(9, 9, 9), '0'.repeat(16).replace('0', '٠')]
  for (let at = 0; at < 100; at++) {
    const wrong = bad[at]
    if (wrong !== undefined) driver.append(topics.marketTrades, trade(at, noon, 1), { origin, position: wrong })
    driver.append(topics.marketTrades, trade(at, noon + at * second, 100), { origin, position: sequencePosition(at) })
  }
  driver.run()
  driver.mark(topics.marketTrades, 'binance-spot:BTC-USDT', origin, noon + 200 * second)
  expect(driver.read(topics.marketCandles).filter(({ interval }) => interval === '1s')).toHaveLength(100)
  expect(driver.faults.map(({ code }) => code)).toEqual(Array.from({ length: 4 }, () => 'unstamped'))
})
