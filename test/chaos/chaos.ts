/** One seeded run: feeds, workers and servers, faults at random moments, and at the end the comparison with a run without any. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { startChain, type Chain } from '../../ops/local/chain/chain.ts'
import { seeded } from '../../ops/local/chain/random.ts'
import { checkAlerts } from '../../ops/local/demo/alert-checks.ts'
import { openTables } from '../../ops/local/demo/database.ts'
import { prepare } from '../../ops/local/demo/installation.ts'
import { Takedown } from '../../ops/local/demo/run.ts'
import { startExchange, type Exchange } from '../../ops/local/exchange/exchange.ts'
import { localFolder } from '../../ops/local/paths.ts'
import { freePort } from '../../ops/local/ports.ts'
import { startReceivers, type Receivers } from '../../ops/local/receivers.ts'
import { startStack, type Stack } from '../../ops/local/stack.ts'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import type { Step } from '../../workers/runtime/definitions.ts'
import { audit, type Audit } from './audit.ts'
import { DirtyRun, type DirtyOptions } from './dirty/dirty-run.ts'
import { ErrorFile } from './dirty/error-file.ts'
import { redriveMadeUp } from './dirty/redriving.ts'
import { RegistryDoor } from './dirty/registry-door.ts'
import { Fleet } from './fleet.ts'
import { Injector } from './inject.ts'
import { injections, nameOf, type Injection, type Kind } from './plan.ts'
import { drain, Progress } from './progress.ts'
import { Proxy } from './proxy.ts'
import { Standing } from './standing.ts'

export interface ChaosOptions {
  readonly seed: number
  /** How long faults are injected. */
  readonly minutes: number
  /** Market records; the quotes come on top of them. */
  readonly tradesPerSecond: number
  /** Pause between two injections, from and to. */
  readonly pauseMs: readonly [number, number]
  /** Which injections; all where it is not given. */
  readonly only?: (injection: Injection) => boolean
  /** Whether to wait at the end until every alert is delivered; a claim of a killed dispatcher lasts a minute. */
  readonly delivered: boolean
  /** Bad messages, and errors thrown at records. */
  readonly dirty: DirtyOptions
  readonly onProgress: (line: string) => void
}

export interface Struck {
  readonly atS: number
  readonly what: string
  /** Until every step kept up again; null where the run ended before. */
  readonly recoveryMs: number | null
}

export interface ChaosReport extends Audit {
  readonly seed: number
  readonly durationS: number
  /** Market records and blocks that the topics took each second. */
  readonly recordsPerSecond: number
  readonly injections: readonly Struck[]
  readonly reorganisations: number
  /** Messages of the foreign producer, by kind. */
  readonly foreign: Readonly<Record<string, number>>
  /** Errors thrown in the workers, by place. */
  readonly thrown: Readonly<Record<string, number>>
  /** The step that threw at everything for a while; null where none got as far as that. */
  readonly bug: string | null
  /** Dead letters that were sent back. */
  readonly redriven: number
  /** Processes that ended by themselves when they were expected to. */
  readonly expectedEnds: readonly string[]
}

const secret = 'whsec_Y2hhb3NjaGFvc2NoYW9zY2hhb3NjaGFvcw=='
const sessionMs = 6_000
/** So often that there are snapshots to go on from. */
const snapshotMs = 5_000
/** Below the chain's finality, from which on a reorganisation is fatal. */
const deepest = 8
const drainMs = 180_000

interface Feeds {
  readonly exchange: Exchange
  readonly chain: Chain
  readonly receivers: Receivers
}

/** @throws Error where the run itself cannot go on; what the pipeline got wrong is in the report */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const takedown = new Takedown()
  try {
    return await run(options, takedown)
  } finally {
    await takedown.run()
  }
}

