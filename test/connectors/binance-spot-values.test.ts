/** Trades and quotes of Binance spot whose values are none: left out, counted, never altered, and no gap. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { binanceSpotConnector, readAnyFrame, readFrame } from '../../connectors/binance-spot.ts'
import { topics } from '../../schemas/topics.ts'
import { Collected, eventually, metric } from './market/collecting-session.ts'

const now = 1_764_279_000_123_000
const ms = Math.floor(now / 1_000)
const tradeFrame = (p: unknown, q: unknown, T: unknown, t: unknown = 7): string =>
  `{"stream":"btcusdt@trade","data":${JSON.stringify({ e: 'trade', E: ms, s: 'BTCUSDT', t, p, q, T, m: true, M: true })}}`
const quoteFrame = (b: string, B: string, a: string, A: string): string =>
  `{"stream":"btcusdt@bookTicker","data":${JSON.stringify({ u: 1, s: 'BTCUSDT', b, B, a, A })}}`
const readings = [
  ['quickly', (frame: string) => readAnyFrame(Buffer.from(frame), now)],
  ['slowly', (frame: string) => readFrame(frame, now)],
] as const

const noAmounts = ['0', '0.00000000', '-5.0', '-0', '', 'x', 'NaN', 'Infinity', '0x10', '1e400', '0e5', ' 1', '9'.repeat(81), `0.${'0'.repeat(90)}1`] // prettier-ignore
const noTimes: [string, number][] = [
  ['zero', 0],
  ['below zero', -ms],
  ['in seconds', Math.floor(ms / 1_000)],
  ['a day and a second ahead', ms + 86_401_000],
  ['a day and a second ahead, in microseconds', now + 86_401_000_000],
]

describe.each(readings)('a frame read %s', (_how, read) => {
  it.each(noAmounts)('holds no trade of price or size %j', (amount) => {
    for (const [what, frame] of [
      ['price', tradeFrame(amount, '1', ms)],
      ['size', tradeFrame('1', amount, ms)],
    ] as const) {
      const event = read(frame)
      expect(event).toMatchObject({ kind: 'malformed', symbol: 'BTCUSDT', trade: { id: 7, receivedAt: now } })
      expect('trade' in event && event.trade).toMatchObject({ fault: expect.stringMatching(` is no ${what}$`) })
    }
  })

  it.each(noTimes)('holds no trade of a time that is %s', (_what, time) => {
    const trade = { id: 7, receivedAt: now, fault: `${time} is no time of a trade` }
    expect(read(tradeFrame('1', '1', time))).toEqual({ kind: 'malformed', symbol: 'BTCUSDT', trade })
  })

  it.each(noAmounts)('holds no quote of price or size %j', (amount) => {
    for (let side = 0; side < 4; side++) {
      const [b = '', B = '', a = '', A = ''] = ['1', '1', '1', '1'].with(side, amount)
      expect(read(quoteFrame(b, B, a, A))).toEqual({ kind: 'malformed' })
    }
  })

  it('holds a trade up to ten minutes ahead of us, as it came, in milliseconds or microseconds', () => {
    for (const time of [ms, ms - 365 * 86_400_000, ms + 600_000, now, now + 600_000_000])
      expect(read(tradeFrame('1.50', '0.00000001', time))).toMatchObject({
        kind: 'trade',
        trade: { ts: time < 1e14 ? time * 1_000 : time, price: '1.5', size: '0.00000001' },
      })
  })

  it('holds no trade of an id that is none', () => {
    for (const id of [-1, 1.5, '7', null, 2 ** 53])
      expect(read(tradeFrame('1', '1', ms, id))).toEqual({ kind: 'malformed' })
  })
})

const running: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

type Row = readonly [price: string, size: string, time: number]

/** A venue of one symbol that tells what it is told to, by stream and by history; ids count from 1. */
async function startVenue() {
  const rows: { id: number; price: string; qty: string; time: number; isBuyerMaker: boolean }[] = []
  const clients: WebSocket[] = []
  const asked: string[] = []
  const http = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost')
    const send = (body: unknown): unknown =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
    if (pathname.endsWith('/exchangeInfo')) return send({ symbols: [{ symbol: 'BTCUSDT', baseAsset: 'BTC', quoteAsset: 'USDT' }] }) // prettier-ignore
    asked.push(pathname)
    return send(rows.filter(({ id }) => id >= Number(searchParams.get('fromId'))))
  }).listen(0, '127.0.0.1')
  const sockets = new WebSocketServer({ server: http })
  sockets.on('connection', (client) => clients.push(client))
  await once(http, 'listening')
  const address = http.address()
  const port = typeof address === 'object' ? address?.port : 0
  running.push({ stop: () => (sockets.close(), clients.forEach((client) => client.terminate()), http.close().closeAllConnections()) }) // prettier-ignore
  return {
    restUrl: `http://127.0.0.1:${port}`,
    wsUrl: `ws://127.0.0.1:${port}`,
    clients,
    asked,
    /** @param live whether the stream tells it, too */
    tell([price, qty, time]: Row, live: boolean): void {
      const id = rows.length + 1
      rows.push({ id, price, qty, time, isBuyerMaker: false })
      if (live) for (const client of clients) client.send(tradeFrame(price, qty, time, id))
    },
  }
}

const timing = { settleMs: 100, overlapMs: 100, patienceMs: 500, markEveryMs: 100, backoff: { baseMs: 20, capMs: 100 } }
const today = Date.now()
const bad: Row[] = [['0.00000000', '1', today], ['100.10', '0.00000000', today], ['-5.0', '1', today], ['1', '1', 0], ['1', '1', today + 172_800_000]] // prettier-ignore

describe('a feed with trades whose values are none', () => {
  it.each([
    ['by the stream', true],
    ['by the stream’s silence and history', false],
  ])('passes them over, %s: counted once, no gap, nothing asked again', async (_how, live) => {
    const venue = await startVenue()
    const collected = new Collected(binanceSpotConnector(timing), { ...venue, symbols: ['BTC-USDT'] })
    running.push(collected)
    await eventually(() => venue.clients.length > 0)
    venue.tell(['100', '1', today], true)
    await eventually(() => collected.trades.length === 1)
    for (const row of bad) venue.tell(row, live)
    venue.tell(['100.20', '1', today], true)
    await eventually(() => collected.trades.at(-1)?.tradeId === '7')
    expect(collected.trades.map(({ tradeId, price, size }) => [tradeId, price, size])).toEqual([
      ['1', '100', '1'],
      ['7', '100.2', '1'],
    ])
    for (const trade of collected.trades) expect(topics.marketTrades.check?.(trade)).toBeUndefined()
    expect(await metric(collected, 'malformed_total')).toBe(bad.length)
    expect(collected.statusesOf('BTC-USDT').filter((status) => status === 'gap')).toEqual([])
    if (live) expect(await metric(collected, 'gaps_total')).toBe(0)
    // One page is enough.
    expect(venue.asked.length).toBeLessThan(3)
    // Time has not been moved by what is dated a day ahead.
    for (const { time } of collected.marks) expect(time).toBeLessThan((today + 3_600_000) * 1_000)
  })
})
