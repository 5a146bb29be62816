/** What the processors are replayed with: simulated markets, a made-up chain with forks, and recordings where they are there. */
import { existsSync } from 'node:fs'
import { blockRecord } from '../../connectors/evm/records.ts'
import { MarketModel } from '../../ops/local/exchange/model.ts'
import { readRecording } from '../../ops/local/exchange/recording.ts'
import { topics } from '../../schemas/topics.ts'
import type { MarketTrade } from '../../schemas/types.ts'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { formatDecimal } from '../../workers/decimal.ts'
import type { Processor } from '../../workers/runtime/definitions.ts'
import { sequencePosition } from '../../workers/runtime/position.ts'
import { etlBlocks, ethereumBlock } from '../connectors/evm/recordings.ts'
import { createDriver, type Driver } from '../support/driver.ts'
import { noon, second, trade } from '../workers/records.ts'
import { makeHistory } from './history.ts'
import { madeUpWatch } from './made-up-chain.ts'

const capture = '../shared/fixtures/market/binance-spot/btcusdt-20240808.gz'
export const haveRecordings = existsSync(capture)
export const withoutRecordings = haveRecordings ? '' : ' (skipped: ../shared/fixtures is not there)'

export const processors: readonly Processor[] = cryptoIntel.steps.filter((step) => step.kind === 'processor')
export const partitions = 4

const originOf = ({ venue, symbol }: MarketTrade): string => `${venue}:${symbol}:trades`

/** Appends trades under their feeds, with a mark of each feed every second; some come late, some out of order, some twice. */
function appendTrades(driver: Driver, trades: readonly MarketTrade[]): void {
  const newest = new Map<string, number>()
  let marked = 0
  for (const [index, one] of trades.entries()) {
    const held = index % 97 === 0 ? 3 * second : index % 13 === 0 ? 200_000 : 0
    const place = { origin: originOf(one), position: sequencePosition(Number(one.tradeId)) }
    driver.append(topics.marketTrades, { ...one, ts: one.ts - held }, place)
    if (index % 31 === 0) driver.append(topics.marketTrades, one, place)
    newest.set(originOf(one), one.ts)
    if (one.ts < marked + second) continue
    marked = one.ts
    for (const feed of newest.keys()) driver.mark(topics.marketTrades, feed.replace(':trades', ''), feed, one.ts - 1)
  }
}

/** Four minutes of four markets, with a crash, in virtual time. */
function simulatedTrades(tradesPerSecond: number): MarketTrade[] {
  const model = new MarketModel({ seed: 11, startMs: noon / 1_000, historyS: 1, tradesPerSecond, symbols: ['BTC-USDT', 'ETH-USDT', 'SOL-USDT', 'XRP-USDT'] }) // prettier-ignore
  const trades: MarketTrade[] = []
  model.arm({ flashCrashAtS: 100, silenceAtS: 30 })
  model.advance(model.time + 240_000, {
    aggregate: () => {},
    quote: () => {},
    depth: () => {},
    trade({ info }, { id, price, quantity, time, buyerMaker }) {
      const decimal = (units: number, scale: number): string => formatDecimal({ units: BigInt(units), scale })
      const rest = {
        id: `binance-spot:${info.pair}:${id}`,
        symbol: info.pair,
        side: buyerMaker ? 'sell' : 'buy',
      } as const
      const size = decimal(quantity, info.quantityDecimals)
      trades.push(trade(id, time * 1_000, decimal(price, info.priceDecimals), { ...rest, size }))
    },
  })
  return trades
}

const openAll = (): Driver => createDriver({ steps: processors, watch: madeUpWatch, partitions })

/** Appends made-up markets and a made-up chain with forks. */
export function appendSynthetic(driver: Driver, tradesPerSecond: number): void {
  appendTrades(driver, simulatedTrades(tradesPerSecond))
  const { entries } = makeHistory({ seed: 77, finality: 12, depth: 12, forks: 12 })
  for (const { record, place } of entries) driver.append(topics.chainBlocks, record, place)
}

/** @returns a driver whose logs hold what every processor reads. */
export function syntheticInputs(): Driver {
  const driver = openAll()
  appendSynthetic(driver, 14)
  driver.run()
  return driver
}

/** @returns the same from recordings: the trades of a minute of Binance, and blocks of Ethereum, the newest two removed. */
export async function recordedInputs(): Promise<Driver> {
  const driver = openAll()
  const trades: MarketTrade[] = []
  for await (const line of readRecording(capture)) {
    if (line.kind !== 'frame' || line.trade === undefined) continue
    const { t, T, p, q, m } = line.trade
    trades.push(trade(t, T * 1_000, p, { size: q, side: m ? 'sell' : 'buy' }))
  }
  appendTrades(driver, trades)
  const written = { finalized: 0, revision: 0, receivedAt: 0 }
  const whole = [18_000_000, 18_500_000].map((number) => blockRecord(1, ethereumBlock(number), written))
  for (const block of [...etlBlocks(), ...whole]) driver.append(topics.chainBlocks, block)
  for (const block of whole.toReversed()) driver.append(topics.chainBlocks, { ...block, removed: true })
  driver.run()
  return driver
}
