import { afterEach, describe, expect, it } from 'vitest'
import { startExchange } from '../../../ops/local/exchange/exchange.ts'
import type { Exchange } from '../../../ops/local/exchange/exchange.ts'
import { FrameFaults } from '../../../ops/local/exchange/faults.ts'
import { contiguous, eventually, get, getList, StreamClient } from './exchange-client.ts'

const TRADES = 'btcusdt@trade'

let exchange: Exchange
const clients: StreamClient[] = []

async function start(options: { pingMs?: number; lifetimeMs?: number } = {}): Promise<Exchange> {
  exchange = await startExchange({
    seed: 'faults',
    symbols: ['BTCUSDT', 'ETHUSDT'],
    tradesPerSecond: 200,
    historyS: 10,
    ...options,
  })
  return exchange
}

async function connect(streams: string, options: { autoPong?: boolean } = {}): Promise<StreamClient> {
  const client = await StreamClient.open(`${exchange.wsUrl}/stream?streams=${streams}`, options)
  clients.push(client)
  return client
}

async function receive(client: StreamClient, more: number): Promise<void> {
  const target = client.of(TRADES).length + more
  await eventually(() => client.of(TRADES).length >= target, `${more} more trades`)
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate()
  await exchange.stop()
})

describe('disordered frames', () => {
  it('drops the next frames of a stream, which REST still gives', async () => {
    await start()
    const client = await connect(TRADES)
    await receive(client, 5)
    exchange.faults.drop(TRADES, 3)
    await receive(client, 20)
    const ids = client.tradeIds('BTCUSDT')
    const gap = ids.findIndex((id, index) => index > 0 && id !== (ids[index - 1] ?? NaN) + 1)
    const lastBefore = ids[gap - 1] ?? NaN
    expect(ids[gap]).toBe(lastBefore + 4)
    expect(contiguous(ids.slice(gap))).toBe(true)
    const url = `${exchange.restUrl}/api/v3/historicalTrades?symbol=BTCUSDT&fromId=${lastBefore + 1}&limit=3`
    expect((await getList(url)).map(({ id }) => id)).toEqual([lastBefore + 1, lastBefore + 2, lastBefore + 3])
  })

  it('doubles and swaps frames on one connection and leaves the other alone', async () => {
    await start()
    const [faulty, clean] = [await connect(TRADES), await connect(TRADES)]
    const connection = exchange.stats().connections[0] ?? NaN
    await receive(faulty, 3)
    exchange.faults.double(TRADES, 2, connection)
    await receive(faulty, 20)
    const doubled = faulty.tradeIds('BTCUSDT')
    expect(doubled.length - new Set(doubled).size).toBe(2)
    exchange.faults.swap(TRADES, 1, connection)
    await receive(faulty, 20)
    const ids = faulty.tradeIds('BTCUSDT')
    const back = ids.filter((id, index) => id < (ids[index - 1] ?? 0))
    expect(back).toHaveLength(1)
    expect([...new Set(ids)].toSorted((left, right) => left - right)).toSatisfy(contiguous)
    expect(contiguous(clean.tradeIds('BTCUSDT'))).toBe(true)
  })

  it('follows the frames of a swap in order', () => {
    const faults = new FrameFaults()
    faults.set('s', 'swap', 2)
    expect(['a', 'b', 'c', 'd', 'e'].flatMap((frame) => faults.apply('s', frame))).toEqual(['b', 'a', 'd', 'c', 'e'])
    expect(faults.active).toBe(false)
  })
})

