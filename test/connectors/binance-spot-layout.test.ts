/** The quick reader of Binance's trades and quotes: it says what the usual reader says, or nothing. */
import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readFrame, readUsualFrame } from '../../connectors/binance-spot.ts'

const now = 1_723_161_255_400_000
const capture = '../shared/fixtures/market/binance-spot/btcusdt-20240808.gz'
const trade =
  '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
const quote =
  '{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}'

const quick = (frame: string | Buffer) => readUsualFrame(Buffer.from(frame), now)

function expectSameOrNothing(frame: Buffer): void {
  const event = quick(frame)
  if (event !== undefined) expect(event).toEqual(readFrame(frame.toString(), now))
}

describe.skipIf(!existsSync(capture))('the recorded capture', () => {
  it('is read as by the usual reader, all of its trades and quotes quickly', () => {
    const lines = gunzipSync(readFileSync(capture)).toString().split('\n')
    let read = 0
    for (const line of lines) {
      const frame = line.slice(line.indexOf(' ') + 1)
      const event = quick(frame)
      if (event === undefined) expect(frame).not.toMatch(/@trade"|@bookTicker"/)
      else {
        if (JSON.stringify(event) !== JSON.stringify(readFrame(frame, now)))
          expect(event).toEqual(readFrame(frame, now))
        read++
      }
    }
    expect(read).toBe(9_757 + 28_040)
  })
})

describe('a frame that was changed', () => {
  const frames = fc.constantFrom(trade, quote).map((frame) => Buffer.from(frame))
  // Mostly what means something in JSON, so that many of the changed frames are still read.
  const byte = fc.oneof(fc.constantFrom(...Buffer.from('0123456789.-+eE"\\,:{}[] truefals\u0000\n')), fc.nat(255))

  it('by a few bytes is read alike or left', () => {
    const change = fc.tuple(fc.nat(200), byte, fc.constantFrom('replace', 'insert', 'remove'))
    fc.assert(
      fc.property(frames, fc.array(change, { minLength: 1, maxLength: 3 }), (frame, changes) => {
        const bytes = [...frame]
        for (const [place, code, how] of changes)
          bytes.splice(place % bytes.length, how === 'insert' ? 0 : 1, ...(how === 'remove' ? [] : [code]))
        expectSameOrNothing(Buffer.from(bytes))
      }),
      { numRuns: 20_000 },
    )
  })

  it('in its values is read alike or left', () => {
    const number = fc.oneof(
      fc.maxSafeNat().map(String),
      fc.constantFrom(
        '0',
        '00',
        '-1',
        '1e3',
        '1.5',
        '',
        '9007199254740991',
        '9007199254740992',
        '99999999999999999999',
      ),
    )
    const decimal = fc.oneof(
      fc.stringMatching(/^\d{1,6}\.\d{1,9}$/),
      fc.constantFrom('0', '00', '100', '0.000', '100.500', '007.5', '.5', '5.', '1.2.3', '-1', '5e-7', ''),
    )
    const symbol = fc.oneof(fc.string(), fc.constantFrom('BTCUSDT', '币安人生USDT', 'A\\u0042C', 'A"B', ' '))
    const flag = fc.constantFrom('true', 'false', 'null', 'tru', '1')
    const made = fc.oneof(
      fc.tuple(number, symbol, decimal, decimal, decimal, decimal).map(
        ([u, s, b, B, a, A]) => `{"stream":"x@bookTicker","data":{"u":${u},"s":"${s}","b":"${b}","B":"${B}","a":"${a}","A":"${A}"}}`, // prettier-ignore
      ),
      fc.tuple(number, symbol, number, decimal, decimal, number, flag).map(
        ([E, s, t, p, q, T, m]) => `{"stream":"x@trade","data":{"e":"trade","E":${E},"s":"${s}","t":${t},"p":"${p}","q":"${q}","T":${T},"m":${m},"M":true}}`, // prettier-ignore
      ),
    )
    fc.assert(
      fc.property(made, (frame) => expectSameOrNothing(Buffer.from(frame))),
      { numRuns: 5_000 },
    )
  })

  it('in its layout is left', () => {
    for (const frame of [trade, quote]) {
      for (const end of ['', '"', '}', ' '])
        expect(quick(end === '' ? frame.slice(0, -1) : frame + end)).toBeUndefined()
      expect(quick(frame.replace(',"s"', ', "s"'))).toBeUndefined()
      expect(quick(frame.replace('{"stream"', '{"other":1,"stream"'))).toBeUndefined()
      expect(quick(`${frame.slice(0, -2)},"x":1}}`)).toBeUndefined()
    }
    expect(quick('')).toBeUndefined()
  })
})
