/** One event with a wrong time, on a connection that several symbols share: it harms no other, and no time is altered. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { binanceSpotConnector } from '../../../connectors/binance-spot.ts'
import { Collected, eventually } from './collecting-session.ts'

const running: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

const [btc, eth] = ['binance-spot:BTC-USDT', 'binance-spot:ETH-USDT']

/** A venue of two symbols that sends what a test says. */
async function startVenue() {
  const symbols = ['BTC', 'ETH'].map((baseAsset) => ({ symbol: `${baseAsset}USDT`, baseAsset, quoteAsset: 'USDT' }))
  const http = createServer((request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(request.url?.includes('exchangeInfo') ? { symbols } : []))
  }).listen(0, '127.0.0.1')
  const sockets = new WebSocketServer({ server: http })
  await once(http, 'listening')
  const address = http.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const push = (stream: string, data: object): void => {
    for (const client of sockets.clients) client.send(JSON.stringify({ stream, data }))
  }
  const venue = {
    restUrl: `http://127.0.0.1:${port}`,
    wsUrl: `ws://127.0.0.1:${port}`,
    symbols: ['BTC-USDT', 'ETH-USDT'],
    /** A trade at a time that was sent at another, in milliseconds. */
    trade(s: string, t: number, T: number, E = T): void {
      push(`${s.toLowerCase()}@trade`, { e: 'trade', E, s, t, p: '1.00', q: '1.00', T, m: false, M: true })
    },
    quote: (s: string, u: number): void =>
      push(`${s.toLowerCase()}@bookTicker`, { u, s, b: '1.00', B: '1.00', a: '2.00', A: '1.00' }),
    async stop(): Promise<void> {
      for (const client of sockets.clients) client.terminate()
      await new Promise((resolve) => http.close(resolve).closeAllConnections())
    },
  }
  running.push(venue)
  const timing = { settleMs: 100, markEveryMs: 100, patienceMs: 300, backoff: { baseMs: 20, capMs: 100 } }
  const collected = new Collected(binanceSpotConnector(timing), venue)
  running.push(collected)
  await eventually(() => sockets.clients.size > 0)
  return { venue, collected }
}

const day = 86_400_000
const wrongs: readonly [what: string, (now: number) => [time: number, sentAt: number], passed: boolean][] = [
  ['a trade of tomorrow', (now) => [now + day, now + day], false],
  ['a trade of tomorrow that was sent now', (now) => [now + day, now], false],
  ['a trade of 1970', () => [0, 0], false],
  ['a trade in five minutes', (now) => [now + 300_000, now + 300_000], true],
  ['a trade in 59 seconds that was sent now', (now) => [now + 59_000, now], true],
  ['a message of tomorrow', (now) => [now, now + day], true],
]

describe('a wrong time', () => {
  it.each(wrongs)('moves neither marks nor quotes of any symbol ahead of time: %s', async (_, timesAt, passed) => {
    const { venue, collected } = await startVenue()
    const begun = Date.now()
    venue.trade('ETHUSDT', 1, begun)
    venue.trade('BTCUSDT', 1, begun)
    await eventually(() => [btc, eth].every((key) => collected.marks.some((mark) => mark.key === key)))
    const [time, sentAt] = timesAt(Date.now())
    venue.trade('BTCUSDT', 2, time, sentAt)
    let id = 1
    const marked = collected.marks.length
    await eventually(() => {
      venue.trade('ETHUSDT', ++id, Date.now())
      venue.quote('BTCUSDT', id)
      return collected.marks.slice(marked).filter(({ key }) => key === eth).length > 3
    })
    const now = collected.context.now()
    for (const mark of collected.marks) expect(mark.time).toBeLessThanOrEqual(now)
    for (const { ts } of collected.quotes) expect(ts).toBeLessThanOrEqual(now)
    // What may have been meant goes out as it came; readers know what to do with it.
    expect(collected.tradesOf('BTC-USDT').some(({ ts }) => ts === time * 1_000)).toBe(passed)
    for (const { ts, receivedAt } of collected.tradesOf('ETH-USDT')) expect(ts).toBeLessThanOrEqual(receivedAt)
  })

  it("leaves the symbol's own marks going", async () => {
    const { venue, collected } = await startVenue()
    const marksOf = (): number => collected.marks.filter(({ key }) => key === btc).length
    venue.trade('BTCUSDT', 1, Date.now())
    venue.trade('BTCUSDT', 2, Date.now() + 300_000)
    await eventually(() => marksOf() > 0)
    let id = 0
    const before = marksOf()
    await eventually(() => {
      venue.trade('ETHUSDT', ++id, Date.now())
      return marksOf() > before + 3
    })
  })
})
