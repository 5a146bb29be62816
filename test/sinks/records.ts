/** One plain record of every topic that has a table, for the tests of sinks and dashboards. */
import type * as t from '../../schemas/types.ts'

export const at = 1_723_075_200_123_456
const hash = (digit: string): string => `0x${digit.repeat(64)}`
const address = (digit: string): string => `0x${digit.repeat(40)}`
const onChain = { chainId: 31337, block: 7, blockHash: hash('b'), ts: at, finalized: 3, removed: false, revision: 0 }
const inTransaction = { ...onChain, txHash: hash('c'), txIndex: 1 }
const id = (...parts: (string | number)[]): string => [31337, hash('b'), ...parts].join(':')
const derived = { block: 7, finalized: 3, removed: false, revision: 0 }
const market = { venue: 'binance-spot', symbol: 'BTC-USDT', ts: at }
/** More than any integer type of the database holds. */
const wei = (10n ** 77n).toString()

export const trade: t.MarketTrade = {
  ...market,
  id: 'binance-spot:BTC-USDT:1',
  receivedAt: at + 5_000,
  tradeId: '1',
  side: 'buy',
  price: '61234.12000000',
  size: '0.00100000',
}

export const quote: t.MarketQuote = {
  ...market,
  id: 'binance-spot:BTC-USDT:9',
  receivedAt: at + 5_000,
  updateId: 9,
  bidPrice: '61234.11',
  bidSize: '1.5',
  askPrice: '61234.13',
  askSize: '0.25',
}

export const candle: t.MarketCandle = {
  ...market,
  id: 'binance-spot:BTC-USDT:1m:1723075200000000',
  interval: '1m',
  start: 1_723_075_200_000_000,
  ts: 1_723_075_260_000_000,
  open: '61000',
  high: '61500.5',
  low: '60900.25',
  close: '61234.12',
  volume: '12.5',
  quoteVolume: '765000',
  buyVolume: '7.25',
  trades: 420,
}

export const feedStatus: t.FeedStatus = {
  id: 'binance-spot:BTC-USDT:trades:1',
  feed: 'binance-spot:BTC-USDT:trades',
  ts: at,
  receivedAt: at,
  status: 'gap',
  detail: 'trades 5 to 9 are missing',
  fromId: '5',
  toId: '9',
}

export const block: t.ChainBlock = {
  ...onChain,
  id: `31337:${hash('b')}`,
  parentHash: hash('a'),
  receivedAt: at + 20_000,
  miner: address('0'),
  gasLimit: '30000000',
  gasUsed: '21000',
  baseFeePerGas: '875000000',
  stateRoot: hash('1'),
  transactionsRoot: hash('2'),
  receiptsRoot: hash('3'),
  transactions: [],
}

export const transaction: t.ChainTransaction = {
  ...inTransaction,
  id: id(hash('c')),
  from: address('1'),
  to: null,
  value: wei,
  nonce: 4,
  method: '0xa9059cbb',
  gasUsed: '21000',
  effectiveGasPrice: '1875000000',
  success: true,
  contractAddress: address('2'),
}

export const transfer: t.ChainTransfer = {
  ...inTransaction,
  id: id(hash('c'), 2),
  logIndex: 2,
  standard: 'erc20',
  token: address('d'),
  from: address('1'),
  to: address('2'),
  amount: wei,
  tokenId: null,
}

export const swap: t.ChainSwap = {
  ...inTransaction,
  id: id(hash('c'), 3),
  logIndex: 3,
  protocol: 'uniswap-v2',
  pool: address('e'),
  trader: address('1'),
  sender: address('f'),
  recipient: address('1'),
  amount0: '1000000',
  amount1: `-${wei}`,
}

export const activity: t.WalletActivity = {
  ...inTransaction,
  id: id(hash('c'), 2, 'out'),
  logIndex: 2,
  wallet: address('1'),
  direction: 'out',
  counterparty: address('2'),
  standard: 'erc20',
  token: address('d'),
  amount: wei,
  tokenId: null,
}

export const marketRisk: t.MarketRisk = {
  ...market,
  id: 'risk:1',
  price: '61234.12',
  observations: 120,
  volatility: 0.0005,
  annualVolatility: 0.3625,
  drawdown: 0.02,
  maxDrawdown: 0.1,
  valueAtRisk: 0.0012,
  historicalValueAtRisk: null,
}

export const walletRisk: t.WalletRisk = {
  ...derived,
  id: 'wallet-risk:1',
  chainId: 31337,
  wallet: address('1'),
  ts: at,
  score: 82.5,
  level: 'critical',
  factors: [{ name: 'mixer', value: 1, weight: 40, contribution: 40 }],
}

export const match: t.PatternMatch = {
  ...derived,
  id: 'pattern:1',
  pattern: 'whale-transfer',
  subject: `31337:${address('d')}`,
  ts: at,
  start: at - 60_000_000,
  confidence: 0.9,
  summary: 'A whale moved 5 M US dollars',
  venue: null,
  symbol: null,
  chainId: 31337,
  wallets: [address('1'), address('2')],
  evidence: [transfer.id],
  facts: { usd: '5000000' },
}

export const signal: t.TradeSignal = {
  ...market,
  id: 'signal:1',
  strategy: 'ema-cross',
  direction: 'long',
  strength: 0.75,
  horizonS: 900,
  price: '61234.12',
  reason: 'The fast average crossed the slow one',
}

export const alert: t.Alert = {
  ...derived,
  id: 'alert:1',
  rule: 'whale-transfer',
  severity: 'critical',
  group: 'whale:31337',
  ts: at,
  title: 'Whale moved 5.0 M (USD)!',
  text: 'From 0x11… to 0x22… [block_7]',
  channels: ['ops', 'desk'],
  sourceTopic: 'patterns.matches.v1',
  sourceId: 'pattern:1',
  labels: { chain: '31337' },
}