async function run(options: ChaosOptions, takedown: Takedown): Promise<ChaosReport> {
  const say = options.onProgress
  const [feeds, { stack, proxies, door, env: servers }] = await Promise.all([startFeeds(options, takedown), startServers(takedown)]) // prettier-ignore
  const { errors, env: described } = describe(feeds, takedown)
  const env = { ...servers, ...described }
  await prepare(env, () => {})
  say('servers and feeds are up')
  const groups = groupSteps()
  const folder = join(localFolder, 'logs', `chaos-${process.pid}`)
  const fleet = new Fleet({ topology: cryptoIntel.name, groups, env, folder })
  takedown.add(() => fleet.stop())
  const direct = { ...env, ...stack.env }
  const genuineKey = `binance-spot:${feeds.exchange.symbols[0]}`
  const dirty = await DirtyRun.open(options.dirty, { env: direct, seed: options.seed, steps: cryptoIntel.steps, errors, genuineKey }) // prettier-ignore
  takedown.add(() => dirty.close())
  await Promise.all(groups.map(({ name }) => fleet.add(name)))
  const tables = openTables(stack.env.DATABASE_URL)
  takedown.add(() => tables.close())
  const standing = await Standing.open(direct, cryptoIntel.steps)
  takedown.add(() => standing.close())
  say('workers are up')

  const began = performance.now()
  const progress = new Progress(fleet, cryptoIntel.steps)
  feeds.exchange.arm()
  feeds.chain.arm()
  const until = AbortSignal.timeout(options.minutes * 60_000)
  const injector = new Injector(
    { fleet, servers: stack.servers, proxies, sessionMs, errors, door, hidden: () => dirty.useNewerVersion() },
    options.seed,
  )
  const [struck, reorganisations] = await Promise.race([
    Promise.all([
      strike(options, injector, progress, began, until),
      reorganise(options, feeds.chain, until),
      dirty.run(until),
    ]),
    feeds.chain.failed,
  ])
  const durationS = (performance.now() - began) / 1_000
  say('draining')
  const left = await settle(options, feeds, fleet, tables, standing)
  say('redriving')
  const dirt = await dirty.over(await standing.ends())
  const redriven = await redriveMadeUp(direct)
  left.push(...(await workedOff(options, fleet, tables, standing)))
  await progress.stop()
  const logs = fleet.logs()
  await fleet.stop()
  say('comparing')
  const compared = await audit({ env: direct, steps: cryptoIntel.steps, exchange: feeds.exchange, chain: feeds.chain, dirt, foreign: dirty.foreign.ledger }) // prettier-ignore
  const alerts = options.delivered ? (await checkAlerts(feeds.receivers, tables, false)).checks : []
  const fed = ['market.trades.v1', 'market.quotes.v1', 'chain.blocks.v1']
  const records = compared.topics.reduce((sum, { name, messages }) => sum + (fed.includes(name) ? messages : 0), 0)
  return {
    ...compared,
    seed: options.seed,
    durationS: Math.round(durationS),
    recordsPerSecond: Math.round(records / durationS),
    injections: await Promise.all(struck),
    reorganisations,
    foreign: countBy([...dirty.foreign.ledger.values()].map(({ kind }) => kind.name)),
    thrown: Object.fromEntries(errors.thrown()),
    bug: dirty.bug ?? null,
    redriven,
    expectedEnds: fleet.expectedEnds,
    differences: [
      ...left.map((line) => `after ${drainMs / 1_000} s ${line}`),
      ...fleet.faults,
      ...dirty.bugFaults(logs),
      ...compared.differences,
      ...alerts.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`),
    ],
  }
}

const countBy = (names: readonly string[]): Record<string, number> =>
  Object.fromEntries([...Map.groupBy(names, (name) => name)].map(([name, { length }]) => [name, length]))

/** Kinds of steps are processes of their own. */
function groupSteps(): { name: Kind; steps: string[] }[] {
  const names = (choose: (step: Step) => boolean): string[] => cryptoIntel.steps.filter(choose).map(({ name }) => name)
  return [
    { name: 'connector', steps: names(({ kind }) => kind === 'connector') },
    { name: 'processor', steps: names(({ kind }) => kind === 'processor') },
    { name: 'sink', steps: names((step) => step.kind === 'sink' && step.serve === undefined) },
    { name: 'alert outbox', steps: names((step) => step.kind === 'sink' && step.serve !== undefined) },
  ]
}

async function startFeeds({ seed, tradesPerSecond }: ChaosOptions, takedown: Takedown): Promise<Feeds> {
  const receivers = await startReceivers({ token: '1:unused', secret })
  takedown.add(() => receivers.stop())
  const exchange = await startExchange({ seed, tradesPerSecond, historyS: 30, plants: { flashCrashAtS: 5 } })
  takedown.add(() => exchange.stop())
  const chain = await startChain({ seed })
  takedown.add(() => chain.stop())
  return { exchange, chain, receivers }
}

/** Real servers behind proxies, so that the sockets of a worker can be cut. */
export async function startServers(takedown: Takedown) {
  const [kafkaPort, kafkaAdvertisedPort] = [await freePort(), await freePort()]
  const stack = await startStack({ name: 'chaos', temporary: true, reuse: false, ports: { kafka: kafkaPort }, kafkaAdvertisedPort }) // prettier-ignore
  takedown.add(() => stack.stop())
  const before = (name: keyof Stack['servers'], port?: number) => Proxy.start(stack.servers[name]?.port ?? 0, port)
  const proxies = {
    kafka: await before('kafka', kafkaAdvertisedPort),
    registry: await before('registry'),
    postgres: await before('postgres'),
    redis: await before('redis'),
  }
  takedown.add(async () => void (await Promise.all(Object.values(proxies).map((proxy) => proxy.close()))))
  const { env } = stack
  const door = await RegistryDoor.open(proxies.registry.before(env.SCHEMA_REGISTRY_URL))
  takedown.add(() => door.close())
  const proxied: Record<string, string> = {
    KAFKA_BROKERS: proxies.kafka.before(env.KAFKA_BROKERS),
    SCHEMA_REGISTRY_URL: door.url,
    DATABASE_URL: proxies.postgres.before(env.DATABASE_URL),
    REDIS_URL: proxies.redis.before(env.REDIS_URL),
  }
  return { stack, proxies, door, env: proxied }
}

/** @returns the variables that tell the workers of the feeds, and the file by which they are told where to throw */
function describe({ exchange, chain, receivers }: Feeds, takedown: Takedown) {
  const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-chaos-'))
  takedown.add(async () => rmSync(folder, { recursive: true, force: true }))
  const watchFile = join(folder, 'watch.yaml')
  const rule = (name: string, topic: string, more: object) => ({ name, topic, severity: 'critical', title: name, channels: ['webhook'], ...more }) // prettier-ignore
  const watch = {
    venues: { 'binance-spot': { symbols: exchange.symbols, lookback: '10m' } },
    chains: [chain.watch],
    alerts: [
      rule('pattern', 'patterns.matches.v1', { title: '{summary}' }),
      rule('risky', 'risk.wallets.v1', {
        where: [{ field: 'score', atLeast: 75 }],
        group: 'risky:{wallet}',
        every: '1m',
      }),
    ],
    channels: { webhook: { kind: 'webhook', url: receivers.webhookUrl, secretFrom: 'CHAOS_SECRET' } },
  }
  writeFileSync(watchFile, stringify(watch))
  const errors = new ErrorFile(folder)
  const env: Record<string, string> = {
    ...errors.env,
    WATCH_FILE: watchFile,
    CHAOS_SECRET: secret,
    BINANCE_SPOT_REST_URL: exchange.restUrl,
    BINANCE_SPOT_WS_URL: exchange.wsUrl,
    EVM_RPC_URLS: `${chain.chainId}=${chain.url},${chain.wsUrl}`,
    SESSION_TIMEOUT_MS: String(sessionMs),
    SNAPSHOT_MS: String(snapshotMs),
    LOG_LEVEL: 'info',
  }
  return { errors, env }
}

async function strike(
  { seed, pauseMs, only = () => true, onProgress }: ChaosOptions,
  injector: Injector,
  progress: Progress,
  began: number,
  until: AbortSignal,
): Promise<Promise<Struck>[]> {
  const struck: Promise<Struck>[] = []
  for (const injection of injections(seed, pauseMs)) {
    if (!only(injection)) continue
    await sleep(injection.afterMs, undefined, { signal: until }).catch(() => {})
    if (until.aborted) break
    const atS = Math.round((performance.now() - began) / 100) / 10
    onProgress(`${atS} s: ${nameOf(injection)}`)
    const over = Promise.withResolvers<void>()
    let recovered: Promise<number | undefined> = Promise.resolve(undefined)
    await injector.inject(injection, () => {
      recovered = progress.recovery(over.promise)
      // Others take over what a frozen worker holds; what else is struck recovers when the fault is over.
      if (injection.fault === 'freeze') over.resolve()
    })
    over.resolve()
    struck.push(recovered.then((ms) => ({ atS, what: nameOf(injection), recoveryMs: ms === undefined ? null : Math.round(ms) }))) // prettier-ignore
  }
  return struck
}

async function reorganise({ seed }: ChaosOptions, chain: Chain, until: AbortSignal): Promise<number> {
  const random = seeded(`reorganisations ${seed}`)
  for (let count = 0; ; count++) {
    await sleep(random.int(1_500, 6_000), undefined, { signal: until }).catch(() => {})
    if (until.aborted) return count
    await chain.reorg(random.int(1, deepest))
  }
}

/** Ends the feeds and waits until the pipeline has worked off everything. @returns what it has not */
async function settle(
  options: ChaosOptions,
  { exchange, chain }: Feeds,
  fleet: Fleet,
  tables: ReturnType<typeof openTables>,
  standing: Standing,
): Promise<string[]> {
  // prettier-ignore
  exchange.pause('trades')
  await Promise.race([chain.settle(), chain.failed])
  // The venue's time goes on while its trades rest, so that every window closes.
  await sleep(2_000)
  exchange.pause('all')
  return workedOff(options, fleet, tables, standing)
}

/** Waits until nothing is before any step. @returns what still is */
async function workedOff(
  { delivered }: ChaosOptions,
  fleet: Fleet,
  tables: ReturnType<typeof openTables>,
  standing: Standing,
): Promise<string[]> {
  const deadline = performance.now() + drainMs
  for (;;) {
    const left = await drain(fleet, cryptoIntel.steps, tables, drainMs, delivered)
    if (left.length > 0) return left
    // What workers say of their lag may be older than what they lost.
    const behind = await standing.behind(await standing.ends())
    if (behind.length === 0 || performance.now() > deadline) return behind
  }
}
