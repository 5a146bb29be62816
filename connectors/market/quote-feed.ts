/** Sends a feed's best bid and offer; while the broker is slow only the latest is kept. */
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
  #latest: MarketQuote | undefined

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
    this.#latest = {
      id: `${this.#venue}:${this.#symbol}:${quote.updateId}`,
      venue: this.#venue,
      symbol: this.#symbol,
      ts: this.#clock.newest ?? quote.receivedAt,
      ...quote,
    }
    this.flush()
  }

  /** Sends the latest quote where it has not gone out, once the broker keeps up. */
  flush(): void {
    if (this.#latest === undefined || this.#session.congested()) return
    const position = sessionPosition(this.#sessionNumber, this.#counter++)
    this.#session.send(topics.marketQuotes, this.#latest, { origin: this.#origin, position })
    this.#latest = undefined
  }
}
