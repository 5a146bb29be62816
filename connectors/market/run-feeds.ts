/** One run of a market connector: the feeds of this replica over as few connections as the venue allows. */
import { once } from 'node:events'
import type { ConnectorSession, Micros } from '../../workers/runtime/definitions.ts'
import { FatalError, oneLine, RetryableError } from '../../workers/runtime/errors.ts'
import { FeedStatusWriter } from './feed-status.ts'
import { QuoteFeed } from './quote-feed.ts'
import { RestClient } from './rest.ts'
import { MarketStream } from './stream.ts'
import { TradeFeed } from './trade-feed.ts'
import { VenueClock, type MarketTiming, type MarketVenue } from './venue.ts'
import { backoffMs, sleep, SlidingLimit } from './waiting.ts'

export interface FeedSettings {
  /** How far back a feed without a cursor begins. */
  readonly lookback: Micros
  /** Silence after which a symbol's trades count as stale. */
  readonly staleAfter: Micros
}

interface Feed {
  readonly feed: string
  readonly trades: TradeFeed
  readonly quotes: QuoteFeed
  readonly status: FeedStatusWriter
  readonly session: number
  saved: string
}

/** How often quotes that waited for the broker are looked after. */
const LOOK_MS = 50
const WARN_EVERY: Micros = 60_000_000

/**
 * Brings in the trades and quotes of the session's feeds until its signal aborts.
 * @throws FatalError where the venue does not know a symbol, or a cursor cannot be read
 */
export async function runFeeds(
  session: ConnectorSession,
  venue: MarketVenue,
  settings: FeedSettings,
  timing: MarketTiming,
): Promise<void> {
  const failed = new AbortController()
  const signal = AbortSignal.any([session.signal, failed.signal])
  const now = () => session.context.now()
  const { restUrl: baseUrl, weightPerMinute, usedWeightHeader, connects } = venue
  const rest = new RestClient({ baseUrl, weightPerMinute, usedWeightHeader, now, signal })
  const limit = new SlidingLimit(connects.count, connects.windowMs, now)
  const symbols = await listSymbols(session, venue, rest, timing)
  const groups: Group[] = []
  for (let at = 0; at < session.feeds.length && !signal.aborted; at += venue.symbolsPerConnection) {
    const feeds = session.feeds.slice(at, at + venue.symbolsPerConnection)
    groups.push(new Group({ session, venue, settings, timing, rest, limit, symbols, signal }, feeds))
  }
  const work = groups.map(async (group) => {
    try {
      await group.run()
    } catch (error) {
      failed.abort()
      throw error
    }
  })
  // A replica without feeds waits for its next assignment as well.
  if (groups.length === 0 && !signal.aborted) await once(signal, 'abort')
  const ends = await Promise.allSettled(work)
  for (const group of groups) group.saveCursors()
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

/** Tries until the venue answers: without its symbols nothing can begin. */
async function listSymbols(
  session: ConnectorSession,
  venue: MarketVenue,
  rest: RestClient,
  timing: MarketTiming,
): Promise<ReadonlyMap<string, string>> {
  const { context, signal } = session
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      return await venue.symbols(rest)
    } catch (error) {
      if (signal.aborted) break
      if (!(error instanceof RetryableError)) throw error
      context.log.warn({ venue: venue.name, error: oneLine(error) }, 'listing symbols failed, trying again')
      await sleep(Math.max(backoffMs(attempt, timing.backoff), error.retryAfterMs ?? 0), signal)
    }
  }
  return new Map()
}

interface GroupOptions {
  readonly session: ConnectorSession
  readonly venue: MarketVenue
  readonly settings: FeedSettings
  readonly timing: MarketTiming
  readonly rest: RestClient
  readonly limit: SlidingLimit
  readonly symbols: ReadonlyMap<string, string>
  readonly signal: AbortSignal
}

/** The feeds that share a connection. */
class Group {
  readonly #options: GroupOptions
  readonly #clock = new VenueClock()
  /** By the venue's symbol. */
  readonly #feeds: ReadonlyMap<string, Feed>
  readonly #stream: MarketStream
  #skew: Micros | undefined
  #malformed = 0
  #warnedAt: Micros = -WARN_EVERY

  constructor(options: GroupOptions, feeds: ConnectorSession['feeds']) {
    this.#options = options
    const { session, venue, timing, limit, signal, symbols } = options
    this.#feeds = new Map(
      feeds.map(({ feed, cursor }) => {
        const symbol = feed.slice(venue.name.length + 1)
        const venueSymbol = symbols.get(symbol) ?? ''
        return [venueSymbol, this.#feed(feed, symbol, venueSymbol, cursor)]
      }),
    )
    this.#stream = new MarketStream({
      connection: venue.connection([...this.#feeds.keys()]),
      life: feeds.length > 1 ? 'data' : 'data or pings',
      timing,
      messageSpacingMs: venue.messageSpacingMs,
      connects: limit,
      now: () => session.context.now(),
      log: session.context.log,
      signal,
      on: {
        connected: (how) => this.#connected(how),
        frame: (bytes) => this.#frame(bytes),
        lost: (reason) => this.#feeds.forEach(({ trades }) => trades.lost(reason)),
      },
    })
  }

