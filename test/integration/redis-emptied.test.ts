/** Redis loses everything: the processors go on from their snapshots, or else from the log's beginning, and nothing differs. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import type { MarketTrade } from '../../schemas/types.ts'
import { timescaleCandles } from '../../sinks/timescale-candles.ts'
import { buildCandles } from '../../workers/build-candles.ts'
import { generateSignals } from '../../workers/generate-signals.ts'
import type { Replica } from '../chaos/fleet.ts'
import { Line } from '../chaos/line.ts'
import { inSequence } from '../support/in-sequence.ts'
import { eventually } from '../support/servers.ts'
import { noon, second, trade } from '../workers/records.ts'

const symbols = Array.from({ length: 12 }, (_, index) => `S${index}-USDT`)
/** Trades of all symbols, two of each a second of event time, whose prices swing so that signals follow. */
class Market {
  #made = 0
  #time = noon

  next(seconds: number): MarketTrade[] {
    return Array.from({ length: 2 * seconds }, () => {
      this.#time += second / 2
      const turn = ++this.#made
      return symbols.map((symbol, index) => {
        const price = 100 + 20 * Math.sin(turn / (20 + index)) + (turn % 3)
        return trade(turn, this.#time, price.toFixed(2), { symbol, id: `${symbol}:${turn}`, side: turn % 40 < 30 ? 'buy' : 'sell' }) // prettier-ignore
      })
    }).flat()
  }
}

/** The sum of a counter over the series of the process. */
async function counted(line: Line, name: string): Promise<number> {
  const text = (await line.fleet.scrape()).join('\n')
  const series = text.matchAll(new RegExp(`^crypto_intel_${name}\\{.*\\} (\\d+)$`, 'gm'))
  return [...series].reduce((sum, [, value]) => sum + Number(value), 0)
}

const reaches = (line: Line, name: string, least: number): Promise<void> =>
  eventually(async () => expect(await counted(line, name)).toBeGreaterThanOrEqual(least), { timeoutMs: 60_000 })

describe('processors whose state Redis has lost', { timeout: 120_000 }, () => {
  inSequence()
  const market = new Market()
  let line: Line
  let worker: Replica

  beforeAll(async () => {
    line = await Line.create([buildCandles, generateSignals, timescaleCandles], undefined, { SNAPSHOT_MS: '1000' })
  }, 120_000)
  afterAll(() => line?.close(), 60_000)

  it('go on from their snapshots under load', async () => {
    worker = await line.fleet.add('successor')
    const ending = new AbortController()
    const load = (async () => {
      while (!ending.signal.aborted) {
        await line.feed(topics.marketTrades, market.next(5))
        await sleep(100)
      }
    })()
    try {
      await reaches(line, 'snapshots_total', 8)
      expect(await line.emptyRedis()).toBeGreaterThan(0)
      await reaches(line, 'restored_slots_total', 4)
    } finally {
      ending.abort()
      await load
    }
    await line.done()
  })

  it('go on from their snapshots when they are started', async () => {
    await line.fleet.remove(worker)
    await line.feed(topics.marketTrades, market.next(60))
    expect(await line.emptyRedis()).toBeGreaterThan(0)
    worker = await line.fleet.add('successor')
    await line.done()
    expect(await counted(line, 'restored_slots_total')).toBeGreaterThan(0)
  })

  it('begin where the log does when there is no snapshot', async () => {
    await line.fleet.remove(worker)
    await line.lose(topics.stateSnapshots)
    await line.restore()
    await line.feed(topics.marketTrades, market.next(60))
    expect(await line.emptyRedis()).toBeGreaterThan(0)
    await line.fleet.add('successor')
    await line.done()
    expect(await counted(line, 'restored_slots_total')).toBe(0)
  })

  it('leave what a run without the loss would have left', async () => {
    expect(await line.differences()).toEqual([])
    expect(line.fleet.faults).toEqual([])
  })
})
