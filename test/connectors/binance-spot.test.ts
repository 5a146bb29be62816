import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { describe, expect, it, afterEach } from 'vitest'
import {
  binanceSpotConnector,
  connectionTo,
  readAnyFrame,
  readFrame,
  tradesFrom,
} from '../../connectors/binance-spot.ts'
import { RestClient } from '../../connectors/market/rest.ts'
import { VenueClock } from '../../connectors/market/venue.ts'
import { startReplay } from '../../ops/local/exchange/replay.ts'
import { Collected, eventually, metric } from './market/collecting-session.ts'

const running: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const capture = '../shared/fixtures/market/binance-spot/btcusdt-20240808.gz'

describe.skipIf(!existsSync(capture))('the Binance spot connector on the recorded capture', () => {
  it('gives exactly its 9,757 trades, without a gap', async () => {
    const replay = await startReplay({ file: capture, speed: 'max' })
    running.push(replay)
    const collected = new Collected(binanceSpotConnector(), replay)
    running.push(collected)
    await replay.ended
    await eventually(() => collected.trades.at(-1)?.tradeId === String(replay.ledger()[0]?.lastId))
    expect(collected.trades).toHaveLength(9_757)
    expect(collected.trades[0]).toMatchObject({
      id: 'binance-spot:BTC-USDT:3735683259',
      ts: 1_723_161_255_342_000,
      tradeId: '3735683259',
      side: 'sell',
      price: '61837.63',
      size: '0.02',
    })
    // The recording has 28,040; of two before the first venue time the later is kept.
    expect(collected.quotes).toHaveLength(28_039)
    expect(collected.statusesOf('BTC-USDT')).toEqual(['connected'])
    expect(await metric(collected, 'gaps_total')).toBe(0)
    expect(replay.stats().rest.answers).toEqual({ '/api/v3/exchangeInfo 200': 1 })
  })
})

describe('a frame of Binance spot', () => {
  const now = 1_723_161_255_400_000
  it('is read as a trade: the taker sold where the buyer was the maker', () => {
    const frame =
      '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
    const trade = {
      id: 3_735_683_259,
      ts: 1_723_161_255_342_000,
      receivedAt: now,
      side: 'sell',
      price: '61837.63',
      size: '0.02',
    }
    expect(readFrame(frame, now)).toEqual({ kind: 'trade', symbol: 'BTCUSDT', eventTime: 1_723_161_255_343_000, trade })
    const micros = frame.replace('"T":1723161255342', '"T":1723161255342123').replace('"m":true', '"m":false')
    expect(readFrame(micros, now)).toMatchObject({ trade: { ts: 1_723_161_255_342_123, side: 'buy' } })
  })

  it('is read as a quote', () => {
    const frame =
      '{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}}'
    const quote = { bidPrice: '61837.63', bidSize: '3.78826', askPrice: '61837.64', askSize: '1.54698' }
    expect(readFrame(frame, now)).toEqual({
      kind: 'quote',
      symbol: 'BTCUSDT',
      quote: { updateId: 50_093_239_212, receivedAt: now, ...quote },
    })
  })

  it.each([
    ['{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}', 'closing'],
    ['{"e":"serverShutdown","E":1770123456789}', 'closing'],
    ['{"result":null,"id":1}', 'other'],
    [
      '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}}',
      'other',
    ],
    ['{"code":2,"msg":"Invalid request: too many parameters"}', 'refused'],
    ['{"error":{"code":2,"msg":"Invalid request"},"id":1}', 'refused'],
    ['', 'malformed'],
    ['[]', 'malformed'],
    ['null', 'malformed'],
    ['{"stream":"btcusdt@trade"}', 'malformed'],
    [
      '{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":"1","p":"1","q":"1","T":1,"m":true}}',
      'malformed',
    ],
    ['{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":1,"p":1,"q":"1","T":1,"m":true}}', 'malformed'],
    ['{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"x","A":"1"}}', 'malformed'],
  ])('%s is %s', (frame, kind) => {
    expect(readFrame(frame, now).kind).toBe(kind)
  })
})

