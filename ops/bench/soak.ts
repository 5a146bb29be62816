/** The whole topology for a long while at a steady rate, with faults now and then: what must not grow is read every 15 s. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { stringify } from 'yaml'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { startChain, type Chain } from '../local/chain/chain.ts'
import { openTables } from '../local/demo/database.ts'
import { prepare } from '../local/demo/installation.ts'
import { groupSteps, startWorkers, type Workers } from '../local/demo/workers.ts'
import { startExchange, type Exchange } from '../local/exchange/exchange.ts'
import { startReceivers, type Receivers } from '../local/receivers.ts'
import { startStack } from '../local/stack.ts'
import { figure, type BenchOptions, type Figure } from './report.ts'
import { readAll, type Quantity, type Reading, type Sources } from './soak-readings.ts'
import { criterion, soakFigure, soakTable, type Series } from './soak-series.ts'

const sampleMs = 15_000
/** Heaps and caches fill in it; a short run has a third of its length instead. */
const longestWarmMs = 300_000
/** A reorganisation and a lost connection in turn. */
const disturbMs = 60_000
const secret = 'whsec_c29ha3NvYWtzb2Frc29ha3NvYWtzb2Frc29haw=='
/** Of the exchange's frames, by counting: a trade brings about as many quotes, and books are not read. */
const tradesPerRecord = 0.5

/** @throws Error where a feed or a server can go on no more */
export async function benchSoak({ say, minutes = 30, rate = 1_000 }: BenchOptions): Promise<Figure[]> {
  const takedown: (() => Promise<unknown>)[] = []
  try {
    const stack = await startStack({ name: 'soak', temporary: true, reuse: false, onProgress: say })
    takedown.push(() => stack.stop())
    const receivers = await startReceivers({ token: '1:soak', secret })
    takedown.push(() => receivers.stop())
    const exchange = await startExchange({ seed: 'soak', tradesPerSecond: rate * tradesPerRecord, historyS: 0 })
    takedown.push(() => exchange.stop())
    const chain = await startChain({ seed: 1, plants: false })
    takedown.push(() => chain.stop())
    const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-soak-'))
    takedown.push(async () => rmSync(folder, { recursive: true, force: true }))
    const env = { ...stack.env, ...feedsOf(exchange, chain, receivers, join(folder, 'watch.yaml')), LOG_LEVEL: 'warn' }
    await prepare(env, say)
    const workers = await startWorkers(cryptoIntel.name, groupSteps(cryptoIntel.steps, false), env, say, 'soak')
    takedown.push(() => workers.stop())
    const [redis, tables] = [new Redis(stack.env.REDIS_URL), openTables(stack.env.DATABASE_URL)]
    takedown.push(() => Promise.all([redis.quit(), tables.close()]))
    const disturbing = setInterval(disturbances(exchange, chain, say), disturbMs)
    takedown.push(async () => clearInterval(disturbing))

    const connectors = cryptoIntel.steps.filter(({ kind }) => kind === 'connector').map(({ name }) => name)
    const sources: Sources = { workers, redis, tables, stack, connectors }
    const readings = await Promise.race([observe(sources, minutes, say), chain.failed])
    return figuresOf(readings, rate, workers, say)
  } finally {
    for (const release of takedown.reverse()) await release().catch((error: unknown) => say(String(error)))
  }
}

