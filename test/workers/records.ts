/** Records for the tests of processors: whole, with only what a test is about to be said. */
import type { ChainSwap, ChainTransfer, MarketCandle, MarketTrade, WalletActivity } from '../../schemas/types.ts'

export const second = 1_000_000
export const minute = 60 * second
/** A whole minute of event time, 2024-08-08 12:00 UTC. */
export const noon = 1_723_118_400 * second

/** An address that ends in a number. */
export const address = (number: number): string => `0x${number.toString(16).padStart(40, '0')}`

export function trade(
  tradeId: number,
  ts: number,
  price: string | number,
  rest: Partial<MarketTrade> = {},
): MarketTrade {
  const [venue, symbol] = ['binance-spot', 'BTC-USDT']
  const id = `${venue}:${symbol}:${tradeId}`
  const fields = { id, venue, symbol, ts, receivedAt: ts, tradeId: String(tradeId), price: String(price) }
  return { ...fields, side: 'buy', size: '1', ...rest }
}

export function candle(start: number, close: number, rest: Partial<MarketCandle> = {}): MarketCandle {
  const price = String(close)
  const fields = { venue: 'binance-spot', symbol: 'BTC-USDT', interval: '1s', start, ts: start + second }
  const prices = { open: price, high: price, low: price, close: price }
  const volumes = { volume: '2', quoteVolume: String(2 * close), buyVolume: '1', trades: 4 }
  return { id: `binance-spot:BTC-USDT:1s:${start}`, ...fields, ...prices, ...volumes, ...rest }
}

const chainFields = (block: number, index: number) => ({
  chainId: 1,
  block,
  blockHash: `0xb${block}`,
  ts: noon + block * second,
  txHash: `0xt${block}-${index}`,
  txIndex: index,
  logIndex: index,
  finalized: 0,
  removed: false,
  revision: 0,
})

/** The `index`th transfer of a block; blocks are a second apart. */
export function transfer(block: number, index: number, rest: Partial<ChainTransfer> = {}): ChainTransfer {
  const place = chainFields(block, index)
  const id = `1:${place.blockHash}:${place.txHash}:${index}`
  const moved = { standard: 'erc20', token: address(0x70), from: address(1), to: address(2), amount: '1000000' }
  return { id, ...place, ...moved, tokenId: null, ...rest }
}

/** The `index`th transfer of a block as `wallet` sees it. */
export function activity(block: number, index: number, rest: Partial<WalletActivity> = {}): WalletActivity {
  const { from: _from, to: _to, ...seen } = transfer(block, index)
  const side = { wallet: address(1), direction: 'in', counterparty: address(2) } as const
  return { ...seen, id: `${seen.id}:${rest.direction ?? side.direction}`, ...side, ...rest }
}

/** The `index`th swap of a block. */
export function swap(block: number, index: number, rest: Partial<ChainSwap> = {}): ChainSwap {
  const place = chainFields(block, index)
  const id = `1:${place.blockHash}:${place.txHash}:${index}`
  const parties = { pool: address(0x9001), trader: address(1), sender: address(0x40), recipient: address(1) }
  return { id, ...place, protocol: 'uniswap-v2', ...parties, amount0: '100', amount1: '-200', ...rest }
}

/** A watch file with one chain, on which a token of six decimals is worth a dollar. */
export const watchOf = (chain: object = {}, rest: object = {}): object => ({
  chains: [
    {
      chainId: 1,
      name: 'test',
      finalityDepth: 64,
      blockTime: '1s',
      native: { symbol: 'ETH', decimals: 18, priceUsd: 3000 },
      tokens: [{ address: address(0x70), symbol: 'USDC', decimals: 6, priceUsd: 1 }],
      ...chain,
    },
  ],
  ...rest,
})
