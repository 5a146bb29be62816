/** chain.blocks.v1 → blocks. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleBlocks = defineTableSink({
  name: 'timescale-blocks',
  input: topics.chainBlocks,
  table: 'blocks',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (block) => block.ts],
    ['id', 'text', (block) => block.id],
    ['received_at', 'timestamptz', (block) => block.receivedAt],
    ['chain_id', 'bigint', (block) => block.chainId],
    ['block', 'bigint', (block) => block.block],
    ['hash', 'text', (block) => block.blockHash],
    ['parent_hash', 'text', (block) => block.parentHash],
    ['miner', 'text', (block) => block.miner],
    ['gas_used', 'numeric', (block) => block.gasUsed],
    ['gas_limit', 'numeric', (block) => block.gasLimit],
    ['base_fee_per_gas', 'numeric', (block) => block.baseFeePerGas],
    ['transactions', 'integer', (block) => block.transactions.length],
    ['revision', 'integer', (block) => block.revision],
  ],
})