/** Low thresholds, so that patterns, alerts and signals flow too. */
function feedsOf(exchange: Exchange, chain: Chain, receivers: Receivers, watchFile: string): Record<string, string> {
  const rule = (name: string, topic: string) => ({
    name,
    topic,
    severity: 'info',
    title: `${name} {id}`,
    channels: ['hook'],
  })
  const watch = {
    venues: { 'binance-spot': { symbols: exchange.symbols } },
    chains: [chain.watch],
    detection: { priceShock: { move: 0.002, within: '500ms' }, whaleTransfer: { minUsd: 3_000 } },
    alerts: [
      { ...rule('pattern', 'patterns.matches.v1'), group: '{pattern}:{subject}', every: '10s' },
      {
        ...rule('wallet', 'risk.wallets.v1'),
        where: [{ field: 'score', atLeast: 50 }],
        group: '{wallet}',
        every: '1m',
      },
      { ...rule('signal', 'signals.trades.v1'), group: '{strategy}:{symbol}', every: '1m' },
    ],
    channels: { hook: { kind: 'webhook', url: receivers.webhookUrl, secretFrom: 'HOOK_SECRET' } },
  }
  writeFileSync(watchFile, stringify(watch))
  return {
    WATCH_FILE: watchFile,
    BINANCE_SPOT_REST_URL: exchange.restUrl,
    BINANCE_SPOT_WS_URL: exchange.wsUrl,
    EVM_RPC_URLS: `${chain.chainId}=${chain.url},${chain.wsUrl}`,
    HOOK_SECRET: secret,
  }
}

function disturbances(exchange: Exchange, chain: Chain, say: (line: string) => void): () => void {
  let turn = 0
  return () => {
    if (turn++ % 2 === 0) chain.reorg(2).catch((error: unknown) => say(String(error)))
    else exchange.faults.disconnect()
  }
}

interface Sample {
  readonly at: number
  readonly reading: Reading
}

/** @returns a reading every 15 s, from the end of the warm-up on */
async function observe(sources: Sources, minutes: number, say: (line: string) => void): Promise<readonly Sample[]> {
  const warmMs = Math.min(longestWarmMs, (minutes * 60_000) / 3)
  say(`warming up for ${Math.round(warmMs / 1_000)} s, then ${minutes} minutes`)
  await sleep(warmMs)
  const samples: Sample[] = []
  const started = performance.now()
  for (let next = started; next <= started + minutes * 60_000; next += sampleMs) {
    await sleep(Math.max(0, next - performance.now()))
    const reading = await readAll(sources)
    samples.push({ at: performance.now(), reading })
    const shown = Object.entries(reading).filter(([name]) => /RSS|open files|lag|Redis, (keys|fields)/.test(name))
    say(`${Math.round((next - started) / 1_000)} s: ${shown.map(([name, { value }]) => `${name} ${Math.round(value)}`).join(', ')}`) // prettier-ignore
  }
  return samples
}

function figuresOf(samples: readonly Sample[], rate: number, workers: Workers, say: (line: string) => void): Figure[] {
  const series = Object.entries(samples.at(-1)?.reading ?? {}).map(([name, about]) => seriesOf(name, about, samples))
  const figures = series.map(soakFigure)
  for (const line of soakTable(figures)) say(line)
  say(criterion)
  const judged = figures.filter(({ flat }) => flat !== undefined)
  const growing = judged.filter(({ flat }) => flat === false).map(({ name }) => name)
  if (growing.length > 0) say(`not flat: ${growing.join('; ')}`)
  const brought = series.find(({ name }) => name === 'records from connectors')?.points.map(({ value }) => value) ?? []
  return [
    figure('records from connectors', 'a second', brought, 'asked for', [rate], '≥ 1'),
    figure('series that grow', 'series', [growing.length], 'judged', [judged.length], '0'),
    figure(
      'processes that ended by themselves',
      'processes',
      [workers.restarts()],
      'all',
      [workers.groups.length],
      '0',
    ),
    ...figures,
  ]
}

/** What is counted becomes how fast it was counted since the sample before. */
function seriesOf(name: string, { unit, slack, counted }: Quantity, samples: readonly Sample[]): Series {
  const points = samples.map(({ at, reading }) => ({ hours: at / 3_600_000, value: reading[name]?.value ?? NaN }))
  if (counted === undefined) return { name, unit, slack, points }
  const perHour = counted === 'a second' ? 3_600 : 60
  const rates = points.slice(1).map(({ hours, value }, index) => {
    const before = points[index] ?? { hours: NaN, value: NaN }
    return { hours, value: (value - before.value) / (hours - before.hours) / perHour }
  })
  return { name, unit: `${unit} ${counted}`, slack, points: rates }
}
