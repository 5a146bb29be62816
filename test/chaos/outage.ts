/**
 * Takes one server after the other away for a while under load, and holds the pipeline to it: bounded queues, members that come
 * back, feeds that stay, and results as if nothing had been: `npm run outage -- --seconds 120`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { openTables, type Tables } from '../../ops/local/demo/database.ts'
import { prepare } from '../../ops/local/demo/installation.ts'
import { Takedown } from '../../ops/local/demo/run.ts'
import { startExchange, type Exchange } from '../../ops/local/exchange/exchange.ts'
import { localFolder } from '../../ops/local/paths.ts'
import type { ServerName, Stack } from '../../ops/local/stack.ts'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { oneLine } from '../../workers/runtime/errors.ts'
import { audit } from './audit.ts'
import { startServers } from './chaos.ts'
import { Fleet } from './fleet.ts'
import { OutageWatch, sumOf } from './outage-watch.ts'
import { drain } from './progress.ts'
import type { Proxy } from './proxy.ts'
import { Standing, type Place } from './standing.ts'

/** What goes away: its process is killed, or its connections are cut and new ones refused; and for how long. */
export interface Absence {
  readonly server: ServerName
  readonly how: 'kill' | 'cut'
  readonly seconds: number
}

export interface OutageOptions {
  /** One after the other. */
  readonly absences: readonly Absence[]
  /** Market records; the quotes come on top of them. */
  readonly tradesPerSecond: number
  /** QUEUE_BYTES of the workers. */
  readonly queueBytes: number
  /** PRODUCER_QUEUE_BYTES of the workers. */
  readonly producerQueueBytes: number
  /** Other variables of the workers. */
  readonly env?: Readonly<Record<string, string>>
  /** How long to wait for the pipeline to keep up again. */
  readonly patienceMs: number
  readonly onProgress: (line: string) => void
}

export interface Outage extends Absence {
  /** Until it answers again, its start included. */
  readonly awayS: number
  /** From the server's return until every trade is stored within two seconds again, and every step keeps up. */
  readonly catchUpS: number
  /** Trades of the outage and of the catch-up. */
  readonly workedOff: number
  /** Those in a second of the catch-up, as a multiple of the rate at which they come. */
  readonly timesRealTime: number
  /** The most bytes that a process had queued, by step, and their bound. */
  readonly queued: readonly { readonly step: string; readonly bytes: number; readonly bound: number }[]
  /** The most records that the replicas of a step said to have before them. */
  readonly lag: Readonly<Record<string, number>>
  /** Connections that the exchange saw opened meanwhile: a connector that rejoins its group begins its feeds anew. */
  readonly connects: number
}

export interface OutageReport {
  readonly outages: readonly Outage[]
  readonly trades: number
  /** Pages of trades that were fetched, for those that were passed over while the broker was away. */
  readonly pages: number
  /** Must be none. */
  readonly faults: readonly string[]
}

/** Three processes, of which the processors have two replicas. */
const groups = [
  { name: 'connector', steps: ['binance-spot'], replicas: 1 },
  { name: 'processor', steps: ['build-candles', 'detect-price-shocks'], replicas: 2 },
  { name: 'sink', steps: ['timescale-trades', 'timescale-candles', 'timescale-patterns'], replicas: 1 },
] as const
const names: readonly string[] = groups.flatMap(({ steps }) => steps)
const steps = cryptoIntel.steps.filter(({ name }) => names.includes(name))
const pollMs = 200
/** Of what comes, so much is on its way at any time. */
const recentMs = 2_000
/** What comes on top of a bound: a page of a venue's history, or what one fetch brings a step's partitions. */
const pageBytes = 1_000 * 600
const fetchBytes = 4 * 1024 * 1024

/** @throws Error where the run itself cannot go on; what the pipeline got wrong is in the report */
export async function runOutages(options: OutageOptions): Promise<OutageReport> {
  const takedown = new Takedown()
  try {
    return await run(options, takedown)
  } finally {
    await takedown.run()
  }
}

