/** Brings one feed's trades in: live, from history where any are missing, held back while the broker is slow. */
import { topics } from '../../schemas/topics.ts'
import type { MarketTrade } from '../../schemas/types.ts'
import type { ConnectorSession, Lane, Micros } from '../../workers/runtime/definitions.ts'
import { oneLine, RetryableError } from '../../workers/runtime/errors.ts'
import { GrowingNumber } from '../../workers/runtime/growing-number.ts'
import { sequencePositions } from '../../workers/runtime/position.ts'
import type { FeedStatusWriter } from './feed-status.ts'
import { VenueRefusal } from './rest.ts'
import { TradeSequence } from './trade-sequence.ts'
import {
  isInvalid,
  type InvalidTrade,
  type MarketTiming,
  type TradePage,
  type VenueClock,
  type VenueTrade,
} from './venue.ts'
import { backoffMs, Bell, sleep } from './waiting.ts'

export interface TradeFeedOptions {
  readonly session: ConnectorSession
  readonly venue: string
  readonly symbol: string
  readonly status: FeedStatusWriter
  readonly clock: VenueClock
  readonly timing: MarketTiming
  /** Id of the last trade that was acknowledged. */
  readonly lastTrade: number | undefined
  /** How far back to begin where there is none. */
  readonly lookback: Micros
  readonly staleAfter: Micros
  readonly tradesFrom: (id: number) => Promise<TradePage>
  readonly firstTradeSince: (time: Micros) => Promise<number | undefined>
  /** A trade was left out, once for its id. */
  readonly malformed: (fault: string) => void
  /** The stream does not deliver trades that exist. */
  readonly mute: (reason: string) => void
  readonly signal: AbortSignal
}

/** One page of most venues' history. */
const HOLD = 1_000
/** How often to see whether the broker keeps up again or history is due. */
const LOOK_MS = 100
/** How far the trades of different symbols may be out of order on one connection: the venue's engines run apart. */
const STRAGGLE: Micros = 200_000

export class TradeFeed {
  readonly #options: TradeFeedOptions
  readonly #sequence: TradeSequence<VenueTrade | InvalidTrade>
  readonly #key: string
  readonly #origin: string
  readonly #lane: Lane<MarketTrade>
  readonly #tradeIds = new GrowingNumber()
  readonly #ids: GrowingNumber
  readonly #positions = sequencePositions()
  readonly #bell = new Bell()
  /** Why the feed is behind; undefined when it is up to date. */
  #behind: 'start' | 'connection' | 'gap' | 'broker' | undefined
  #stuck: { readonly why: string; readonly since: Micros } | undefined
  #attempt = 0
  readonly #begunAt: Micros
  #connectedAt: Micros | undefined
  #lastLiveAt: Micros | undefined
  #stale = false
  #checkedAt: Micros = 0
  #lastTs: Micros = 0
  #marked: Micros = 0

  constructor(options: TradeFeedOptions) {
    this.#options = options
    this.#begunAt = options.session.context.now()
    this.#key = `${options.venue}:${options.symbol}`
    this.#origin = `${this.#key}:trades`
    this.#ids = new GrowingNumber(`${this.#key}:`)
    this.#lane = options.session.lane(topics.marketTrades, this.#key, this.#origin)
    this.#sequence = new TradeSequence({ emit: (trade) => this.#emit(trade), hold: HOLD })
    if (options.lastTrade !== undefined) this.#sequence.begin(options.lastTrade + 1)
    else if (options.lookback === 0) this.#sequence.begin()
    if (options.lastTrade !== undefined || options.lookback > 0) this.#behind = 'start'
  }

  /** Id of the last trade sent, or given up. */
  get lastTrade(): number | undefined {
    return this.#sequence.next === undefined ? undefined : this.#sequence.next - 1
  }

