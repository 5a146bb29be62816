import { createReadStream, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startExchange } from '../../../ops/local/exchange/exchange.ts'
import type { Exchange } from '../../../ops/local/exchange/exchange.ts'
import { RequestWeights } from '../../../ops/local/exchange/limits.ts'
import {
  asObject,
  contiguous,
  eventually,
  get,
  getList,
  getObject,
  LocalBook,
  shapeOf,
  StreamClient,
} from './exchange-client.ts'
import type { Json } from './exchange-client.ts'

const CAPTURE = '../shared/fixtures/market/binance-spot/btcusdt-20240808.gz'

let exchange: Exchange
const clients: StreamClient[] = []

beforeAll(async () => {
  exchange = await startExchange({ seed: 'protocol', tradesPerSecond: 300, historyS: 120 })
})
afterAll(() => exchange.stop())
afterEach(() => {
  for (const client of clients.splice(0)) client.socket.terminate()
})

async function connect(path: string): Promise<StreamClient> {
  const client = await StreamClient.open(`${exchange.wsUrl}${path}`)
  clients.push(client)
  return client
}

const rest = (path: string) => `${exchange.restUrl}/api/v3/${path}`

describe('streams', () => {
  it.skipIf(!existsSync(CAPTURE))('send frames shaped as the recorded ones (fixtures needed)', async () => {
    const streams = ['btcusdt@trade', 'btcusdt@bookTicker', 'btcusdt@depth@100ms']
    const recorded = await firstOfEach(streams)
    const client = await connect(`/stream?streams=${streams.join('/')}`)
    for (const stream of streams) {
      await eventually(() => client.of(stream).length > 3, `frames of ${stream}`)
      const frame = client.of(stream)[3] ?? {}
      expect(shapeOf(frame)).toEqual(shapeOf(recorded.get(stream) ?? {}))
      expect(frame['s']).toBe('BTCUSDT')
    }
    const [trade] = client.of('btcusdt@trade')
    expect(Math.abs(Number(trade?.['E']) - Date.now())).toBeLessThan(10_000)
    expect(Number(trade?.['E'])).toBeGreaterThanOrEqual(Number(trade?.['T']))
  })

  it('send trades with contiguous ids, and aggregates that cover them', async () => {
    const client = await connect('/stream?streams=btcusdt@trade/btcusdt@aggTrade')
    await eventually(() => client.of('btcusdt@aggTrade').length > 40, 'aggregates')
    expect(contiguous(client.tradeIds('BTCUSDT'))).toBe(true)
    const aggregates = client.of('btcusdt@aggTrade')
    expect(contiguous(aggregates.map(({ a }) => Number(a)))).toBe(true)
    for (const [index, { f }] of aggregates.slice(1).entries()) expect(f).toBe(Number(aggregates[index]?.['l']) + 1)
    expect(shapeOf(aggregates[0] ?? {})).toEqual([
      'e: text',
      'E: integer',
      's: text',
      'a: integer',
      'p: decimal(8)',
      'q: decimal(8)',
      'f: integer',
      'l: integer',
      'T: integer',
      'm: boolean',
      'M: boolean',
    ])
  })

  it('send raw payloads on /ws and combined ones on /stream, and let the client change that', async () => {
    const client = await connect('/ws/btcusdt@bookTicker')
    await eventually(() => client.answers.some(({ u }) => u !== undefined), 'a raw frame')
    client.socket.send('{"method":"SET_PROPERTY","params":["combined",true],"id":5}')
    await eventually(() => client.of('btcusdt@bookTicker').length > 0, 'a combined frame')
    client.socket.send('{"method":"GET_PROPERTY","params":["combined"],"id":2}')
    await eventually(() => client.answers.some(({ id }) => id === 2), 'the answer')
    expect(client.answers).toContainEqual({ result: null, id: 5 })
    expect(client.answers).toContainEqual({ result: true, id: 2 })
  })

  it('are subscribed, listed and unsubscribed by message', async () => {
    const client = await connect('/stream')
    client.socket.send('{"method":"SUBSCRIBE","params":["btcusdt@trade","nosuch@trade"],"id":1}')
    client.socket.send('{"method":"LIST_SUBSCRIPTIONS","id":"list-1"}')
    await eventually(() => client.tradeIds('BTCUSDT').length > 0, 'trades')
    client.socket.send('{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":312}')
    await eventually(() => client.answers.length === 3, 'three answers')
    expect(client.answers).toEqual([
      { result: null, id: 1 },
      { result: ['btcusdt@trade', 'nosuch@trade'], id: 'list-1' },
      { result: null, id: 312 },
    ])
    const { length } = client.frames
    await getObject(rest('ping'))
    expect(client.frames.length).toBe(length)
  })

  it('answer malformed requests with the published errors', async () => {
    const client = await connect('/stream')
    client.socket.send('{"method":')
    client.socket.send('{"params":[],"id":1}')
    client.socket.send('{"method":"SHOUT","id":1}')
    client.socket.send('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":{}}')
    await eventually(() => client.answers.length === 4, 'four errors')
    expect(client.answers.map(({ code }) => code)).toEqual([3, 2, 2, 2])
    expect(client.answers[2]?.['msg']).toContain('unknown variant `SHOUT`, expected one of `SUBSCRIBE`')
  })

  it('end a connection that sends more than five messages a second', async () => {
    const client = await connect('/stream')
    for (let id = 0; id < 6; id++) client.socket.send(`{"method":"LIST_SUBSCRIPTIONS","id":${id}}`)
    await eventually(() => client.closed !== undefined, 'the end')
    expect(client.closed).toEqual({ code: 1008, reason: 'Too many requests' })
  })

  it('rebuild a book by the published procedure: never crossed, equal to REST, best offers as quoted', async () => {
    const client = await connect('/stream?streams=ethusdt@depth@100ms/ethusdt@bookTicker')
    await eventually(() => client.of('ethusdt@depth@100ms').length > 0, 'the first event')
    const snapshot = await getObject(rest('depth?symbol=ETHUSDT&limit=5000'))
    const book = new LocalBook(snapshot)
    await eventually(() => client.of('ethusdt@depth@100ms').length >= 25, 'events')
    const quotes = new Map(client.of('ethusdt@bookTicker').map((quote) => [quote['u'], quote]))
    let compared = 0
    for (const event of client.of('ethusdt@depth@100ms')) {
      expect(book.apply(event)).toBe(true)
      expect(book.crossed).toBe(false)
      const quote = quotes.get(event['u'])
      if (!quote || event['u'] !== book.lastUpdateId) continue
      compared++
      expect([quote['b'], quote['B']]).toEqual(book.bidLevels[0])
      expect([quote['a'], quote['A']]).toEqual(book.askLevels[0])
    }
    expect(compared).toBeGreaterThan(0)

    const later = await getObject(rest('depth?symbol=ETHUSDT&limit=5000'))
    const reaches = () => client.of('ethusdt@depth@100ms').some(({ u }) => Number(u) >= Number(later['lastUpdateId']))
    await eventually(reaches, 'events up to the later snapshot')
    const other = new LocalBook(later)
    for (const event of client.of('ethusdt@depth@100ms')) {
      expect(book.apply(event)).toBe(true)
      other.apply(event)
    }
    expect(book.lastUpdateId).toBe(other.lastUpdateId)
    expect(book.bidLevels).toEqual(other.bidLevels)
    expect(book.askLevels).toEqual(other.askLevels)
    expect(Math.min(book.bidLevels.length, book.askLevels.length)).toBeGreaterThanOrEqual(20)
  })
})

