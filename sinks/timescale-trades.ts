/** market.trades.v1 → trades. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleTrades = defineTableSink({
  name: 'timescale-trades',
  input: topics.marketTrades,
  table: 'trades',
  key: ['ts', 'venue', 'symbol', 'trade_id'],
  columns: [
    ['ts', 'timestamptz', (trade) => trade.ts],
    ['received_at', 'timestamptz', (trade) => trade.receivedAt],
    ['venue', 'text', (trade) => trade.venue],
    ['symbol', 'text', (trade) => trade.symbol],
    ['trade_id', 'text', (trade) => trade.tradeId],
    ['side', 'text', (trade) => trade.side],
    ['price', 'numeric', (trade) => trade.price],
    ['size', 'numeric', (trade) => trade.size],
  ],
})
