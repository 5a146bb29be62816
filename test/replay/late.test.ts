/** Stream time: quiet keys close by marks, stragglers within the lateness count, later ones are told once, removals never. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { ChainTransfer } from '../../schemas/types.ts'
import { buildCandles } from '../../workers/build-candles.ts'
import { measureMarketRisk } from '../../workers/measure-market-risk.ts'
import { defineProcessor } from '../../workers/runtime/definitions.ts'
import { allowedLateness } from '../../workers/windows.ts'
import { createDriver, type Driver } from '../support/driver.ts'
import type { Cut } from '../support/driver-slot.ts'
import { minute, noon, second, trade, transfer } from '../workers/records.ts'

const [btc, eth] = ['binance-spot:BTC-USDT', 'binance-spot:ETH-USDT']
const ethTrade = (id: number, ts: number) => trade(id, ts, 10, { id: `${eth}:${id}`, symbol: 'ETH-USDT' })
const candlesOf = (driver: Driver) => driver.read(topics.marketCandles).map(({ symbol, interval, trades }) => `${symbol} ${interval} ${trades}`) // prettier-ignore
const closed = noon + second + allowedLateness

describe('stream time', () => {
  it("closes a quiet key's window by the marks of its own feed, not by another's records", () => {
    const driver = createDriver({ steps: [buildCandles] })
    driver.send(topics.marketTrades, trade(1, noon, 100))
    for (let id = 1; id < 10; id++) driver.send(topics.marketTrades, ethTrade(id, noon + id * second))
    expect(candlesOf(driver).filter((text) => text.startsWith('BTC'))).toEqual([])
    driver.mark(topics.marketTrades, btc, btc, closed - 1)
    expect(candlesOf(driver).filter((text) => text.startsWith('BTC'))).toEqual([])
    driver.mark(topics.marketTrades, btc, btc, closed)
    expect(candlesOf(driver).filter((text) => text.startsWith('BTC'))).toEqual(['BTC-USDT 1s 1'])
  })

  it('counts what comes within the allowed lateness, to the microsecond', () => {
    for (const [time, trades, faults] of [
      [closed - 1, 2, 0],
      [closed, 1, 1],
    ] as const) {
      const driver = createDriver({ steps: [buildCandles] })
      driver.send(topics.marketTrades, trade(1, noon, 100))
      driver.mark(topics.marketTrades, btc, btc, time)
      driver.send(topics.marketTrades, trade(2, noon + 5, 101))
      driver.mark(topics.marketTrades, btc, btc, closed)
      expect(candlesOf(driver)).toEqual([`BTC-USDT 1s ${trades}`])
      expect(driver.faults.map(({ reason }) => reason)).toEqual(Array(faults).fill('late'))
    }
  })

  it.each([0, 1])(
    'of two feeds that write a key is the lesser, until one has been silent for ten seconds',
    (restartEvery) => {
      const driver = createDriver({ steps: [buildCandles, measureMarketRisk], batch: 1, restartEvery })
      const [live, quiet] = ['live', 'quiet']
      driver.send(topics.marketTrades, trade(1, noon, 100), { origin: live })
      driver.send(topics.marketTrades, trade(2, noon + 5, 101), { origin: quiet })
      driver.mark(topics.marketTrades, btc, live, noon + 9 * second)
      expect(candlesOf(driver)).toEqual([])
      driver.mark(topics.marketTrades, btc, live, noon + 11 * second)
      expect(candlesOf(driver)).toEqual(['BTC-USDT 1s 2'])
      driver.mark(topics.marketTrades, btc, live, noon + 2 * minute)
      expect(candlesOf(driver)).toEqual(['BTC-USDT 1s 2', 'BTC-USDT 1m 2'])
      expect(driver.read(topics.riskMarkets)).toHaveLength(1)
      // It speaks again: below the key's time it is late, and above it holds the key back.
      driver.send(topics.marketTrades, trade(3, noon + minute, 102), { origin: quiet })
      // The minute is still open.
      expect(driver.faults.map(({ step, code }) => `${step} ${code}`)).toEqual(['build-candles late'])
      driver.send(topics.marketTrades, trade(4, noon + 2 * minute + second, 103), { origin: quiet })
      driver.mark(topics.marketTrades, btc, live, noon + 2 * minute + 8 * second)
      expect(candlesOf(driver)).toHaveLength(2)
      driver.mark(topics.marketTrades, btc, quiet, noon + 2 * minute + 8 * second)
      expect(candlesOf(driver).slice(2)).toEqual(['BTC-USDT 1s 1'])
      expect(driver.faults).toHaveLength(1)
    },
  )

  it('is that of each key: a feed far ahead makes no other late', () => {
    const driver = createDriver({ steps: [buildCandles, measureMarketRisk] })
    driver.send(topics.marketTrades, ethTrade(1, noon + 60 * minute))
    driver.send(topics.marketTrades, trade(1, noon, 100))
    expect(driver.faults).toEqual([])
  })
})

describe('what comes too late', () => {
  const stragglers = [3, 4, 5].map((id) => trade(id, noon + id, 90))
  const feed = (driver: Driver): Driver => {
    driver.append(topics.marketTrades, trade(1, noon, 100))
    driver.append(topics.marketTrades, trade(2, noon + 3 * minute, 101))
    for (const one of stragglers) driver.append(topics.marketTrades, one)
    driver.run()
    return driver
  }
  const faultsOf = (driver: Driver) => driver.faults.map(({ step, offset, code }) => `${step} ${offset} ${code}`)
  const each = ['build-candles', 'measure-market-risk'].flatMap((step) => [2, 3, 4].map((at) => `${step} ${at} late`))

  it('is a fault of its own, once for each step, whatever the batches and restarts', () => {
    const steps = [buildCandles, measureMarketRisk]
    expect(faultsOf(feed(createDriver({ steps }))).toSorted()).toEqual(each.toSorted())
    expect(faultsOf(feed(createDriver({ steps, batch: 1, restartEvery: 1 }))).toSorted()).toEqual(each.toSorted())
  })

  it('names the same offset when a crash has it read again, so that the DLQ holds it once', () => {
    let tasks = 0
    const cut = (): Cut | undefined => (++tasks % 3 === 0 ? 'checkpoint' : tasks % 5 === 0 ? 'crash' : undefined)
    const driver = feed(createDriver({ steps: [buildCandles, measureMarketRisk], batch: 1, cut }))
    expect(faultsOf(driver).length).toBeGreaterThanOrEqual(each.length)
    expect([...new Set(faultsOf(driver))].toSorted()).toEqual(each.toSorted())
  })

  it('is late again when it is sent again from the DLQ, and stops no window of its key', () => {
    const driver = feed(createDriver({ steps: [buildCandles] }))
    driver.send(topics.marketTrades, trade(3, noon + 3, 90), { origin: 'dlq:0:17' })
    expect(driver.faults).toHaveLength(4)
    driver.mark(topics.marketTrades, btc, btc, noon + 4 * minute + allowedLateness)
    expect(candlesOf(driver).filter((text) => text.includes('1m'))).toEqual(['BTC-USDT 1m 1', 'BTC-USDT 1m 1'])
  })
})

describe('a removal', () => {
  /** Calls late whatever is older than the newest. */
  const strict = defineProcessor<ChainTransfer, { newest: number; count: number }>({
    name: 'strict',
    module: import.meta.url,
    inputs: [topics.chainTransfers],
    outputs: [topics.riskWallets],
    state: { version: 1, empty: () => ({ newest: 0, count: 0 }) },
    process({ ts, id }, state, emit, at) {
      if (ts < state.newest) return at.late()
      Object.assign(state, { newest: ts, count: state.count + 1 })
      emit(topics.riskWallets, { id, chainId: 1, wallet: at.key, ts, score: state.count, level: 'low', factors: [] })
    },
  })

  it('is never late, and what it leaves is not told late again', () => {
    const driver = createDriver({ steps: [strict] })
    driver.send(topics.chainTransfers, transfer(5, 0))
    driver.send(topics.chainTransfers, transfer(9, 0))
    driver.send(topics.chainTransfers, transfer(7, 0))
    expect(driver.faults.map(({ offset }) => offset)).toEqual([2])
    driver.send(topics.chainTransfers, { ...transfer(9, 0), removed: true })
    driver.send(topics.chainTransfers, { ...transfer(5, 0), removed: true })
    expect(driver.faults).toHaveLength(1)
    // Without block 9 the transfer of block 7 was not late.
    expect(driver.standing(topics.riskWallets).map(({ ts, score }) => [ts, score])).toEqual([[transfer(7, 0).ts, 1]])
  })
})