describe('REST', () => {
  it('describes the symbols with their precisions', async () => {
    const info = await getObject(rest('exchangeInfo'))
    expect(info['symbols']).toHaveLength(20)
    const one = await getObject(rest('exchangeInfo?symbol=PEPEUSDT'))
    const [entry] = Array.isArray(one['symbols']) ? one['symbols'].map(asObject) : []
    expect(entry).toMatchObject({ symbol: 'PEPEUSDT', status: 'TRADING', baseAsset: 'PEPE', quoteAsset: 'USDT' })
    expect(entry?.['filters']).toContainEqual(
      expect.objectContaining({ filterType: 'PRICE_FILTER', tickSize: '0.00000001' }),
    )
    const two = await getObject(rest(`exchangeInfo?symbols=${encodeURIComponent('["BTCUSDT","ETHUSDT"]')}`))
    expect(two['symbols']).toHaveLength(2)
    expect(await getObject(rest('ping'))).toEqual({})
    expect(Math.abs(Number((await getObject(rest('time')))['serverTime']) - Date.now())).toBeLessThan(10_000)
  })

  it('gives every trade back by id, the history before the start too', async () => {
    const { history, firstId } = exchange.ledger().find(({ symbol }) => symbol === 'BTCUSDT') ?? {}
    const trades = await getList(rest(`historicalTrades?symbol=BTCUSDT&fromId=${firstId}&limit=1000`))
    expect(trades[0]?.['id']).toBe(firstId)
    expect(history?.count).toBeGreaterThan(50)
    expect(contiguous(trades.map(({ id }) => Number(id)))).toBe(true)
    const rows = exchange.tradesOf('BTC-USDT', Number(trades[0]?.['id']), Number(trades.at(-1)?.['id']))
    expect(trades.map((trade) => [trade['id'], Number(trade['price']), Number(trade['qty']), trade['time']])).toEqual(
      rows.map((row) => [row.id, Number(row.price), Number(row.quantity), row.time]),
    )
    expect(shapeOf(trades[0] ?? {})).toEqual([
      'id: integer',
      'price: decimal(8)',
      'qty: decimal(8)',
      'quoteQty: decimal(8)',
      'time: integer',
      'isBuyerMaker: boolean',
      'isBestMatch: boolean',
    ])
    expect(await getList(rest('trades?symbol=BTCUSDT&limit=7'))).toHaveLength(7)
  })

  it('gives aggregates by id and by time', async () => {
    const latest = await getList(rest('aggTrades?symbol=BTCUSDT&limit=30'))
    expect(latest).toHaveLength(30)
    const first = latest[3] ?? {}
    const byId = await getList(rest(`aggTrades?symbol=BTCUSDT&fromId=${Number(first['a'])}&limit=20`))
    expect(byId).toEqual(latest.slice(3, 23))
    const [from, until] = [Number(first['T']), Number(latest[20]?.['T'])]
    const byTime = await getList(rest(`aggTrades?symbol=BTCUSDT&startTime=${from}&endTime=${until}`))
    expect(byTime.every(({ T }) => Number(T) >= from && Number(T) <= until)).toBe(true)
    expect(byTime).toContainEqual(first)
    const before = await getList(rest(`aggTrades?symbol=BTCUSDT&endTime=${until}&limit=10`))
    expect(before.at(-1)?.['T']).toBe(until)
  })

  it.each([
    ['depth?symbol=NOSUCH', -1121, 'Invalid symbol.'],
    ['depth', -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."],
    ['trades?symbol=btcusdt', -1100, "Illegal characters found in parameter 'symbol'"],
    ['trades?symbol=BTCUSDT&limit=ten', -1100, "Illegal characters found in parameter 'limit'"],
    ['trades?symbol=BTCUSDT&colour=red', -1104, "read '1' parameter(s) but was sent '2'"],
    ['ping?a=1', -1101, "Too many parameters; expected '0' and received '1'."],
    ['aggTrades?symbol=BTCUSDT&fromId=1&startTime=1', -1128, 'Combination of optional parameters invalid.'],
  ])('refuses %s with %i', async (path, code, message) => {
    const { status, body } = await get(rest(path))
    expect(status).toBe(400)
    expect(asObject(body)['code']).toBe(code)
    expect(asObject(body)['msg']).toContain(message)
  })

  it('counts weight, refuses beyond the limit and bans who goes on', async () => {
    const strict = await startExchange({
      seed: 1,
      symbols: ['BTCUSDT'],
      historyS: 0,
      limits: { weightPerMinute: 40, toleratedAfter429: 2 },
    })
    const answers = []
    for (let request = 0; request < 5; request++) answers.push(await get(`${strict.restUrl}/api/v3/exchangeInfo`))
    await strict.stop()
    const statuses = answers.map(({ status }) => status)
    // A minute that turns between two requests begins a new count.
    expect([
      [200, 200, 429, 429, 418],
      [200, 200, 200, 429, 429],
      [200, 200, 429, 200, 200],
      [200, 200, 429, 429, 200],
    ]).toContainEqual(statuses)
    const refused = answers.find(({ status }) => status === 429)
    expect(asObject(refused?.body)['code']).toBe(-1003)
    expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(answers[0]?.headers.get('x-mbx-used-weight-1m')).toBe('20')
  })
})

describe('request weights', () => {
  it('start anew each minute, and bans double for those who come back', () => {
    const weights = new RequestWeights({ weightPerMinute: 10, toleratedAfter429: 1, banMs: 120_000 })
    expect(weights.request('ip', 10, 59_000)).toEqual({ status: 200, usedWeight: 10 })
    expect(weights.request('ip', 1, 59_000)).toEqual({ status: 429, usedWeight: 11, retryAfterS: 1 })
    expect(weights.request('other', 1, 59_000).status).toBe(200)
    expect(weights.request('ip', 1, 59_500)).toMatchObject({ status: 418, retryAfterS: 120, bannedUntil: 179_500 })
    expect(weights.request('ip', 1, 179_499).status).toBe(418)
    expect(weights.request('ip', 1, 179_500).status).toBe(200)
    for (const weight of [20, 1]) weights.request('ip', weight, 180_000)
    expect(weights.request('ip', 1, 180_000)).toMatchObject({ status: 418, retryAfterS: 240 })
  })
})

async function firstOfEach(streams: readonly string[]): Promise<ReadonlyMap<string, Json>> {
  const found = new Map<string, Json>()
  const input = createReadStream(CAPTURE).pipe(createGunzip())
  for await (const line of createInterface({ input })) {
    const frame = asObject(JSON.parse(line.slice(line.indexOf(' ') + 1)))
    const { stream } = frame
    if (typeof stream === 'string' && streams.includes(stream) && !found.has(stream))
      found.set(stream, asObject(frame['data']))
    if (found.size === streams.length) break
  }
  return found
}
