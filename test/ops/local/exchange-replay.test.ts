import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startReplay } from '../../../ops/local/exchange/replay.ts'
import type { Replay } from '../../../ops/local/exchange/replay.ts'
import { contiguous, eventually, getList, getObject, LocalBook, StreamClient } from './exchange-client.ts'

const CAPTURE = '../shared/fixtures/market/binance-spot/btcusdt-20240808.gz'
const STREAMS = 'btcusdt@trade/btcusdt@bookTicker/btcusdt@depth@100ms'

let folder = ''
let replay: Replay | undefined
const clients: StreamClient[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'exchange-replay-'))
})
afterAll(() => rm(folder, { recursive: true }))
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate()
  await replay?.stop()
})

async function connect(streams: string): Promise<StreamClient> {
  const client = await StreamClient.open(`${replay?.wsUrl}/stream?streams=${streams}`)
  clients.push(client)
  return client
}

async function recording(lines: readonly string[]): Promise<string> {
  const file = join(folder, `${lines.length}-${performance.now()}.txt`)
  await writeFile(file, lines.join('\n'))
  return file
}

const trade = (id: number, ms: number, time = ms) =>
  `${ms}000000 {"stream":"btcusdt@trade","data":{"e":"trade","E":${time},"s":"BTCUSDT","t":${id},"p":"61837.63000000","q":"0.02000000","T":${time},"m":true,"M":true}}`

describe.skipIf(!existsSync(CAPTURE))('a replay of the recorded BTCUSDT capture (fixtures needed)', () => {
  it(
    'sends every frame in order, even to a reader that pauses, and rebuilds the book',
    { timeout: 60_000 },
    async () => {
      replay = await startReplay({ file: CAPTURE, speed: 'max', settleMs: 50 })
      expect(replay.recorded).toMatchObject({ frames: 41_248, trades: 9_757 })
      expect(await getObject(`${replay.restUrl}/api/v3/exchangeInfo`)).toMatchObject({
        symbols: [{ symbol: 'BTCUSDT', baseAsset: 'BTC' }],
      })
      const early = await getObject(`${replay.restUrl}/api/v3/depth?symbol=BTCUSDT&limit=5000`)
      expect(early['lastUpdateId']).toBe(50093239218)

      const client = await connect(STREAMS)
      await eventually(() => client.frames.length > 1_000, 'the first frames')
      client.socket.pause()
      await sleep(300)
      expect(replay.position()).toBeLessThan(41_248)
      client.socket.resume()
      await replay.ended
      await eventually(() => client.frames.length === 41_248, 'every frame', 20_000)
      expect(client.tradeIds('BTCUSDT')).toHaveLength(9_757)
      expect(client.tradeIds('BTCUSDT')).toSatisfy(contiguous)

      const book = new LocalBook(early)
      const quotes = new Map(client.of('btcusdt@bookTicker').map((quote) => [quote['u'], quote]))
      let [applied, matches] = [0, 0]
      for (const event of client.of('btcusdt@depth@100ms')) {
        const before = book.lastUpdateId
        expect(book.apply(event)).toBe(true)
        if (book.lastUpdateId === before) continue
        applied++
        const quote = quotes.get(event['u'])
        if (!quote) continue
        expect([quote['b'], quote['B']]).toEqual(book.bidLevels[0])
        expect([quote['a'], quote['A']]).toEqual(book.askLevels[0])
        matches++
      }
      expect([applied, matches]).toEqual([3_449, 564])
      const late = await getObject(`${replay.restUrl}/api/v3/depth?symbol=BTCUSDT&limit=20`)
      expect(late['lastUpdateId']).toBe(book.lastUpdateId)
      expect(late['bids']).toEqual(book.bidLevels.slice(0, 20))
    },
  )

  it('answers REST trades up to its position, and totals of all at the end', { timeout: 30_000 }, async () => {
    replay = await startReplay({ file: CAPTURE, speed: 'max', settleMs: 0 })
    const url = `${replay.restUrl}/api/v3/historicalTrades?symbol=BTCUSDT`
    expect(await getList(`${url}&fromId=1`)).toEqual([])
    await connect('btcusdt@trade')
    await replay.ended
    const trades = await getList(`${url}&fromId=3735683259&limit=2`)
    expect(trades[0]).toMatchObject({ id: 3735683259, price: '61837.63000000', qty: '0.02000000', isBuyerMaker: true })
    expect(replay.ledger()).toEqual([
      expect.objectContaining({ pair: 'BTC-USDT', count: 9_757, firstId: 3735683259, lastId: 3735693015 }),
    ])
    expect(replay.tradesOf('BTC-USDT', 3735683259, 3735683260)).toHaveLength(2)
  })
})

describe('a replay', () => {
  it('keeps the recorded pace', async () => {
    const hour = 3_600_000
    const file = await recording([0, 1, hour].map((ms, index) => trade(index + 1, 1_723_161_253_000 + ms)))
    replay = await startReplay({ file, speed: 4, settleMs: 0 })
    const client = await connect('btcusdt@trade')
    await eventually(() => client.frames.length === 2, 'the frames before the long pause')
    expect((await getObject(`${replay.restUrl}/api/v3/time`))['serverTime']).toBe(1_723_161_253_001)
    expect(replay.position()).toBe(2)
  })

  it('waits while nobody listens', async () => {
    const file = await recording(Array.from({ length: 40 }, (_, index) => trade(index + 1, 1_000_000 + index * 25)))
    replay = await startReplay({ file, speed: 1, settleMs: 0 })
    const first = await connect('btcusdt@trade')
    await eventually(() => first.frames.length >= 3, 'frames')
    first.socket.terminate()
    await eventually(() => replay?.stats().streams.length === 0, 'the end of the first')
    await sleep(150)
    const held = replay.position()
    await sleep(150)
    expect(replay.position()).toBe(held)
    const second = await connect('btcusdt@trade')
    await replay.ended
    await eventually(() => second.tradeIds('BTCUSDT').at(-1) === 40, 'the last frame')
    expect(second.tradeIds('BTCUSDT')).toSatisfy(contiguous)
  })

  it('leaves out of REST what the recorder missed, and counts once what it got twice', async () => {
    const file = await recording([trade(5, 1_000), trade(6, 1_001), trade(6, 1_002), trade(9, 1_003)])
    replay = await startReplay({ file, speed: 'max', settleMs: 0 })
    const client = await connect('btcusdt@trade')
    await replay.ended
    await eventually(() => client.frames.length === 4, 'every frame')
    const trades = await getList(`${replay.restUrl}/api/v3/historicalTrades?symbol=BTCUSDT&fromId=6`)
    expect(trades.map(({ id }) => id)).toEqual([6, 9])
    expect(replay.ledger()[0]).toMatchObject({ firstId: 5, lastId: 9, count: 3, volume: '0.06' })
  })

  it('names the line of a malformed recording', async () => {
    const file = await recording([trade(1, 1_000), '1001000000 {"stream":'])
    await expect(startReplay({ file, speed: 'max' })).rejects.toThrow(`${file}:2 is not a recorded`)
    await expect(startReplay({ file: `${file}.gone`, speed: 'max' })).rejects.toThrow('ENOENT')
    await expect(startReplay({ file: await recording(['']), speed: 'max' })).rejects.toThrow('holds no frame')
  })
})
