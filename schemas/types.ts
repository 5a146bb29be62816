// Generated from the .avsc files by `npm run types`; do not edit.

/** An alert that a rule fired, or with removed its retraction. */
export interface Alert {
  /** deterministic: the same input always gives the same id */
  readonly id: string
  readonly rule: string
  /** info, warning or critical */
  readonly severity: string
  /** alerts of one group are told together */
  readonly group: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  readonly title: string
  readonly text: string
  /** names of the channels of the watch file */
  readonly channels: readonly string[]
  readonly sourceTopic: string
  readonly sourceId: string
  readonly labels: Readonly<Record<string, string>>
  /** newest block this follows from; null when no chain is involved */
  readonly block: null | number
  /** newest final block when this was written */
  readonly finalized: null | number
  /** true: what this followed from was orphaned */
  readonly removed: boolean
  /** how often this record was removed before */
  readonly revision: number
}

export interface BlockLog {
  readonly logIndex: number
  readonly address: string
  readonly topics: readonly string[]
  readonly data: string
}

/** A transaction with its receipt. */
export interface BlockTransaction {
  readonly hash: string
  readonly index: number
  readonly from: string
  /** null: creates a contract */
  readonly to: null | string
  /** wei */
  readonly value: string
  readonly nonce: number
  readonly type: number
  readonly input: string
  readonly gas: string
  readonly gasUsed: string
  /** wei */
  readonly effectiveGasPrice: string
  readonly success: boolean
  readonly contractAddress: null | string
  readonly logs: readonly BlockLog[]
}

/** A whole block, added or removed. The partition is the journal of the chain. */
export interface ChainBlock {
  /** chainId:hash */
  readonly id: string
  readonly chainId: number
  /** number of the block */
  readonly block: number
  readonly blockHash: string
  readonly parentHash: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  /** when the connector read it, microseconds since the epoch */
  readonly receivedAt: number
  readonly miner: string
  readonly gasLimit: string
  readonly gasUsed: string
  readonly baseFeePerGas: null | string
  readonly stateRoot: string
  readonly transactionsRoot: string
  readonly receiptsRoot: string
  readonly transactions: readonly BlockTransaction[]
  /** number of the newest final block when this was written */
  readonly finalized: number
  /** true: the block was orphaned, this record no longer holds */
  readonly removed: boolean
  /** how often this record was removed before */
  readonly revision: number
}

/** A log of a watched contract. */
export interface ChainLog {
  /** chainId:blockHash:txHash:logIndex */
  readonly id: string
  readonly chainId: number
  /** number of the block */
  readonly block: number
  readonly blockHash: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  readonly txHash: string
  readonly txIndex: number
  readonly logIndex: number
  readonly address: string
  readonly topics: readonly string[]
  readonly data: string
  /** number of the newest final block when this was written */
  readonly finalized: number
  /** true: the block was orphaned, this record no longer holds */
  readonly removed: boolean
  /** how often this record was removed before */
  readonly revision: number
}

/** A swap in an automated market maker. */
export interface ChainSwap {
  /** chainId:blockHash:txHash:logIndex */
  readonly id: string
  readonly chainId: number
  /** number of the block */
  readonly block: number
  readonly blockHash: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  readonly txHash: string
  readonly txIndex: number
  readonly logIndex: number
  /** uniswap-v2, uniswap-v3 */
  readonly protocol: string
  readonly pool: string
  /** sender of the transaction */
  readonly trader: string
  /** caller of the pool */
  readonly sender: string
  readonly recipient: string
  /** signed integer, positive into the pool */
  readonly amount0: string
  /** signed integer, positive into the pool */
  readonly amount1: string
  /** number of the newest final block when this was written */
  readonly finalized: number
  /** true: the block was orphaned, this record no longer holds */
  readonly removed: boolean
  /** how often this record was removed before */
  readonly revision: number
}

/** A transaction that is in a block. */
export interface ChainTransaction {
  /** chainId:blockHash:txHash */
  readonly id: string
  readonly chainId: number
  /** number of the block */
  readonly block: number
  readonly blockHash: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  readonly txHash: string
  readonly txIndex: number
  readonly from: string
  readonly to: null | string
  /** wei */
  readonly value: string
  readonly nonce: number
  /** first four bytes of the call data */
  readonly method: null | string
  readonly gasUsed: string
  /** wei */
  readonly effectiveGasPrice: string
  readonly success: boolean
  readonly contractAddress: null | string
  /** number of the newest final block when this was written */
  readonly finalized: number
  /** true: the block was orphaned, this record no longer holds */
  readonly removed: boolean
  /** how often this record was removed before */
  readonly revision: number
}

