/** Publishes what happens to a feed as records of feeds.status.v1. */
import { topics } from '../../schemas/topics.ts'
import type { FeedState, FeedStatus } from '../../schemas/types.ts'
import type { ConnectorSession } from '../../workers/runtime/definitions.ts'
import { sessionPosition } from '../../workers/runtime/position.ts'
import type { MissingIds } from './trade-sequence.ts'
import type { VenueClock } from './venue.ts'

export class FeedStatusWriter {
  readonly #session: ConnectorSession
  readonly #feed: string
  readonly #sessionNumber: number
  readonly #clock: VenueClock
  #counter = 0
  /** What happened while the broker was slow. */
  readonly #waiting: { readonly record: FeedStatus; readonly position: string }[] = []

  /** @param sessionNumber the session of the positions, see position.ts */
  constructor(session: ConnectorSession, feed: string, sessionNumber: number, clock: VenueClock) {
    this.#session = session
    this.#feed = feed
    this.#sessionNumber = sessionNumber
    this.#clock = clock
  }

  /** Event time is the venue's, or ours where the venue has not shown any. */
  publish(status: FeedState, detail: string, missing?: MissingIds): void {
    const receivedAt = this.#session.context.now()
    const record: FeedStatus = {
      id: `${this.#feed}:${this.#sessionNumber}:${this.#counter}`,
      feed: this.#feed,
      ts: this.#clock.newest ?? receivedAt,
      receivedAt,
      status,
      detail,
      fromId: missing ? String(missing.from) : null,
      toId: missing ? String(missing.to) : null,
    }
    const position = sessionPosition(this.#sessionNumber, this.#counter++)
    // Of several events in a row only the last matters to a reader that sees none of them; a gap always does.
    if (this.#waiting.length > 0 && this.#waiting.at(-1)?.record.status !== 'gap') this.#waiting.pop()
    this.#waiting.push({ record, position })
    this.flush()
  }

  /** Sends what waits, once the broker keeps up. */
  flush(): void {
    const origin = `${this.#feed}:status`
    while (this.#waiting.length > 0 && !this.#session.congested()) {
      const next = this.#waiting.shift()
      if (next) this.#session.send(topics.feedsStatus, next.record, { origin, position: next.position })
    }
  }
}
