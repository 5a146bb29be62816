/** market.quotes.v1 → quotes. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleQuotes = defineTableSink({
  name: 'timescale-quotes',
  input: topics.marketQuotes,
  table: 'quotes',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (quote) => quote.ts],
    ['id', 'text', (quote) => quote.id],
    ['received_at', 'timestamptz', (quote) => quote.receivedAt],
    ['venue', 'text', (quote) => quote.venue],
    ['symbol', 'text', (quote) => quote.symbol],
    ['update_id', 'bigint', (quote) => quote.updateId],
    ['bid_price', 'numeric', (quote) => quote.bidPrice],
    ['bid_size', 'numeric', (quote) => quote.bidSize],
    ['ask_price', 'numeric', (quote) => quote.askPrice],
    ['ask_size', 'numeric', (quote) => quote.askSize],
  ],
})