interface Scene {
  readonly options: OutageOptions
  readonly exchange: Exchange
  readonly stack: Stack
  readonly proxies: Readonly<Record<ServerName, Proxy>>
  readonly fleet: Fleet
  readonly tables: Tables
  readonly standing: Standing
  readonly watch: OutageWatch
}

async function run(options: OutageOptions, takedown: Takedown): Promise<OutageReport> {
  const { tradesPerSecond, onProgress } = options
  const [exchange, { stack, proxies, env: servers }] = await Promise.all([
    startExchange({ seed: 11, tradesPerSecond, historyS: 5, pingMs: 1_000 }),
    startServers(takedown),
  ])
  takedown.add(() => exchange.stop())
  const env = { ...servers, ...describe(options, exchange, takedown) }
  // Without the workers' own time-outs, which a server that has just started need not keep.
  await prepare(servers, () => {})
  const fleet = new Fleet({ topology: cryptoIntel.name, groups, env, folder: join(localFolder, 'logs', `outage-${process.pid}`) }) // prettier-ignore
  takedown.add(() => fleet.stop())
  await Promise.all(groups.flatMap(({ name, replicas }) => Array.from({ length: replicas }, () => fleet.add(name))))
  const tables = openTables(stack.env.DATABASE_URL)
  takedown.add(() => tables.close())
  const standing = await Standing.open({ ...env, ...stack.env }, steps)
  takedown.add(() => standing.close())
  const watch = new OutageWatch(fleet)
  takedown.add(() => watch.stop())
  const scene: Scene = { options, exchange, stack, proxies, fleet, tables, standing, watch }
  await caughtUp(scene)
  onProgress('servers, feed and workers are up')
  const outages: Outage[] = []
  for (const absence of options.absences) outages.push(await takeAway(scene, absence))
  exchange.pause('trades')
  await sleep(recentMs)
  exchange.pause('all')
  onProgress('draining')
  const left = await drain(fleet, steps, tables, options.patienceMs, false)
  const faults = [...left, ...(await missingMembers(scene)), ...(await lostFeeds(scene)), ...watch.dead]
  await watch.stop()
  await fleet.stop()
  onProgress('comparing')
  const { differences } = await audit({ env, steps, exchange })
  return {
    outages,
    trades: traded(exchange),
    pages: exchange.stats().rest.answers['/api/v3/historicalTrades 200'] ?? 0,
    faults: [
      ...faults,
      ...fleet.faults,
      ...outages.flatMap(overflows),
      ...outages.flatMap((outage) => untold(outage, options)),
      ...differences,
    ],
  }
}

/** @returns the variables that tell the workers of the feed and their bounds */
function describe(options: OutageOptions, exchange: Exchange, takedown: Takedown): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-outage-'))
  takedown.add(async () => rmSync(folder, { recursive: true, force: true }))
  const watchFile = join(folder, 'watch.yaml')
  writeFileSync(watchFile, stringify({ venues: { 'binance-spot': { symbols: exchange.symbols, lookback: '10m' } } }))
  return {
    WATCH_FILE: watchFile,
    BINANCE_SPOT_REST_URL: exchange.restUrl,
    BINANCE_SPOT_WS_URL: exchange.wsUrl,
    QUEUE_BYTES: String(options.queueBytes),
    PRODUCER_QUEUE_BYTES: String(options.producerQueueBytes),
    LOG_LEVEL: 'info',
    ...options.env,
  }
}

async function takeAway(scene: Scene, absence: Absence): Promise<Outage> {
  const { server, how, seconds } = absence
  const { exchange, stack, proxies, watch, options } = scene
  watch.take()
  const [before, { connects }] = [traded(exchange), exchange.stats()]
  options.onProgress(`${server} is away for ${seconds} s`)
  const struck = performance.now()
  if (how === 'kill') await stack.servers[server]?.kill()
  await proxies[server].close()
  await sleep(seconds * 1_000)
  if (how === 'kill') await stack.servers[server]?.restart()
  await proxies[server].open()
  const returned = performance.now()
  await caughtUp(scene)
  const catchUpS = (performance.now() - returned) / 1_000
  const workedOff = traded(exchange) - before
  const { queued, lag } = watch.take()
  const outage: Outage = {
    ...absence,
    awayS: round((returned - struck) / 1_000),
    catchUpS: round(catchUpS),
    workedOff,
    timesRealTime: round(workedOff / catchUpS / options.tradesPerSecond),
    queued: [...queued].map(([step, bytes]) => ({ step, bytes, bound: boundOf(step, options) })),
    lag: Object.fromEntries(lag),
    connects: exchange.stats().connects - connects,
  }
  options.onProgress(JSON.stringify(outage))
  return outage
}

