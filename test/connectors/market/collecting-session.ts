/** A connector session that keeps in memory what is sent, and holds the connector to the contract of ConnectorSession. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import type { FeedStatus, MarketQuote, MarketTrade } from '../../../schemas/types.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { createContext } from '../../../workers/runtime/context.ts'
import type { Connector, ConnectorSession, Context, Micros } from '../../../workers/runtime/definitions.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'

export interface CollectOptions {
  readonly restUrl: string
  readonly wsUrl: string
  readonly symbols: readonly string[]
  /** As the watch file writes them. */
  readonly lookback?: string
  readonly staleAfter?: string
  readonly cursors?: ReadonlyMap<string, string>
}

export interface Mark {
  readonly key: string
  readonly time: Micros
}

export class Collected {
  readonly trades: MarketTrade[] = []
  readonly quotes: MarketQuote[] = []
  readonly statuses: FeedStatus[] = []
  readonly marks: Mark[] = []
  readonly cursors = new Map<string, string>()
  readonly context: Context
  /** Set by tests to play a slow broker. */
  congested = false
  /** Ends when the run does. */
  readonly done: Promise<void>
  readonly #positions = new Map<string, string>()
  readonly #stop = new AbortController()

  constructor(connector: Connector, options: CollectOptions) {
    const { symbols, lookback = '0s', staleAfter = '60s' } = options
    const watch = WatchSchema.parse({ venues: { 'binance-spot': { symbols, lookback, staleAfter } } })
    const env = { BINANCE_SPOT_REST_URL: options.restUrl, BINANCE_SPOT_WS_URL: options.wsUrl, LOG_LEVEL: 'silent' }
    this.context = createContext(loadConfig(env, { require: [] }), watch, 'test')
    const feeds = connector.feeds(watch).map((feed) => ({ feed, cursor: options.cursors?.get(feed) }))
    this.done = connector.run(this.#session(feeds))
    // Whoever awaits `done` sees the error.
    this.done.catch(() => undefined)
  }

  /** Ends the run and waits for it. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.done
  }

  tradesOf(symbol: string): MarketTrade[] {
    return this.trades.filter((trade) => trade.symbol === symbol)
  }

  statusesOf(symbol: string): string[] {
    return this.statuses.filter(({ feed }) => feed === `binance-spot:${symbol}`).map(({ status }) => status)
  }

  #session(feeds: ConnectorSession['feeds']): ConnectorSession {
    const session: ConnectorSession = {
      feeds,
      context: this.context,
      signal: this.#stop.signal,
      congested: () => this.congested,
      acknowledged: () => Promise.resolve(),
      saveCursor: (feed, cursor) => this.cursors.set(feed, cursor),
      journal: () => {
        throw new Error('a market connector has no journal')
      },
      mark: (topic, key, origin, time) => {
        expect({ topic: topic.name, origin }).toEqual({ topic: topics.marketTrades.name, origin: `${key}:trades` })
        expect(time).toBeGreaterThan(this.marks.findLast((mark) => mark.key === key)?.time ?? 0)
        this.marks.push({ key, time })
      },
      send: (topic, record, { origin, position }) => {
        expect(position > (this.#positions.get(origin) ?? ''), `${origin} ${position} is out of order`).toBe(true)
        this.#positions.set(origin, position)
        if (isTrade(topic.name, record)) this.trades.push(record)
        if (isQuote(topic.name, record)) this.quotes.push(record)
        if (isStatus(topic.name, record)) this.statuses.push(record)
      },
      lane: (topic, key, origin) => ({
        send: (record, position) => {
          expect(topic.key(record)).toBe(key)
          session.send(topic, record, { origin, position })
        },
      }),
    }
    return session
  }
}

const isTrade = (topic: string, _record: object): _record is MarketTrade => topic === topics.marketTrades.name
const isQuote = (topic: string, _record: object): _record is MarketQuote => topic === topics.marketQuotes.name
const isStatus = (topic: string, _record: object): _record is FeedStatus => topic === topics.feedsStatus.name

/** Waits until `holds`; the test's time-out is the limit. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10)
}

/** The sum of a metric over its labels. */
export async function metric({ context }: Collected, name: string): Promise<number> {
  const found = await context.metrics.registry.getSingleMetric(`crypto_intel_${name}`)?.get()
  return found?.values.reduce((sum, { value }) => sum + value, 0) ?? NaN
}
