/** What a venue must tell so that its trades and quotes can be brought in: its addresses, frames and history. */
import type { Micros } from '../../workers/runtime/definitions.ts'
import type { Side } from '../../schemas/types.ts'
import type { RestClient } from './rest.ts'
import type { Numbered, PageEnd } from './trade-sequence.ts'

export interface VenueTrade extends Numbered {
  /** Trade time. */
  readonly ts: Micros
  readonly receivedAt: Micros
  /** The taker's. */
  readonly side: Side
  /** Canonical decimals. */
  readonly price: string
  readonly size: string
}

/** A trade whose price, size or time is none: its id counts as seen, and it does not go out. */
export interface InvalidTrade extends Numbered {
  readonly receivedAt: Micros
  /** What is wrong, in words. */
  readonly fault: string
}

export const isInvalid = (trade: VenueTrade | InvalidTrade): trade is InvalidTrade => 'fault' in trade

export interface VenueQuote {
  /** Grows with each change of the book. */
  readonly updateId: number
  readonly receivedAt: Micros
  readonly bidPrice: string
  readonly bidSize: string
  readonly askPrice: string
  readonly askSize: string
}

/** What a frame says; `symbol` is the venue's own. */
export type MarketEvent =
  | { readonly kind: 'trade'; readonly symbol: string; readonly eventTime: Micros; readonly trade: VenueTrade }
  | { readonly kind: 'quote'; readonly symbol: string; readonly quote: VenueQuote }
  /** The server is about to close the connection. */
  | { readonly kind: 'closing' }
  /** The server refused a subscription. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** An acknowledgement, or a stream that nobody asked for. */
  | { readonly kind: 'other' }
  /** It is not what the venue documents, or holds an invalid trade. */
  | { readonly kind: 'malformed'; readonly symbol?: string; readonly trade?: InvalidTrade }

export interface TradePage {
  readonly trades: readonly (VenueTrade | InvalidTrade)[]
  readonly end: PageEnd
}

export interface VenueConnection {
  readonly url: string
  /** Messages that complete the subscription, sent one by one. */
  readonly messages: readonly string[]
}

export interface MarketVenue {
  readonly name: string
  /** The venue's symbol of each of ours. */
  symbols(rest: RestClient): Promise<ReadonlyMap<string, string>>
  readonly symbolsPerConnection: number
  /** How to connect to the streams of some of the venue's symbols. */
  connection(symbols: readonly string[]): VenueConnection
  /** @param frame the bytes as they came, valid only during the call */
  read(frame: Buffer, receivedAt: Micros): MarketEvent
  /** Trades from an id on, ids rising; 'end' where there were no more. */
  tradesFrom(rest: RestClient, symbol: string, id: number): Promise<TradePage>
  /** Id of the first trade at or after a time; undefined where there is none. */
  firstTradeSince(rest: RestClient, symbol: string, time: Micros): Promise<number | undefined>
  readonly restUrl: string
  readonly weightPerMinute: number
  readonly usedWeightHeader: string
  /** How often a client may connect. */
  readonly connects: { readonly count: number; readonly windowMs: number }
  /** Time between two messages that we send. */
  readonly messageSpacingMs: number
}

/** Limits in time, in milliseconds; tests shorten them. */
export interface MarketTiming {
  /** Age at which a connection is replaced. */
  readonly renewAfterMs: number
  /** How long the replaced connection stays after the new one has delivered. */
  readonly overlapMs: number
  /** Silence of a whole connection after which it counts as dead. */
  readonly silentAfterMs: number
  /** Time for the first trade after a connect to show whether any were missed, before history is asked. */
  readonly settleMs: number
  /** How long history may lack what the stream has shown to exist. */
  readonly patienceMs: number
  /** How long history may be out of reach before what is missing is given up. */
  readonly outageMs: number
  readonly markEveryMs: number
  readonly backoff: { readonly baseMs: number; readonly capMs: number }
}

export const usualTiming: MarketTiming = {
  renewAfterMs: (23 * 60 + 50) * 60_000,
  overlapMs: 2_000,
  silentAfterMs: 30_000,
  settleMs: 1_000,
  patienceMs: 10_000,
  outageMs: 600_000,
  markEveryMs: 1_000,
  backoff: { baseMs: 500, capMs: 30_000 },
}

/**
 * The newest time that the venue has shown on a connection; it only moves forward. All symbols of the connection share it, so no
 * single event may move it further than anything tells that time has come: its own time, when the venue sent it, and
 * when it was received.
 */
export class VenueClock {
  #newest: Micros | undefined

  /** @returns undefined before the first trade */
  get newest(): Micros | undefined {
    return this.#newest
  }

  /**
   * @param sentAt the venue's time of the message
   * @param receivedAt ours
   */
  see(eventTime: Micros, sentAt: Micros, receivedAt: Micros): void {
    const time = Math.min(eventTime, sentAt, receivedAt)
    if (this.#newest === undefined || time > this.#newest) this.#newest = time
  }
}