/** Resolves when all that there was a moment ago is worked off. @throws Error where that takes too long */
async function caughtUp({ exchange, tables, standing, options }: Scene): Promise<void> {
  const deadline = performance.now() + options.patienceMs
  const totals: { at: number; total: number }[] = []
  let ends: readonly Place[] | undefined
  for (let behind = 'nothing is known'; ; await sleep(pollMs)) {
    if (performance.now() > deadline) throw new Error(`after ${options.patienceMs} ms ${behind}`)
    try {
      totals.push({ at: performance.now(), total: traded(exchange) })
      const [row] = await tables.query<{ n: number }>('SELECT count(*)::int AS n FROM trades')
      const due = totals.findLast(({ at }) => at < performance.now() - recentMs)
      behind = `${row?.n} of ${due?.total} trades are stored`
      if (due === undefined || (row?.n ?? 0) < due.total) continue
      // What the connector has brought by now has to come through all steps.
      ends ??= await standing.ends()
      const left = await standing.behind(ends)
      if (left.length === 0) return
      behind = left.join('; ')
    } catch (error) {
      behind = oneLine(error)
    }
  }
}

const traded = (exchange: Exchange): number => exchange.ledger().reduce((sum, { count }) => sum + count, 0)
const round = (value: number): number => Math.round(value * 10) / 10

function boundOf(step: string, { queueBytes, producerQueueBytes }: OutageOptions): number {
  switch (steps.find(({ name }) => name === step)?.kind) {
    case 'connector':
      return producerQueueBytes + pageBytes
    case 'processor':
      return queueBytes + fetchBytes + producerQueueBytes
    default:
      return queueBytes + fetchBytes
  }
}

const overflows = ({ server, queued }: Outage): string[] =>
  queued.filter(({ bytes, bound }) => bytes > bound).map(({ step, bytes, bound }) => `${step} queued ${bytes} bytes while ${server} was away; its bound is ${bound}`) // prettier-ignore

/** Who stands still while a server is away, has to say so: its lag grows. */
const waits: Partial<Record<ServerName, string>> = { postgres: 'timescale-trades', redis: 'build-candles' }

function untold({ server, lag, seconds }: Outage, { tradesPerSecond }: OutageOptions): string[] {
  const step = waits[server]
  const [told, least] = [lag[step ?? ''] ?? 0, (tradesPerSecond * seconds) / 4]
  return step === undefined || told >= least ? [] : [`${step} told a lag of ${told} records while ${server} was away`]
}

/** @returns which groups have not all their members, in order */
async function missingMembers({ standing: { admin, names: called } }: Scene): Promise<string[]> {
  const described = await admin.describeGroups(names.map((name) => called.group(name)))
  return groups.flatMap(({ steps: own, replicas }) =>
    own.flatMap((step) => {
      const found = described.groups.find(({ groupId }) => groupId === called.group(step))
      if (found?.state === 'Stable' && found.members.length === replicas) return []
      return `the group of ${step} is ${found?.state} and has ${found?.members.length} of ${replicas} members`
    }),
  )
}

/** @returns what the exchange and the connector say of lost connections */
async function lostFeeds({ exchange, fleet }: Scene): Promise<string[]> {
  const { missedPongs, slowReaders, connections } = exchange.stats()
  const texts = await fleet.scrape()
  const counts = {
    'connections that did not answer pings': missedPongs,
    'connections that read too slowly': slowReaders,
    'connections opened again after a loss': sumOf(texts, 'reconnects_total'),
    'gaps in feeds': sumOf(texts, 'gaps_total'),
    'connections too many or too few': Math.abs(connections.length - 1),
  }
  return Object.entries(counts).flatMap(([what, count]) => (count === 0 ? [] : `${count} ${what}`))
}
