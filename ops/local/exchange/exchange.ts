/** An exchange on this machine that speaks Binance spot's public protocol over a seeded market model. */
import { aggregateFrame, depthFrame, quoteFrame, tradeFrame, wireLevels } from './frames.ts'
import type { Faults } from './faults.ts'
import type { Market, MarketSink } from './market.ts'
import { MarketModel } from './model.ts'
import type { ModelOptions } from './model.ts'
import type { Decoy, Planted, PlantTimes } from './plants.ts'
import { VenueServer } from './server.ts'
import type { ServerOptions, ServerStats } from './server.ts'
import type { Totals, TradeRow } from './trade-log.ts'
import { venueSymbol } from './venue.ts'
import type { LedgerEntry, Venue, VenueMarket } from './venue.ts'

export interface ExchangeOptions extends Omit<ModelOptions, 'startMs'>, ServerOptions {
  /** Planted when `arm` is called; nothing where it is not given. */
  readonly plants?: PlantTimes
}

export interface Exchange {
  /** Such as http://127.0.0.1:40123, as https://api.binance.com would be. */
  readonly restUrl: string
  /** Such as ws://127.0.0.1:40123, as wss://stream.binance.com would be; paths /stream and /ws. */
  readonly wsUrl: string
  /** BASE-QUOTE. */
  readonly symbols: readonly string[]
  readonly decoys: readonly Decoy[]
  readonly faults: Faults
  /** Starts the clock of the plants. */
  arm(): void
  /** Stops trades alone (quotes and books go on, and with them the venue's time), or everything but pings. */
  pause(what?: 'trades' | 'all'): void
  resume(): void
  /** The planted events that have begun. */
  planted(): readonly Planted[]
  /** What was traded, symbol by symbol, history included. */
  ledger(): readonly LedgerEntry[]
  /** Trades between two ids, both included, of a symbol by either name; the newest 200,000 are kept. */
  tradesOf(symbol: string, fromId: number, toId: number): readonly TradeRow[]
  stats(): ServerStats
  stop(): Promise<void>
}

const TICK_MS = 10
/** A stall of the machine is made good at this much market time a tick. */
const CATCH_UP_MS = 1_000

/**
 * Starts an exchange on 127.0.0.1.
 * @throws Error where the port is taken or a symbol is not listed
 */
export async function startExchange(options: ExchangeOptions): Promise<Exchange> {
  const openedAt = Date.now()
  const clockAt = performance.now()
  const now = () => openedAt + Math.floor(performance.now() - clockAt)
  const model = new MarketModel({ ...options, startMs: openedAt })
  const venue = venueOf(model, now)
  const history = new Map(venue.markets().map(({ info, log }) => [info.symbol, log.totals()]))
  const server = new VenueServer(venue, 'disconnect', options)
  await server.start()

  const sink = streamsOf(server)
  const ticking = setInterval(() => {
    server.hub.batch(() => model.advance(Math.min(now(), model.time + CATCH_UP_MS), sink))
  }, TICK_MS)
  return {
    restUrl: `http://${server.address}`,
    wsUrl: `ws://${server.address}`,
    symbols: venue.markets().map(({ info }) => info.pair),
    decoys: model.decoys,
    faults: server.faults,
    arm: () => model.arm(options.plants ?? {}),
    pause: (what = 'trades') => model.pause(what),
    resume: () => model.resume(),
    planted: () => model.planted(),
    ledger: () => ledgerOf(venue, history),
    tradesOf: (symbol, fromId, toId) => venue.market(venueSymbol(symbol))?.log.rows(fromId, toId) ?? [],
    stats: () => server.stats(),
    async stop() {
      clearInterval(ticking)
      await server.stop()
    },
  }
}

/** The ledger of a venue; without a history every symbol's is empty. */
export function ledgerOf(venue: Venue, history: ReadonlyMap<string, Totals>): LedgerEntry[] {
  return venue.markets().map(({ info, log }) => {
    const totals = log.totals()
    const { firstId } = totals
    const none = { firstId, lastId: firstId - 1, count: 0, volume: '0', notional: '0' }
    return { symbol: info.symbol, pair: info.pair, ...totals, history: history.get(info.symbol) ?? none }
  })
}

function venueOf(model: MarketModel, now: () => number): Venue {
  const markets = new Map(Array.from(model.markets, ([symbol, market]) => [symbol, venueMarketOf(market)]))
  return { now, market: (symbol) => markets.get(symbol), markets: () => [...markets.values()] }
}

function venueMarketOf(market: Market): VenueMarket {
  const { info, log, book } = market
  return {
    info,
    log,
    depth: (limit) => ({
      lastUpdateId: book.updateId,
      bids: wireLevels(market, book.bids.slice(0, limit)),
      asks: wireLevels(market, book.asks.slice(0, limit)),
    }),
  }
}

function streamsOf({ hub }: VenueServer): MarketSink {
  const names = new Map<string, Record<'trade' | 'aggregate' | 'quote' | '100ms' | '1000ms', string>>()
  const streams = ({ info }: Market) => {
    const known = names.get(info.symbol)
    if (known) return known
    const symbol = info.symbol.toLowerCase()
    const made = {
      trade: `${symbol}@trade`,
      aggregate: `${symbol}@aggTrade`,
      quote: `${symbol}@bookTicker`,
      '100ms': `${symbol}@depth@100ms`,
      '1000ms': `${symbol}@depth`,
    }
    names.set(info.symbol, made)
    return made
  }
  return {
    trade: (market, trade, at) => hub.publish(streams(market).trade, () => tradeFrame(market, trade, at)),
    aggregate: (market, trade, at) => hub.publish(streams(market).aggregate, () => aggregateFrame(market, trade, at)),
    quote: (market, quote) => hub.publish(streams(market).quote, () => quoteFrame(market, quote)),
    depth: (market, diff, speed, at) => hub.publish(streams(market)[speed], () => depthFrame(market, diff, at)),
  }
}
