/** Says on feeds.status.v1 what happened to a chain's feed, so that readers know what they can trust. */
import { topics } from '../../schemas/topics.ts'
import type { FeedStatus } from '../../schemas/types.ts'
import type { ConnectorSession } from '../../workers/runtime/definitions.ts'
import { sessionPosition } from '../../workers/runtime/position.ts'

export class FeedStatusLog {
  readonly #connector: ConnectorSession
  readonly #feed: string
  readonly #session: number
  #counter = 0

  /** Statuses have no number of their own: the feed's cursor keeps the last session, so that the next is later. */
  constructor(connector: ConnectorSession, feed: string) {
    this.#connector = connector
    this.#feed = feed
    const last = Number(connector.feeds.find((one) => one.feed === feed)?.cursor ?? 0)
    this.#session = Math.max(Math.floor(connector.context.now() / 1_000), last + 1)
    connector.saveCursor(feed, String(this.#session))
  }

  /** @param missing first and last block of a gap */
  say(status: FeedStatus['status'], detail: string, missing?: { readonly from: number; readonly to: number }): void {
    const now = this.#connector.context.now()
    const counter = this.#counter++
    const record: FeedStatus = {
      id: `${this.#feed}:${this.#session}:${counter}`,
      feed: this.#feed,
      ts: now,
      receivedAt: now,
      status,
      detail,
      fromId: missing === undefined ? null : String(missing.from),
      toId: missing === undefined ? null : String(missing.to),
    }
    const position = sessionPosition(this.#session, counter)
    this.#connector.send(topics.feedsStatus, record, { origin: `${this.#feed}:status`, position })
  }
}
