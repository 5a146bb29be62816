/** signals.trades.v1 → trade_signals. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleSignals = defineTableSink({
  name: 'timescale-signals',
  input: topics.signalsTrades,
  table: 'trade_signals',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (signal) => signal.ts],
    ['id', 'text', (signal) => signal.id],
    ['strategy', 'text', (signal) => signal.strategy],
    ['venue', 'text', (signal) => signal.venue],
    ['symbol', 'text', (signal) => signal.symbol],
    ['direction', 'text', (signal) => signal.direction],
    ['strength', 'double', (signal) => signal.strength],
    ['horizon_s', 'integer', (signal) => signal.horizonS],
    ['price', 'numeric', (signal) => signal.price],
    ['reason', 'text', (signal) => signal.reason],
  ],
})
