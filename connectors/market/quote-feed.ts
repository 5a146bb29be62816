/**
 * Sends a feed's best bid and offer. While the broker is slow only the latest is kept, and before the venue has told a time on
 * the connection too: the quote has none of its own, and the machine's clock enters no record.
 */
import { topics } from '../../schemas/topics.ts'
import type { MarketQuote } from '../../schemas/types.ts'
import type { ConnectorSession } from '../../workers/runtime/definitions.ts'
import { sessionPosition } from '../../workers/runtime/position.ts'
import type { VenueClock, VenueQuote } from './venue.ts'

export class QuoteFeed {
  readonly #session: ConnectorSession
  readonly #venue: string
  readonly #symbol: string
  readonly #origin: string
  readonly #sessionNumber: number
  readonly #clock: VenueClock
  #counter = 0
  #updateId = -1
  #latest: VenueQuote | undefined

  constructor(session: ConnectorSession, venue: string, symbol: string, sessionNumber: number, clock: VenueClock) {
    this.#session = session
    this.#venue = venue
    this.#symbol = symbol
    this.#origin = `${venue}:${symbol}:quotes`
    this.#sessionNumber = sessionNumber
    this.#clock = clock
  }

  /** A quote from the stream; one that is not newer than the last is dropped. */
  live(quote: VenueQuote): void {
    if (quote.updateId <= this.#updateId) return
    this.#updateId = quote.updateId
    this.#latest = quote
    this.flush()
  }

  /** Sends the latest quote where it has not gone out, once the broker keeps up. */
  flush(): void {
    const [quote, ts] = [this.#latest, this.#clock.newest]
    if (quote === undefined || ts === undefined || this.#session.congested()) return
    const id = `${this.#venue}:${this.#symbol}:${quote.updateId}`
    const record: MarketQuote = { id, venue: this.#venue, symbol: this.#symbol, ts, ...quote }
    const position = sessionPosition(this.#sessionNumber, this.#counter++)
    this.#session.send(topics.marketQuotes, record, { origin: this.#origin, position })
    this.#latest = undefined
  }
}
