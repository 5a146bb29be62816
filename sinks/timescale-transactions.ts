/** chain.transactions.v1 → transactions. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleTransactions = defineTableSink({
  name: 'timescale-transactions',
  input: topics.chainTransactions,
  table: 'transactions',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (transaction) => transaction.ts],
    ['id', 'text', (transaction) => transaction.id],
    ['chain_id', 'bigint', (transaction) => transaction.chainId],
    ['block', 'bigint', (transaction) => transaction.block],
    ['tx_hash', 'text', (transaction) => transaction.txHash],
    ['tx_index', 'integer', (transaction) => transaction.txIndex],
    ['from_address', 'text', (transaction) => transaction.from],
    ['to_address', 'text', (transaction) => transaction.to],
    ['value', 'numeric', (transaction) => transaction.value],
    ['nonce', 'bigint', (transaction) => transaction.nonce],
    ['method', 'text', (transaction) => transaction.method],
    ['gas_used', 'numeric', (transaction) => transaction.gasUsed],
    ['effective_gas_price', 'numeric', (transaction) => transaction.effectiveGasPrice],
    ['success', 'boolean', (transaction) => transaction.success],
    ['contract_address', 'text', (transaction) => transaction.contractAddress],
  ],
})
