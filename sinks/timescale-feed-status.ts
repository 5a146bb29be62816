/** feeds.status.v1 → feed_status. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleFeedStatus = defineTableSink({
  name: 'timescale-feed-status',
  input: topics.feedsStatus,
  table: 'feed_status',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (event) => event.ts],
    ['id', 'text', (event) => event.id],
    ['received_at', 'timestamptz', (event) => event.receivedAt],
    ['feed', 'text', (event) => event.feed],
    ['status', 'text', (event) => event.status],
    ['detail', 'text', (event) => event.detail],
    ['from_id', 'text', (event) => event.fromId],
    ['to_id', 'text', (event) => event.toId],
  ],
})
