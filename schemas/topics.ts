/** Every topic, one line each: name, key, retention or compaction, partitions. */
import type { Topic } from '../workers/runtime/definitions.ts'
import { checks } from './checks.ts'
import type * as t from './types.ts'

const days = (n: number) => ({ cleanup: { policy: 'delete', retentionMs: n * 86_400_000 } }) as const
/** Event time beyond which a record of a connector or a foreign producer is ahead of its append time. */
const judged = { maxAhead: 60_000_000 } as const
const compacted = { cleanup: { policy: 'compact' } } as const
const define = <T extends object>(name: string, partitions: number, key: (record: T) => string, rest: Pick<Topic<T>, 'cleanup' | 'maxAhead' | 'maxMessageBytes' | 'output' | 'shared' | 'check'>): Topic<T> => ({ name, partitions, key, ...rest }) // prettier-ignore

const market = (r: { venue: string; symbol: string }): string => `${r.venue}:${r.symbol}`
const wallet = (r: { chainId: number; wallet: string }): string => `${r.chainId}:${r.wallet}`

// prettier-ignore
export const topics = {
  marketTrades: define<t.MarketTrade>('market.trades.v1', 4, market, { ...days(7), ...judged, shared: true, check: checks.trade }),
  marketQuotes: define<t.MarketQuote>('market.quotes.v1', 4, market, { ...days(2), ...judged, shared: true, check: checks.quote }),
  marketCandles: define<t.MarketCandle>('market.candles.v1', 4, market, { ...days(30), check: checks.candle }),
  chainBlocks: define<t.ChainBlock>('chain.blocks.v1', 4, (r) => String(r.chainId), { ...days(7), maxMessageBytes: 16 * 1024 * 1024, check: checks.block }),
  chainTransactions: define<t.ChainTransaction>('chain.transactions.v1', 4, (r) => `${r.chainId}:${r.from}`, { ...days(7), check: checks.transaction }),
  chainTransfers: define<t.ChainTransfer>('chain.transfers.v1', 4, (r) => `${r.chainId}:${r.token}`, { ...days(7), check: checks.transfer }),
  chainSwaps: define<t.ChainSwap>('chain.swaps.v1', 4, (r) => `${r.chainId}:${r.pool}`, { ...days(7), check: checks.swap }),
  chainLogs: define<t.ChainLog>('chain.logs.v1', 4, (r) => `${r.chainId}:${r.address}`, { ...days(7), output: true, check: checks.log }),
  walletsActivity: define<t.WalletActivity>('wallets.activity.v1', 4, wallet, { ...days(7), check: checks.activity }),
  feedsStatus: define<t.FeedStatus>('feeds.status.v1', 1, (r) => r.feed, { ...days(30), ...judged, shared: true, check: checks.feedStatus }),
  feedsCursors: define<t.FeedCursor>('feeds.cursors.v1', 4, (r) => r.feed, { ...compacted, output: true, shared: true }),
  riskMarkets: define<t.MarketRisk>('risk.markets.v1', 4, market, { ...days(30), check: checks.marketRisk }),
  riskWallets: define<t.WalletRisk>('risk.wallets.v1', 4, wallet, { ...days(30), check: checks.walletRisk }),
  patternsMatches: define<t.PatternMatch>('patterns.matches.v1', 4, (r) => r.subject, { ...days(30), shared: true, check: checks.pattern }),
  signalsTrades: define<t.TradeSignal>('signals.trades.v1', 4, market, { ...days(30), check: checks.signal }),
  alertsFired: define<t.Alert>('alerts.fired.v1', 4, (r) => r.group, { ...days(30), check: checks.alert }),
  stateSnapshots: define<t.StateSnapshot>('state.snapshots.v1', 8, (r) => r.slot, { ...compacted, output: true, shared: true }),
  deadLetters: define<t.DeadLetter>('dlq.v1', 1, (r) => `${r.topic}:${r.partition}`, { ...days(30), maxMessageBytes: 16 * 1024 * 1024, output: true, shared: true }),
} as const
