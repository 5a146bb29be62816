import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { binanceSpotConnector } from '../../connectors/binance-spot.ts'
import type { MarketTiming } from '../../connectors/market/venue.ts'
import { startExchange, type Exchange, type ExchangeOptions } from '../../ops/local/exchange/exchange.ts'
import { FatalError } from '../../workers/runtime/errors.ts'
import { Collected, eventually, metric, type CollectOptions } from './market/collecting-session.ts'

const SYMBOLS = ['BTC-USDT', 'ETH-USDT', 'SOL-USDT']
/** As usual, but for tests that do not wait. */
const quick: Partial<MarketTiming> = {
  settleMs: 100,
  overlapMs: 100,
  patienceMs: 300,
  markEveryMs: 100,
  backoff: { baseMs: 20, capMs: 100 },
}

const running: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop()
})

async function exchange(options: Partial<ExchangeOptions> = {}): Promise<Exchange> {
  const started = await startExchange({ seed: 7, symbols: SYMBOLS, tradesPerSecond: 300, historyS: 120, ...options })
  running.push(started)
  return started
}

function connect(
  { restUrl, wsUrl, symbols }: Pick<Exchange, 'restUrl' | 'wsUrl' | 'symbols'>,
  { timing, ...options }: Partial<CollectOptions> & { timing?: Partial<MarketTiming> } = {},
): Collected {
  const connector = binanceSpotConnector({ ...quick, ...timing })
  const collected = new Collected(connector, { restUrl, wsUrl, symbols, ...options })
  running.push(collected)
  return collected
}

const delivering = (collected: Collected, symbols: readonly string[] = SYMBOLS, count = 5) =>
  eventually(() => symbols.every((symbol) => collected.tradesOf(symbol).length >= count))

/** Stops trading, waits until all of it has come, and compares: each id once, in order, every field as traded. */
async function expectComplete(venue: Exchange, collected: Collected): Promise<void> {
  venue.faults.clear()
  await sleep(100)
  venue.pause('trades')
  const lastOf = (pair: string) => venue.ledger().find((entry) => entry.pair === pair)?.lastId
  await eventually(() =>
    venue.symbols.every((pair) => Number(collected.tradesOf(pair).at(-1)?.tradeId) === lastOf(pair)),
  )
  for (const pair of venue.symbols) {
    const got = collected.tradesOf(pair)
    const rows = venue.tradesOf(pair, Number(got[0]?.tradeId), Number(got.at(-1)?.tradeId))
    const plain = got.map(({ tradeId, price, size, ts, side }) => ({
      id: Number(tradeId),
      price,
      quantity: size,
      time: ts / 1000,
      buyerMaker: side === 'sell',
    }))
    expect(plain).toEqual(rows)
  }
}