  /** Runs until the signal aborts. */
  async run(): Promise<void> {
    await Promise.all([
      this.#stream.run(),
      this.#tick(),
      ...[...this.#feeds.values()].map(({ trades }) => trades.run()),
    ])
  }

  /** Saves where each feed stands, where that has changed. */
  saveCursors(): void {
    for (const feed of this.#feeds.values()) {
      const cursor = formatCursor({ trade: feed.trades.lastTrade, session: feed.session })
      if (cursor !== feed.saved) this.#options.session.saveCursor(feed.feed, cursor)
      feed.saved = cursor
    }
  }

  #feed(feed: string, symbol: string, venueSymbol: string, cursor: string | undefined): Feed {
    const { session, venue, settings, timing, rest, signal } = this.#options
    const last = parseCursor(feed, cursor)
    const number = Math.max(Math.floor(session.context.now() / 1000), (last.session ?? 0) + 1)
    const status = new FeedStatusWriter(session, feed, number, this.#clock)
    const quotes = new QuoteFeed(session, venue.name, symbol, number, this.#clock)
    const trades = new TradeFeed({
      session,
      venue: venue.name,
      symbol,
      status,
      clock: this.#clock,
      timing,
      lastTrade: last.trade,
      ...settings,
      tradesFrom: (id) => venue.tradesFrom(rest, venueSymbol, id),
      firstTradeSince: (time) => venue.firstTradeSince(rest, venueSymbol, time),
      malformed: (fault) => this.#countMalformed(fault),
      mute: (reason) => this.#stream.renew(reason),
      signal,
    })
    return { feed, trades, quotes, status, session: number, saved: '' }
  }

  #connected(how: 'first' | 'again' | 'renewed'): void {
    const { metrics } = this.#options.session.context
    if (how !== 'first') metrics.reconnects.inc({ connector: this.#options.venue.name })
    this.#feeds.forEach(({ trades }) => trades.connected(how))
  }

  #frame(bytes: Buffer): void {
    const receivedAt = this.#options.session.context.now()
    const event = this.#options.venue.read(bytes, receivedAt)
    switch (event.kind) {
      case 'trade':
        this.#clock.see(event.trade.ts, event.eventTime, receivedAt)
        this.#skew = event.eventTime - receivedAt
        return this.#feeds.get(event.symbol)?.trades.live(event.trade)
      case 'quote':
        return this.#feeds.get(event.symbol)?.quotes.live(event.quote)
      case 'closing':
        return this.#stream.renew('the server is about to shut down')
      case 'refused':
        return this.#options.session.context.log.error({ reason: event.reason }, 'the venue refused a subscription')
      case 'malformed':
        // Where it may be history's too, it is counted when its turn comes.
        if (event.trade === undefined) this.#countMalformed(bytes.toString('utf8', 0, 200))
        else this.#feeds.get(event.symbol ?? '')?.trades.live(event.trade)
        return
      case 'other':
    }
  }

  #countMalformed(example: string): void {
    const { session, venue } = this.#options
    const { log, metrics } = session.context
    this.#malformed++
    metrics.malformed.inc({ connector: venue.name })
    const now = session.context.now()
    if (now - this.#warnedAt < WARN_EVERY) return
    this.#warnedAt = now
    log.warn({ frames: this.#malformed, example }, 'frames that are not what the venue documents')
  }

  async #tick(): Promise<void> {
    const { session, signal, timing } = this.#options
    let due = session.context.now() + timing.markEveryMs * 1000
    this.saveCursors()
    while (!signal.aborted) {
      await sleep(LOOK_MS, signal)
      if (signal.aborted) return
      if (!session.congested()) this.#flush()
      const now = session.context.now()
      if (now < due) continue
      due = Math.max(due, now - timing.markEveryMs * 1000) + timing.markEveryMs * 1000
      for (const { feed, trades } of this.#feeds.values()) {
        trades.second()
        if (this.#skew !== undefined) session.context.metrics.clockSkew.set({ feed }, this.#skew / 1e6)
      }
      if (!session.congested()) this.saveCursors()
    }
  }

  #flush(): void {
    for (const { quotes, status } of this.#feeds.values()) {
      status.flush()
      quotes.flush()
    }
  }
}

interface Cursor {
  readonly trade: number | undefined
  readonly session: number | undefined
}

const formatCursor = (cursor: Cursor): string => JSON.stringify(cursor)

/** `{"trade":3735683259,"session":1723161254087}`; without a trade where none was sent yet. */
function parseCursor(feed: string, text: string | undefined): Cursor {
  if (text === undefined) return { trade: undefined, session: undefined }
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && 'session' in value) {
      const trade = 'trade' in value ? value.trade : undefined
      const { session } = value
      const wellFormed = (id: unknown) => id === undefined || Number.isSafeInteger(id)
      if (wellFormed(trade) && typeof session === 'number' && Number.isSafeInteger(session)) {
        return { trade: typeof trade === 'number' ? trade : undefined, session }
      }
    }
  } catch {
    // Falls through to the error that says what to do.
  }
  throw new FatalError('state', `the cursor of feed ${feed} is not readable: ${text.slice(0, 100)}`, {
    hint: 'delete its record in feeds.cursors.v1; the feed then begins at its lookback',
  })
}
