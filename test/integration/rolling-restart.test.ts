/** Replicas of a step that are restarted one after the other, as a deployment does: nothing is lost, and the group seldom rebalances. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { samplesOf } from '../../ops/local/demo/readings.ts'
import { topics } from '../../schemas/topics.ts'
import { timescaleTrades } from '../../sinks/timescale-trades.ts'
import { buildCandles } from '../../workers/build-candles.ts'
import { Line } from '../chaos/line.ts'
import { eventually } from '../support/servers.ts'
import { noon, trade } from '../workers/records.ts'

const replicas = 3
const steps = [buildCandles, timescaleTrades]
const symbols = Array.from({ length: 40 }, (_, index) => `C${index}-USDT`)

describe('a rolling restart', () => {
  let line: Line
  beforeAll(async () => {
    // Nobody is killed: a member that is late on a busy machine is not to be given up, which would cost a rebalance.
    line = await Line.create(steps, undefined, { SESSION_TIMEOUT_MS: '20000' })
    for (let started = 0; started < replicas; started++) await line.fleet.add('successor')
  }, 180_000)
  afterAll(() => line?.close(), 60_000)

  /** The newest generation of a step's group, by each replica that has heard of it. */
  const generations = async (step: string): Promise<number[]> =>
    (await line.fleet.scrape())
      .flatMap(samplesOf)
      .filter(({ name, labels }) => name === 'crypto_intel_group_generation' && labels.get('step') === step)
      .map(({ value }) => value)
  /** All replicas agree and hold something. */
  const settled = (step: string): Promise<number> =>
    eventually(
      async () => {
        const [first = 0, ...others] = await generations(step)
        expect(first).toBeGreaterThan(0)
        expect(others).toEqual(Array.from({ length: replicas - 1 }, () => first))
        return first
      },
      { timeoutMs: 20_000 },
    )
  const dropped = async (): Promise<number> =>
    (await line.fleet.scrape())
      .flatMap(samplesOf)
      .filter(({ name }) => name === 'crypto_intel_dropped_records_total')
      .reduce((sum, { value }) => sum + value, 0)

  it('costs at most two rebalances a replica and changes nothing', { timeout: 120_000 }, async () => {
    let [made, feeding] = [0, true]
    const load = (async () => {
      while (feeding) {
        const batch = symbols.map((symbol) => trade(++made, noon + made * 1_000, 100 + (made % 7), { symbol, id: `${symbol}:${made}` })) // prettier-ignore
        await line.feed(topics.marketTrades, batch)
        await sleep(20)
      }
    })()
    const before = await Promise.all(steps.map(({ name }) => settled(name)))
    for (const replica of line.fleet.replicas('successor')) {
      await line.fleet.remove(replica)
      await line.fleet.add('successor')
    }
    const after = await Promise.all(steps.map(({ name }) => settled(name)))
    feeding = false
    await load
    await line.done()
    const rebalances = after.map((generation, index) => generation - (before[index] ?? 0))
    console.info(`rebalances of ${replicas} replicas: ${rebalances.join(', ')}; ${made} records`)
    for (const count of rebalances) {
      expect(count).toBeGreaterThan(0)
      expect(count).toBeLessThanOrEqual(2 * replicas)
    }
    expect(await dropped()).toBe(0)
    expect(await line.differences()).toEqual([])
    expect(line.fleet.faults).toEqual([])
  })
})
