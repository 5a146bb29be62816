/** Servers that go silent without closing a connection, and servers that are away: the steps go on by themselves, and say so. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { timescaleTrades } from '../../../sinks/timescale-trades.ts'
import { buildCandles } from '../../../workers/build-candles.ts'
import { Line } from '../../chaos/line.ts'
import { inSequence } from '../../support/in-sequence.ts'
import { eventually } from '../../support/servers.ts'
import { noon, second, trade } from '../records.ts'

const stallMs = 3_000
const steps = [buildCandles, timescaleTrades]
const sum = (texts: readonly string[], pattern: RegExp): number =>
  texts.flatMap((text) => [...text.matchAll(pattern)]).reduce((total, [, value]) => total + Number(value), 0)

describe('steps whose servers', { timeout: 120_000 }, () => {
  inSequence()
  let line: Line
  let made = 0
  const feed = (): Promise<void> =>
    line.feed(topics.marketTrades, Array.from({ length: 50 }, () => trade(++made, noon + made * (second / 5), 100, { id: `t${made}` }))) // prettier-ignore
  const stalls = async (): Promise<number> =>
    sum(await line.fleet.scrape(), /^crypto_intel_stalls_total\{.*\} (\d+)$/gm)
  beforeAll(async () => {
    vi.stubEnv('STALL_MS', String(stallMs))
    line = await Line.create(steps)
    // Its Redis and its database are behind proxies.
    await line.fleet.add('zombie')
    await feed()
    await line.done()
  })
  afterAll(async () => {
    await line?.close()
    vi.unstubAllEnvs()
  })

  it('go silent leave the connections and lose nothing', async () => {
    const silent = line.redis.silence() * line.postgres.silence()
    expect(silent).toBeGreaterThan(0)
    await feed()
    await line.done()
    expect(await stalls()).toBeGreaterThan(0)
    await eventually(async () => expect(sum(await line.fleet.scrape(), /^crypto_intel_stalled_partitions\{.*\} (\d+)$/gm)).toBe(0)) // prettier-ignore
  })

  it('are away wait for them, which is no stall', async () => {
    const before = await stalls()
    await Promise.all([line.redis.close(), line.postgres.close()])
    await feed()
    await sleep(3 * stallMs)
    expect(await stalls()).toBe(before)
    await Promise.all([line.redis.open(), line.postgres.open()])
    await line.done()
    expect(await line.differences()).toEqual([])
    expect(line.fleet.faults).toEqual([])
  })
})