describe('a time that cannot be meant', () => {
  const now = 1_723_161_255_400_000
  const day = 86_400_000
  const frameAt = (time: number | string, sentAt: number | string = 1_723_161_255_343): string =>
    `{"stream":"btcusdt@trade","data":{"e":"trade","E":${sentAt},"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":${time},"m":true,"M":true}}`

  it.each([
    ['zero', 0],
    ['one that is negative', -1_723_161_255_342],
    ['seconds for milliseconds', 1_723_161_255],
    ['nanoseconds', '1723161255342000000'],
    ['a day ahead', 1_723_161_255_342 + day],
    ['a day ahead in microseconds', (1_723_161_255_342 + day) * 1_000],
    ['an hour ahead, as of a wrong time zone', 1_723_161_255_342 + 3_600_000],
  ])('is refused in any layout: %s', (_, time) => {
    for (const sentAt of [1_723_161_255_343, time]) {
      const frame = frameAt(time, sentAt)
      expect(readAnyFrame(Buffer.from(frame), now).kind).toBe('malformed')
      expect(readFrame(frame, now).kind).toBe('malformed')
    }
  })

  it.each([
    ['the past: a recording', 1_502_942_432_000],
    ['a clock that is minutes ahead of ours', 1_723_161_255_342 + 300_000],
  ])('is not %s, and is passed on as it is', (_, time) => {
    for (const read of [readFrame(frameAt(time), now), readAnyFrame(Buffer.from(frameAt(time)), now)])
      expect(read).toMatchObject({ kind: 'trade', trade: { ts: time * 1_000 } })
  })
})

describe('the time that a venue has shown', () => {
  const now = 1_723_161_255_400_000
  it('is no later than an event, its message and its receipt tell, and never goes back', () => {
    const clock = new VenueClock()
    expect(clock.newest).toBeUndefined()
    const newest = (...times: readonly [eventTime: number, sentAt: number, receivedAt: number]) => {
      clock.see(...times)
      return clock.newest
    }
    expect(newest(now - 5, now - 3, now)).toBe(now - 5)
    expect(newest(now + 59_000_000, now - 2, now)).toBe(now - 2)
    expect(newest(now + 59_000_000, now + 59_000_000, now + 1)).toBe(now + 1)
    expect(newest(now, now, now + 2)).toBe(now + 1)
  })
})

describe('a connection to Binance spot', () => {
  it('listens to each stream once, by its URL as far as that should be long, then by messages', () => {
    const symbols = Array.from({ length: 512 }, (_, index) => `COIN${index}USDT`)
    const { url, messages } = connectionTo('wss://stream.binance.com:9443/', symbols)
    expect(url.length).toBeLessThan(8_000)
    expect(url).toMatch(/^wss:\/\/stream\.binance\.com:9443\/stream\?streams=coin0usdt@trade\/coin0usdt@bookTicker\//)
    const later = messages.flatMap((message) => message.match(/[a-z0-9]+@[a-zA-Z]+/g) ?? [])
    const streams = [...(url.split('=')[1] ?? '').split('/'), ...later]
    expect(streams).toHaveLength(1_024)
    expect(new Set(streams)).toEqual(
      new Set(symbols.flatMap((symbol) => [`${symbol.toLowerCase()}@trade`, `${symbol.toLowerCase()}@bookTicker`])),
    )
  })
})

describe('the history of Binance spot', () => {
  const now = 1_723_161_255_400_000

  it('is the newest trades where a host does not serve older ones', async () => {
    const row = { price: '4.00000100', qty: '12.00000000', quoteQty: '48.000012', time: 1_499_865_549_590 }
    const rows = [28_457, 28_458].map((id) => ({ id, ...row, isBuyerMaker: true, isBestMatch: true }))
    const server = createServer((request, response) => {
      if (request.url?.startsWith('/api/v3/trades?')) response.end(JSON.stringify(rows))
      else response.writeHead(404).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    running.push({ stop: () => new Promise((resolve) => server.close(() => resolve()).closeAllConnections()) })
    const address = server.address()
    const rest = new RestClient({
      baseUrl: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
      weightPerMinute: 1_000,
      now: () => now,
      signal: new AbortController().signal,
    })
    const trade = { ts: 1_499_865_549_590_000, receivedAt: now, side: 'sell', price: '4.000001', size: '12' }
    expect(await tradesFrom(rest, 'BNBBTC', 28_458)).toEqual({
      trades: [
        { id: 28_457, ...trade },
        { id: 28_458, ...trade },
      ],
      end: 'end',
    })
  })
})