describe('the Binance spot connector on an exchange with faults', () => {
  it('brings in every trade and quote, and says that the feeds are connected', async () => {
    const venue = await exchange()
    const collected = connect(venue)
    await delivering(collected, SYMBOLS, 30)
    await expectComplete(venue, collected)
    const [trade] = collected.tradesOf('BTC-USDT')
    expect(trade).toMatchObject({ id: `binance-spot:BTC-USDT:${trade?.tradeId}`, venue: 'binance-spot' })
    const quotes = collected.quotes.filter(({ symbol }) => symbol === 'BTC-USDT')
    expect(quotes.length).toBeGreaterThan(0)
    for (const [index, { updateId }] of quotes.entries()) {
      if (index > 0) expect(updateId).toBeGreaterThan(quotes[index - 1]?.updateId ?? NaN)
    }
    expect(SYMBOLS.map((symbol) => collected.statusesOf(symbol))).toEqual([['connected'], ['connected'], ['connected']])
    expect(await metric(collected, 'gaps_total')).toBe(0)
  })

  it('begins as far back as the watch file says', async () => {
    const venue = await exchange()
    const collected = connect(venue, { lookback: '60s' })
    const from = collected.context.now() - 60_000_000
    await delivering(collected, SYMBOLS, 50)
    await expectComplete(venue, collected)
    for (const symbol of SYMBOLS) {
      const [first] = collected.tradesOf(symbol)
      expect(first?.ts).toBeGreaterThanOrEqual(from - 1_000_000)
      const [before] = venue.tradesOf(symbol, Number(first?.tradeId) - 1, Number(first?.tradeId) - 1)
      expect((before?.time ?? 0) * 1000).toBeLessThan((first?.receivedAt ?? 0) - 60_000_000)
    }
  })

  it('goes on behind the cursor of the run before', async () => {
    const venue = await exchange()
    const before = connect(venue)
    await delivering(before)
    await before.stop()
    const cursor: unknown = JSON.parse(before.cursors.get('binance-spot:BTC-USDT') ?? '')
    expect(cursor).toMatchObject({ trade: Number(before.tradesOf('BTC-USDT').at(-1)?.tradeId) })
    await sleep(200)
    const after = connect(venue, { cursors: before.cursors })
    await delivering(after, SYMBOLS, 50)
    await expectComplete(venue, after)
    for (const symbol of SYMBOLS) {
      const last = Number(before.tradesOf(symbol).at(-1)?.tradeId)
      expect(Number(after.tradesOf(symbol)[0]?.tradeId)).toBe(last + 1)
      expect(after.statusesOf(symbol)).toEqual(['connected', 'resynced'])
    }
    const session = (cursors: ReadonlyMap<string, string>) =>
      Number(/"session":(\d+)/.exec(cursors.get('binance-spot:BTC-USDT') ?? '')?.[1])
    expect(session(after.cursors)).toBeGreaterThan(session(before.cursors))
  })

  it('fills what was dropped and ignores what was doubled or swapped', async () => {
    const venue = await exchange()
    const collected = connect(venue)
    await delivering(collected)
    venue.faults.drop('btcusdt@trade', 7)
    venue.faults.double('ethusdt@trade', 20)
    venue.faults.swap('solusdt@trade', 5)
    await delivering(collected, SYMBOLS, 60)
    venue.faults.drop('ethusdt@trade', 3)
    await delivering(collected, SYMBOLS, 90)
    await expectComplete(venue, collected)
    expect(await metric(collected, 'gaps_total')).toBeGreaterThanOrEqual(2)
    expect(collected.statusesOf('BTC-USDT')).toEqual(['connected', 'resynced'])
  })

  it('reconnects after a disconnect without losing a trade, and says so', async () => {
    const venue = await exchange()
    const collected = connect(venue)
    for (const how of ['abruptly', 'with a close frame'] as const) {
      const count = collected.tradesOf('SOL-USDT').length + 20
      await delivering(collected, SYMBOLS, count)
      venue.faults.disconnect(undefined, how)
      venue.faults.refuse(200)
    }
    await delivering(collected, SYMBOLS, collected.tradesOf('BTC-USDT').length + 20)
    await expectComplete(venue, collected)
    const once = ['lost', 'connected', 'resynced']
    expect(collected.statusesOf('BTC-USDT')).toEqual(['connected', ...once, ...once])
    expect(await metric(collected, 'reconnects_total')).toBe(2)
  })

  it('replaces a connection on which nothing comes', async () => {
    const venue = await exchange()
    const collected = connect(venue, { timing: { silentAfterMs: 300 } })
    await delivering(collected)
    const [connection = 0] = venue.stats().connections
    venue.faults.silence({ connection }, 60_000)
    await eventually(() => venue.stats().connects === 2)
    await delivering(collected, SYMBOLS, 60)
    await expectComplete(venue, collected)
    expect(collected.statusesOf('BTC-USDT')).toEqual(['connected', 'lost', 'connected', 'resynced'])
  })

  it('waits for as long as the venue asks before it fetches what is missing', async () => {
    const venue = await exchange()
    const collected = connect(venue)
    await delivering(collected)
    venue.faults.tooManyRequests(2, 1)
    venue.faults.drop('btcusdt@trade', 3)
    await eventually(() => (venue.stats().rest.answers['/api/v3/historicalTrades 429'] ?? 0) === 2)
    await eventually(() => collected.statusesOf('BTC-USDT').includes('resynced'))
    await expectComplete(venue, collected)
    expect(venue.stats().rest.impatient).toBe(0)
  })

  it('sends nothing while the broker is slow, then the latest quotes and every trade', async () => {
    const venue = await exchange()
    const collected = connect(venue)
    await delivering(collected)
    collected.congested = true
    await sleep(20)
    const sent = [collected.trades.length, collected.quotes.length, collected.marks.length]
    const skipped = venue.stats().frames
    await eventually(() => (venue.stats().frames.bookTicker ?? 0) > (skipped.bookTicker ?? 0) + 100)
    expect([collected.trades.length, collected.quotes.length, collected.marks.length]).toEqual(sent)
    collected.congested = false
    await delivering(collected, SYMBOLS, 100)
    await expectComplete(venue, collected)
    expect(collected.quotes.length).toBeLessThan((venue.stats().frames.bookTicker ?? 0) - 90)
    expect(collected.statusesOf('BTC-USDT')).toEqual(['connected', 'resynced'])
    expect(venue.stats().connects).toBe(1)
  })

  it('renews connections before their end and when the server announces it, without a break', async () => {
    const venue = await exchange()
    const collected = connect(venue, { timing: { renewAfterMs: 400 } })
    await eventually(() => venue.stats().connects >= 3)
    venue.faults.shutDown(300)
    const { connects } = venue.stats()
    await eventually(() => venue.stats().connects > connects && venue.stats().connections.length === 1)
    await delivering(collected, SYMBOLS, 50)
    await expectComplete(venue, collected)
    expect(collected.statusesOf('BTC-USDT')).toEqual(['connected'])
    expect(await metric(collected, 'gaps_total')).toBe(0)
  })

  it('publishes as a gap what history does not have, and goes on', async () => {
    const venue = await exchange({ symbols: ['BTC-USDT'] })
    const oldest = venue.ledger()[0]?.firstId ?? 0
    const cursor = JSON.stringify({ trade: oldest - 101, session: 5 })
    const collected = connect(venue, { cursors: new Map([['binance-spot:BTC-USDT', cursor]]) })
    await eventually(() => collected.statusesOf('BTC-USDT').includes('resynced'))
    await expectComplete(venue, collected)
    expect(Number(collected.trades[0]?.tradeId)).toBe(oldest)
    const gap = collected.statuses.find(({ status }) => status === 'gap')
    expect(gap).toMatchObject({ fromId: String(oldest - 100), toId: String(oldest - 1) })
    expect(collected.statusesOf('BTC-USDT')).toEqual(['connected', 'gap', 'resynced'])
  })

  it('calls a quiet symbol stale once and does not reconnect for it', async () => {
    const venue = await exchange()
    const collected = connect(venue, { staleAfter: '400ms' })
    await delivering(collected)
    venue.pause('trades')
    await eventually(() => collected.statusesOf('BTC-USDT').includes('stale'))
    await sleep(1_000)
    venue.resume()
    await eventually(() => collected.statusesOf('BTC-USDT').includes('resynced'))
    await expectComplete(venue, collected)
    expect(collected.statusesOf('BTC-USDT').slice(0, 3)).toEqual(['connected', 'stale', 'resynced'])
    expect(venue.stats().connects).toBe(1)
  })

  it('finds out that a stream is mute while its symbol trades, and asks for another', async () => {
    const venue = await exchange()
    const collected = connect(venue, { staleAfter: '400ms' })
    await delivering(collected)
    venue.faults.silence({ symbol: 'ETHUSDT' }, 60_000)
    await eventually(() => collected.statusesOf('ETH-USDT').includes('stale'))
    await eventually(() => venue.stats().connects > 1)
    await expectComplete(venue, collected)
    expect(collected.statusesOf('SOL-USDT')).toEqual(['connected'])
  })

  it('marks time forward only, and never beyond a trade that follows', async () => {
    const venue = await exchange()
    const collected = connect(venue)
    await delivering(collected, SYMBOLS, 20)
    const key = 'binance-spot:BTC-USDT'
    await eventually(() => collected.marks.filter((mark) => mark.key === key).length > 5)
    const marked = collected.marks.findLast((mark) => mark.key === key)?.time ?? NaN
    const count = collected.tradesOf('BTC-USDT').length
    await delivering(collected, ['BTC-USDT'], count + 20)
    for (const { ts } of collected.tradesOf('BTC-USDT').slice(count)) expect(ts).toBeGreaterThanOrEqual(marked)
  })

  it('names every symbol that the venue does not list', async () => {
    const venue = await exchange()
    const collected = connect({ ...venue, symbols: ['BTC-USDT', 'NO-SUCH', 'NOR-THIS'] })
    running.pop()
    const error: unknown = await collected.done.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(FatalError)
    expect(error).toMatchObject({ code: 'watch-file', message: expect.stringContaining('NO-SUCH, NOR-THIS') })
  })
})
