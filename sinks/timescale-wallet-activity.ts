/** wallets.activity.v1 → wallet_activity. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleWalletActivity = defineTableSink({
  name: 'timescale-wallet-activity',
  input: topics.walletsActivity,
  table: 'wallet_activity',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (activity) => activity.ts],
    ['id', 'text', (activity) => activity.id],
    ['chain_id', 'bigint', (activity) => activity.chainId],
    ['block', 'bigint', (activity) => activity.block],
    ['tx_hash', 'text', (activity) => activity.txHash],
    ['tx_index', 'integer', (activity) => activity.txIndex],
    ['log_index', 'integer', (activity) => activity.logIndex],
    ['wallet', 'text', (activity) => activity.wallet],
    ['direction', 'text', (activity) => activity.direction],
    ['counterparty', 'text', (activity) => activity.counterparty],
    ['standard', 'text', (activity) => activity.standard],
    ['token', 'text', (activity) => activity.token],
    ['amount', 'numeric', (activity) => activity.amount],
    ['token_id', 'numeric', (activity) => activity.tokenId],
  ],
})