/** Value that moved: native, ERC-20, ERC-721 or ERC-1155. */
export interface ChainTransfer {
  /** chainId:blockHash:txHash:logIndex, for native ones :native, for a batch :index behind it */
  readonly id: string
  readonly chainId: number
  /** number of the block */
  readonly block: number
  readonly blockHash: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  readonly txHash: string
  readonly txIndex: number
  /** null for native transfers */
  readonly logIndex: null | number
  /** native, erc20, erc721 or erc1155 */
  readonly standard: string
  /** contract address, or 'native' */
  readonly token: string
  readonly from: string
  readonly to: string
  /** integer in the smallest unit */
  readonly amount: string
  readonly tokenId: null | string
  /** number of the newest final block when this was written */
  readonly finalized: number
  /** true: the block was orphaned, this record no longer holds */
  readonly removed: boolean
  /** how often this record was removed before */
  readonly revision: number
}

/** What could not be read or processed, whole, so that it can be sent again. */
export interface DeadLetter {
  /** step:topic:partition:offset:reason */
  readonly id: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  readonly step: string
  /** poison, late or rejected */
  readonly reason: string
  readonly code: string
  readonly error: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly origin: null | string
  readonly position: null | string
  readonly schemaId: null | number
  readonly key: null | Uint8Array
  readonly value: null | Uint8Array
  readonly headers: Readonly<Record<string, Uint8Array>>
  /** id of the record, where it can be read */
  readonly recordId: null | string
  /** length of the record's value; -1: not said */
  readonly valueBytes: number
  /** SHA-256 of the value in hex, where the letter holds only its first bytes */
  readonly valueHash: null | string
  /** whether key, value or headers are cut, since the letter would not fit its topic */
  readonly cut: boolean
}

/** Where a market feed stands, saved after the acknowledgement of everything before it. */
export interface FeedCursor {
  /** deterministic: the same input always gives the same id */
  readonly id: string
  readonly feed: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  /** the connector's own text */
  readonly cursor: string
}

export type FeedState = 'connected' | 'gap' | 'resynced' | 'stale' | 'behind' | 'lost' | 'unknown'

/** What happened to a feed, so that a reader knows what it can trust. */
export interface FeedStatus {
  /** deterministic: the same input always gives the same id */
  readonly id: string
  /** the origin it speaks of */
  readonly feed: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  /** when the connector read it, microseconds since the epoch */
  readonly receivedAt: number
  readonly status: FeedState
  /** one sentence */
  readonly detail: string
  /** first missing id of a gap */
  readonly fromId: null | string
  /** last missing id of a gap */
  readonly toId: null | string
}

/** Open, high, low, close and volume of a window of trades. */
export interface MarketCandle {
  /** venue:symbol:interval:start */
  readonly id: string
  readonly venue: string
  readonly symbol: string
  /** 1s or 1m */
  readonly interval: string
  /** first microsecond of the window */
  readonly start: number
  /** end of the window, microseconds */
  readonly ts: number
  readonly open: string
  readonly high: string
  readonly low: string
  readonly close: string
  /** base */
  readonly volume: string
  /** quote */
  readonly quoteVolume: string
  /** base, the takers' buys */
  readonly buyVolume: string
  readonly trades: number
}

/** Best bid and offer. */
export interface MarketQuote {
  /** deterministic: the same input always gives the same id */
  readonly id: string
  readonly venue: string
  readonly symbol: string
  /** event time where the venue gives one, else the newest venue time seen on the connection; microseconds */
  readonly ts: number
  /** when the connector read it, microseconds since the epoch */
  readonly receivedAt: number
  /** the venue's book update id */
  readonly updateId: null | number
  readonly bidPrice: string
  readonly bidSize: string
  readonly askPrice: string
  readonly askSize: string
}

export type Side = 'buy' | 'sell'

/** One executed trade as the venue reported it. */
export interface MarketTrade {
  /** venue:symbol:tradeId */
  readonly id: string
  readonly venue: string
  /** BASE-QUOTE */
  readonly symbol: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  /** when the connector read it, microseconds since the epoch */
  readonly receivedAt: number
  /** the venue's own id */
  readonly tradeId: string
  /** the taker's side */
  readonly side: Side
  /** decimal, in quote */
  readonly price: string
  /** decimal, in base */
  readonly size: string
}

