/** The whole pipeline: exchanges and chains to risk, patterns, signals, alerts and tables. */
import { binanceSpot } from '../connectors/binance-spot.ts'
import { evm } from '../connectors/evm.ts'
import { alertOutbox } from '../sinks/alert-outbox.ts'
import { timescaleAlerts } from '../sinks/timescale-alerts.ts'
import { timescaleBlocks } from '../sinks/timescale-blocks.ts'
import { timescaleCandles } from '../sinks/timescale-candles.ts'
import { timescaleFeedStatus } from '../sinks/timescale-feed-status.ts'
import { timescalePatterns } from '../sinks/timescale-patterns.ts'
import { timescaleQuotes } from '../sinks/timescale-quotes.ts'
import { timescaleRiskMarkets } from '../sinks/timescale-risk-markets.ts'
import { timescaleRiskWallets } from '../sinks/timescale-risk-wallets.ts'
import { timescaleSignals } from '../sinks/timescale-signals.ts'
import { timescaleSwaps } from '../sinks/timescale-swaps.ts'
import { timescaleTrades } from '../sinks/timescale-trades.ts'
import { timescaleTransactions } from '../sinks/timescale-transactions.ts'
import { timescaleTransfers } from '../sinks/timescale-transfers.ts'
import { timescaleWalletActivity } from '../sinks/timescale-wallet-activity.ts'
import { buildCandles } from '../workers/build-candles.ts'
import { decodeBlock } from '../workers/decode-block.ts'
import { detectAddressPoisoning } from '../workers/detect-address-poisoning.ts'
import { detectPriceShocks } from '../workers/detect-price-shocks.ts'
import { detectSandwiches } from '../workers/detect-sandwiches.ts'
import { detectWashRings } from '../workers/detect-wash-rings.ts'
import { detectWhaleTransfers } from '../workers/detect-whale-transfers.ts'
import { evaluateAlerts } from '../workers/evaluate-alerts.ts'
import { generateSignals } from '../workers/generate-signals.ts'
import { measureMarketRisk } from '../workers/measure-market-risk.ts'
import { defineTopology } from '../workers/runtime/definitions.ts'
import { scoreWalletRisk } from '../workers/score-wallet-risk.ts'

// prettier-ignore
export const cryptoIntel = defineTopology('crypto-intel', [
  binanceSpot, evm,
  decodeBlock, buildCandles,
  measureMarketRisk, scoreWalletRisk,
  detectPriceShocks, detectWhaleTransfers, detectWashRings, detectSandwiches, detectAddressPoisoning,
  generateSignals, evaluateAlerts,
  timescaleTrades, timescaleQuotes, timescaleCandles, timescaleFeedStatus,
  timescaleBlocks, timescaleTransactions, timescaleTransfers, timescaleSwaps, timescaleWalletActivity,
  timescaleRiskMarkets, timescaleRiskWallets, timescalePatterns, timescaleSignals, timescaleAlerts,
  alertOutbox,
])
