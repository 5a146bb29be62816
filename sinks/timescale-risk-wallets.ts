/** risk.wallets.v1 → risk_wallets. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleRiskWallets = defineTableSink({
  name: 'timescale-risk-wallets',
  input: topics.riskWallets,
  table: 'risk_wallets',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (risk) => risk.ts],
    ['id', 'text', (risk) => risk.id],
    ['chain_id', 'bigint', (risk) => risk.chainId],
    ['wallet', 'text', (risk) => risk.wallet],
    ['score', 'double', (risk) => risk.score],
    ['level', 'text', (risk) => risk.level],
    ['factors', 'jsonb', (risk) => risk.factors],
    ['block', 'bigint', (risk) => risk.block],
  ],
})