/** A pattern that was found in market or chain data. */
export interface PatternMatch {
  /** deterministic: the same input always gives the same id */
  readonly id: string
  /** price-shock, whale-transfer, wash-ring, sandwich, address-poisoning */
  readonly pattern: string
  /** what it concerns: venue:symbol, chainId:pool, chainId:token or chainId:wallet */
  readonly subject: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  /** first event of the match, microseconds */
  readonly start: number
  /** 0 to 1 */
  readonly confidence: number
  /** one sentence */
  readonly summary: string
  readonly venue: null | string
  readonly symbol: null | string
  readonly chainId: null | number
  /** who took part */
  readonly wallets: readonly string[]
  /** ids of the records it rests on */
  readonly evidence: readonly string[]
  /** named figures of the match */
  readonly facts: Readonly<Record<string, string>>
  /** newest block this follows from; null when no chain is involved */
  readonly block: null | number
  /** newest final block when this was written */
  readonly finalized: null | number
  /** true: what this followed from was orphaned */
  readonly removed: boolean
  /** how often this record was removed before */
  readonly revision: number
}

/** Risk of a symbol at the close of a minute, from 1 m log returns. */
export interface MarketRisk {
  /** deterministic: the same input always gives the same id */
  readonly id: string
  readonly venue: string
  readonly symbol: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  /** last close */
  readonly price: string
  /** returns used */
  readonly observations: number
  /** EWMA volatility of one minute, a fraction */
  readonly volatility: number
  /** the same, a year of 525,600 minutes */
  readonly annualVolatility: number
  /** fall from the highest close so far, a fraction from 0 to 1 */
  readonly drawdown: number
  readonly maxDrawdown: number
  /** parametric, 99 %, one minute, a fraction */
  readonly valueAtRisk: number
  /** from the returns themselves; null before there are enough */
  readonly historicalValueAtRisk: null | number
}

export interface RiskFactor {
  readonly name: string
  /** what was measured */
  readonly value: number
  /** the most it can add */
  readonly weight: number
  /** what it added to the score */
  readonly contribution: number
}

/** Risk score of a wallet with the reasons. */
export interface WalletRisk {
  /** deterministic: the same input always gives the same id */
  readonly id: string
  readonly chainId: number
  readonly wallet: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  /** 0 to 100 */
  readonly score: number
  /** low, medium, high or critical */
  readonly level: string
  readonly factors: readonly RiskFactor[]
  /** newest block this follows from; null when no chain is involved */
  readonly block: null | number
  /** newest final block when this was written */
  readonly finalized: null | number
  /** true: what this followed from was orphaned */
  readonly removed: boolean
  /** how often this record was removed before */
  readonly revision: number
}

export type SignalDirection = 'long' | 'short'

/** A direction that a strategy sees, with the reason. */
export interface TradeSignal {
  /** deterministic: the same input always gives the same id */
  readonly id: string
  /** ema-cross, order-flow */
  readonly strategy: string
  readonly venue: string
  readonly symbol: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  readonly direction: SignalDirection
  /** 0 to 1 */
  readonly strength: number
  /** seconds it speaks of */
  readonly horizonS: number
  readonly price: string
  readonly reason: string
}

/** A part of a processor's slot as it was stored at an offset: its chunks, then the manifest, which alone makes them count. */
export interface StateSnapshot {
  /** slot/token/number/chunk, which is the message's key too */
  readonly id: string
  /** when the snapshot was taken, microseconds since the epoch */
  readonly ts: number
  /** step:topic:partition */
  readonly slot: string
  /** of the owner that wrote it */
  readonly token: string
  /** tells the snapshots of an owner apart */
  readonly number: number
  /** next offset to read */
  readonly offset: number
  /** when the newest message before the offset was appended, milliseconds since the epoch; -1 where it is not known */
  readonly appendTime: number
  /** counts from 0; in the manifest it equals chunks */
  readonly chunk: number
  readonly chunks: number
  /** CRC-32 of the bytes of all chunks up to here */
  readonly checksum: number
  /** of the manifest none */
  readonly bytes: Uint8Array
}

export type Direction = 'in' | 'out'

/** A transfer seen from one of its sides. */
export interface WalletActivity {
  /** transfer id:in or :out */
  readonly id: string
  readonly chainId: number
  /** number of the block */
  readonly block: number
  readonly blockHash: string
  /** event time, microseconds since the epoch */
  readonly ts: number
  readonly txHash: string
  readonly txIndex: number
  readonly logIndex: null | number
  readonly wallet: string
  readonly direction: Direction
  readonly counterparty: string
  readonly standard: string
  readonly token: string
  /** integer in the smallest unit */
  readonly amount: string
  readonly tokenId: null | string
  /** number of the newest final block when this was written */
  readonly finalized: number
  /** true: the block was orphaned, this record no longer holds */
  readonly removed: boolean
  /** how often this record was removed before */
  readonly revision: number
}
