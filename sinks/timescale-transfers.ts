/** chain.transfers.v1 → transfers. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleTransfers = defineTableSink({
  name: 'timescale-transfers',
  input: topics.chainTransfers,
  table: 'transfers',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (transfer) => transfer.ts],
    ['id', 'text', (transfer) => transfer.id],
    ['chain_id', 'bigint', (transfer) => transfer.chainId],
    ['block', 'bigint', (transfer) => transfer.block],
    ['tx_hash', 'text', (transfer) => transfer.txHash],
    ['tx_index', 'integer', (transfer) => transfer.txIndex],
    ['log_index', 'integer', (transfer) => transfer.logIndex],
    ['standard', 'text', (transfer) => transfer.standard],
    ['token', 'text', (transfer) => transfer.token],
    ['from_address', 'text', (transfer) => transfer.from],
    ['to_address', 'text', (transfer) => transfer.to],
    ['amount', 'numeric', (transfer) => transfer.amount],
    ['token_id', 'numeric', (transfer) => transfer.tokenId],
  ],
})
