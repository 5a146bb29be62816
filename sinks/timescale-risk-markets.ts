/** risk.markets.v1 → risk_markets. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleRiskMarkets = defineTableSink({
  name: 'timescale-risk-markets',
  input: topics.riskMarkets,
  table: 'risk_markets',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (risk) => risk.ts],
    ['id', 'text', (risk) => risk.id],
    ['venue', 'text', (risk) => risk.venue],
    ['symbol', 'text', (risk) => risk.symbol],
    ['price', 'numeric', (risk) => risk.price],
    ['observations', 'integer', (risk) => risk.observations],
    ['volatility', 'double', (risk) => risk.volatility],
    ['annual_volatility', 'double', (risk) => risk.annualVolatility],
    ['drawdown', 'double', (risk) => risk.drawdown],
    ['max_drawdown', 'double', (risk) => risk.maxDrawdown],
    ['value_at_risk', 'double', (risk) => risk.valueAtRisk],
    ['historical_value_at_risk', 'double', (risk) => risk.historicalValueAtRisk],
  ],
})