describe('silence and disconnects', () => {
  it('sends nothing of a silent symbol while the others go on, and the trades stay in REST', async () => {
    await start()
    const client = await connect(`${TRADES}/btcusdt@bookTicker/ethusdt@trade`)
    await receive(client, 5)
    exchange.faults.silence({ symbol: 'BTC-USDT' }, 400)
    const before = client.of(TRADES).length
    const others = client.of('ethusdt@trade').length
    await eventually(() => client.of('ethusdt@trade').length > others + 10, 'trades of the other symbol')
    expect(client.of(TRADES).length).toBe(before)
    await receive(client, 10)
    const ids = client.tradeIds('BTCUSDT')
    expect(contiguous(ids)).toBe(false)
    const missing = exchange.tradesOf('BTCUSDT', (ids[before - 1] ?? NaN) + 1, (ids[before] ?? NaN) - 1)
    expect(missing.length).toBe((ids[before] ?? NaN) - (ids[before - 1] ?? NaN) - 1)
  })

  it('ends one connection or all', async () => {
    await start()
    const [first, second] = [await connect(TRADES), await connect(TRADES)]
    exchange.faults.disconnect(exchange.stats().connections[0], 'with a close frame')
    await eventually(() => first.closed !== undefined, 'the end of the first')
    expect(first.closed?.code).toBe(1001)
    await receive(second, 3)
    exchange.faults.disconnect()
    await eventually(() => second.closed !== undefined, 'the end of the second')
    expect(second.closed?.code).toBe(1006)
  })

  it('refuses connections for a while', async () => {
    await start()
    exchange.faults.refuse(300)
    await expect(StreamClient.open(`${exchange.wsUrl}/stream`)).rejects.toThrow()
    await expect(fetch(`${exchange.restUrl}/api/v3/ping`)).rejects.toThrow()
    exchange.faults.clear()
    await receive(await connect(TRADES), 1)
  })

  it('announces a shutdown before the connection ends', async () => {
    await start()
    const client = await connect(TRADES)
    exchange.faults.shutDown(50)
    await eventually(() => client.closed !== undefined, 'the end')
    const [event] = client.of('!serverShutdown')
    expect(event?.['e']).toBe('serverShutdown')
    expect(event?.['E']).toBeTypeOf('number')
  })
})

describe('the life of a connection', () => {
  it('is pinged, and ends without pongs', async () => {
    await start({ pingMs: 40 })
    const [polite, mute] = [await connect(TRADES), await connect(TRADES, { autoPong: false })]
    await eventually(() => mute.closed !== undefined, 'the end of the mute')
    expect(mute.closed).toEqual({ code: 1008, reason: 'Pong timeout' })
    expect(mute.pings).toBe(3)
    const { pings } = polite
    await eventually(() => polite.pings > pings, 'another ping')
    expect(polite.closed).toBeUndefined()
  })

  it('ends at its lifetime, announced', async () => {
    await start({ lifetimeMs: 300 })
    const client = await connect(TRADES)
    await eventually(() => client.closed !== undefined, 'the end')
    expect(client.of('!serverShutdown')).toHaveLength(1)
    expect(client.closed?.code).toBe(1001)
  })
})

describe('REST faults', () => {
  it('answers the next requests with 429 and Retry-After, and counts who does not wait', async () => {
    await start()
    const url = `${exchange.restUrl}/api/v3/trades?symbol=BTCUSDT`
    exchange.faults.tooManyRequests(2, 7)
    const answers = [await get(url), await get(url), await get(url)]
    expect(answers.map(({ status }) => status)).toEqual([429, 429, 200])
    expect(answers[0]?.headers.get('retry-after')).toBe('7')
    expect(exchange.stats().rest.impatient).toBe(2)
  })

  it('answers late and in drops, whole all the same', async () => {
    await start()
    const url = `${exchange.restUrl}/api/v3/trades?symbol=BTCUSDT&limit=30`
    const finished: string[] = []
    exchange.faults.slowRest(100, 20_000)
    const slow = getList(url).finally(() => finished.push('slow'))
    await eventually(() => exchange.stats().rest.requests === 1, 'the request')
    exchange.faults.slowRest(0)
    await getList(url).finally(() => finished.push('quick'))
    expect(await slow).toHaveLength(30)
    expect(finished).toEqual(['quick', 'slow'])
  })
})

describe('draining', () => {
  it('stops trades, after which the streams, the ledger and REST agree', async () => {
    await start()
    const client = await connect(`${TRADES}/btcusdt@depth@100ms`)
    await receive(client, 20)
    exchange.pause()
    const entry = exchange.ledger().find(({ pair }) => pair === 'BTC-USDT')
    await eventually(() => client.tradeIds('BTCUSDT').at(-1) === entry?.lastId, 'the last trade')
    const events = client.of('btcusdt@depth@100ms').length
    await eventually(() => client.of('btcusdt@depth@100ms').length > events, 'books that go on')
    expect(client.tradeIds('BTCUSDT').at(-1)).toBe(entry?.lastId)
    const rows = exchange.tradesOf('BTC-USDT', entry?.firstId ?? 0, entry?.lastId ?? 0)
    expect(rows.length).toBe(entry?.count)
    const lots = rows.reduce((sum, { quantity }) => sum + BigInt(Math.round(Number(quantity) * 1e5)), 0n)
    expect(Number(lots) / 1e5).toBe(Number(entry?.volume))
  })
})
