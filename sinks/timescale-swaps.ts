/** chain.swaps.v1 → swaps. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleSwaps = defineTableSink({
  name: 'timescale-swaps',
  input: topics.chainSwaps,
  table: 'swaps',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (swap) => swap.ts],
    ['id', 'text', (swap) => swap.id],
    ['chain_id', 'bigint', (swap) => swap.chainId],
    ['block', 'bigint', (swap) => swap.block],
    ['tx_hash', 'text', (swap) => swap.txHash],
    ['tx_index', 'integer', (swap) => swap.txIndex],
    ['log_index', 'integer', (swap) => swap.logIndex],
    ['protocol', 'text', (swap) => swap.protocol],
    ['pool', 'text', (swap) => swap.pool],
    ['trader', 'text', (swap) => swap.trader],
    ['sender', 'text', (swap) => swap.sender],
    ['recipient', 'text', (swap) => swap.recipient],
    ['amount0', 'numeric', (swap) => swap.amount0],
    ['amount1', 'numeric', (swap) => swap.amount1],
  ],
})