  /** A trade from the stream. */
  live(trade: VenueTrade | InvalidTrade): void {
    const hadMissing = this.#sequence.missing
    const congested = this.#options.session.congested()
    const verdict = congested ? this.#sequence.skip(trade.id) : this.#sequence.live(trade)
    if (verdict === 'old') return
    this.#lastLiveAt = trade.receivedAt
    if (this.#stale) {
      this.#stale = false
      this.#options.status.publish('resynced', 'trades come again')
    }
    if (this.#sequence.missing && !hadMissing) {
      if (congested) this.#behind ??= 'broker'
      else if (this.#behind === undefined) this.#gapFound()
      this.#bell.ring()
    }
    this.#announceComplete()
  }

  /** A connection is open; trades may have been missed before it. */
  connected(how: 'first' | 'again' | 'renewed'): void {
    const now = this.#options.session.context.now()
    this.#connectedAt = now
    this.#sequence.doubt(now + this.#options.timing.settleMs * 1000)
    if (how === 'renewed') return
    this.#options.status.publish('connected', how === 'first' ? 'the stream is open' : 'the stream is open again')
    if (how === 'again' && this.#sequence.next !== undefined) this.#behind ??= 'connection'
  }

  lost(reason: string): void {
    this.#connectedAt = undefined
    this.#sequence.doubt(Infinity)
    this.#options.status.publish('lost', reason)
  }

  /** Looks at staleness and queues a time mark; called about once a second. */
  second(): void {
    const { session, clock, staleAfter, status } = this.#options
    const now = session.context.now()
    const since = Math.max(this.#lastLiveAt ?? 0, this.#connectedAt ?? 0, this.#begunAt)
    session.context.metrics.feedStaleness.set({ feed: this.#key }, (now - since) / 1e6)
    if (this.#connectedAt === undefined) return
    if (now - since > staleAfter && now - this.#checkedAt > staleAfter) {
      if (!this.#stale) status.publish('stale', `no trade for ${staleAfter / 1e6} s while the stream is open`)
      this.#stale = true
      this.#checkedAt = now
      // A quiet market or a mute stream: history tells.
      this.#sequence.doubt(now)
    }
    if (!this.#sequence.settled || clock.newest === undefined || session.congested()) return
    const time = Math.max(this.#lastTs, clock.newest - STRAGGLE)
    if (time > this.#marked) session.mark(topics.marketTrades, this.#key, this.#origin, time)
    this.#marked = Math.max(this.#marked, time)
  }

  /** Fetches what is missing, until the signal aborts. */
  async run(): Promise<void> {
    const { session, signal } = this.#options
    await this.#begin()
    while (!signal.aborted) {
      const from = session.congested() ? undefined : this.#sequence.fetchFrom(session.context.now())
      if (from === undefined) await this.#bell.wait(LOOK_MS, signal)
      else await this.#fetch(from)
    }
  }

  /** Without a cursor a feed begins where its lookback does. */
  async #begin(): Promise<void> {
    const { lastTrade, lookback, session, signal, firstTradeSince } = this.#options
    if (lastTrade !== undefined || lookback === 0) return
    const time = session.context.now() - lookback
    let begun = false
    while (!begun && !signal.aborted) {
      await this.#attemptTo(`finding the first trade of the lookback`, async () => {
        this.#beginAt(await firstTradeSince(time))
        begun = true
      }).catch((error: unknown) => {
        if (!(error instanceof VenueRefusal)) throw error
        session.context.log.error({ feed: this.#key, error: error.message }, 'no lookback, beginning with live trades')
        this.#beginAt(undefined)
        begun = true
      })
    }
  }

  #beginAt(first: number | undefined): void {
    this.#sequence.begin(first)
    this.#sequence.doubt(this.#options.session.context.now())
    this.#announceComplete()
  }

  async #fetch(from: number): Promise<void> {
    const { session, timing, signal, tradesFrom } = this.#options
    const askedAt = session.context.now()
    try {
      await this.#attemptTo('fetching trades', async () => {
        const page = await tradesFrom(from)
        while (session.congested() && !signal.aborted) await sleep(LOOK_MS, signal)
        if (signal.aborted) return
        this.#sequence.page(page.trades, page.end, askedAt)
        const advanced = this.lastTrade !== from - 1
        if (advanced && this.#stale) this.#options.mute(`${this.#key} traded without the stream's saying so`)
        if (advanced || !this.#sequence.missing) this.#stuck = undefined
        else await this.#wait('history does not have what is missing', timing.patienceMs)
        if (advanced || !this.#sequence.missing) this.#attempt = 0
      })
    } catch (error) {
      if (!(error instanceof VenueRefusal)) throw error
      this.#giveUp(error.message)
    }
    this.#announceComplete()
  }

  /** Does what may fail for a while: waits after a failure that passes, gives up what is missing after too long. */
  async #attemptTo(what: string, work: () => Promise<void>): Promise<void> {
    const { signal, timing, session } = this.#options
    try {
      await work()
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof RetryableError)) throw error
      session.context.log.warn({ feed: this.#key, error: oneLine(error) }, `${what} failed, trying again`)
      // A wait that the venue asks for is not its failure.
      if (error.retryAfterMs !== undefined) this.#stuck = undefined
      await this.#wait('history is out of reach', timing.outageMs)
    }
  }

  async #wait(why: string, patienceMs: number): Promise<void> {
    const now = this.#options.session.context.now()
    if (this.#stuck?.why !== why) this.#stuck = { why, since: now }
    if (now - this.#stuck.since > patienceMs * 1000) return this.#giveUp(why)
    await sleep(backoffMs(this.#attempt++, this.#options.timing.backoff), this.#options.signal)
  }

  #giveUp(reason: string): void {
    const { session, status } = this.#options
    this.#stuck = undefined
    this.#attempt = 0
    const lost = this.#sequence.abandon()
    if (!lost) return
    if (this.#behind !== 'gap') session.context.metrics.gaps.inc({ feed: this.#key })
    session.context.log.error({ feed: this.#key, ...lost, reason }, 'trades are missing for good')
    status.publish('gap', `trades ${lost.from} to ${lost.to} are missing: ${reason}`, lost)
  }

  #gapFound(): void {
    this.#behind = 'gap'
    this.#options.session.context.metrics.gaps.inc({ feed: this.#key })
  }

  /** Says so when the feed has caught up. */
  #announceComplete(): void {
    if (this.#behind === undefined || !this.#sequence.settled) return
    this.#options.status.publish('resynced', `complete up to trade ${this.lastTrade ?? 'none'} (${this.#behind})`)
    this.#behind = undefined
  }

  #emit(trade: VenueTrade | InvalidTrade): void {
    const { venue, symbol, malformed } = this.#options
    if (isInvalid(trade)) return malformed(`trade ${trade.id} of ${symbol}: ${trade.fault}`)
    const { id, ts, receivedAt, side, price, size } = trade
    this.#lastTs = Math.max(this.#lastTs, Math.min(ts, receivedAt))
    const tradeId = this.#tradeIds.text(id)
    this.#lane.send(
      { id: this.#ids.whole(id), venue, symbol, ts, receivedAt, tradeId, side, price, size },
      this.#positions.text(id),
    )
  }
}
