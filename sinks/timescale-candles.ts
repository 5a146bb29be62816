/** market.candles.v1 → candles. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleCandles = defineTableSink({
  name: 'timescale-candles',
  input: topics.marketCandles,
  table: 'candles',
  key: ['start', 'venue', 'symbol', 'interval'],
  columns: [
    ['start', 'timestamptz', (candle) => candle.start],
    ['ts', 'timestamptz', (candle) => candle.ts],
    ['venue', 'text', (candle) => candle.venue],
    ['symbol', 'text', (candle) => candle.symbol],
    ['interval', 'text', (candle) => candle.interval],
    ['open', 'numeric', (candle) => candle.open],
    ['high', 'numeric', (candle) => candle.high],
    ['low', 'numeric', (candle) => candle.low],
    ['close', 'numeric', (candle) => candle.close],
    ['volume', 'numeric', (candle) => candle.volume],
    ['quote_volume', 'numeric', (candle) => candle.quoteVolume],
    ['buy_volume', 'numeric', (candle) => candle.buyVolume],
    ['trades', 'integer', (candle) => candle.trades],
  ],
})
