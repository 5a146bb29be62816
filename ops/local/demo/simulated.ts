/** The demo on simulated feeds: an exchange and a chain whose every event is known, so that everything can be compared. */
import { setTimeout as sleep } from 'node:timers/promises'
import { alertLatencies, checkAlerts } from './alert-checks.ts'
import {
  checkActivity,
  checkCandles,
  checkChain,
  checkDeadLetters,
  checkLag,
  checkRestarts,
  checkTrades,
} from './checks.ts'
import { startFeeds, type Feeds } from './feeds.ts'
import type { DemoOptions } from './options.ts'
import { checkPlanted } from './planted-checks.ts'
import { latencyBuckets, quantilesBetween, quantilesOf } from './readings.ts'
import { allOk, countTopics, type DemoReport } from './report.ts'
import { caughtUp, drain, say, startPipeline, type Takedown, watchFilePath, watchRun, type Pipeline } from './run.ts'
import { demoSecrets, writeWatchFile } from './watch-file.ts'

const drainPatienceS = 60
/** More than the exchange's history. */
const lookback = '1h'

/** @returns the report where the run was limited, undefined where it was ended by hand before */
export async function runSimulated(
  options: DemoOptions,
  takedown: Takedown,
  signal: AbortSignal,
): Promise<DemoReport | undefined> {
  let feeds: Feeds | undefined
  const pipeline = await startPipeline(options, takedown, async () => {
    const started = await startFeeds(options.seed, options.tradesPerSecond)
    feeds = started
    takedown.add(() => started.stop())
    say('exchange, chain and receivers are up')
    return environmentOf(started)
  })
  if (feeds === undefined || signal.aborted) return undefined
  return observe(options, feeds, pipeline, signal)
}

function environmentOf({ exchange, chain, receivers }: Feeds): Record<string, string> {
  const path = watchFilePath()
  const { telegramUrl, webhookUrl } = receivers
  writeWatchFile(path, { symbols: exchange.symbols, chains: [chain.watch], telegramUrl, webhookUrl, lookback })
  return {
    WATCH_FILE: path,
    BINANCE_SPOT_REST_URL: exchange.restUrl,
    BINANCE_SPOT_WS_URL: exchange.wsUrl,
    EVM_RPC_URLS: `${chain.chainId}=${chain.url},${chain.wsUrl}`,
    DEMO_TELEGRAM_TOKEN: demoSecrets.telegramToken,
    DEMO_WEBHOOK_SECRET: demoSecrets.webhookSecret,
  }
}

async function observe(
  options: DemoOptions,
  feeds: Feeds,
  pipeline: Pipeline,
  signal: AbortSignal,
): Promise<DemoReport | undefined> {
  const { workers, tables, steps } = pipeline
  // What the look-back brought is old by nature and no measure of latency.
  await caughtUp(pipeline, feeds.exchange.symbols.length, drainPatienceS)
  const since = Date.now()
  const before = latencyBuckets(await workers.scrape(), 'timescale-trades')
  feeds.arm()
  say(`everything is up; ${options.for === undefined ? 'Ctrl-C ends' : `running for ${options.for} s`}`)
  const limit = options.for === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(options.for * 1_000)])
  const latencies = () => alertLatencies(feeds.receivers.received(), tables, since)
  await Promise.race([
    watchRun(pipeline, !options.json && process.stdout.isTTY === true, limit, latencies),
    feeds.chain.failed,
  ])
  if (options.for === undefined || signal.aborted) return undefined
  const durationS = Math.round((Date.now() - since) / 100) / 10
  say('draining')
  const restFrom = await Promise.race([feeds.settle(), feeds.chain.failed])
  // The venue's time goes on while its trades rest, so that every window closes.
  await sleep(3_000)
  const eventToRow = quantilesBetween(before, latencyBuckets(await workers.scrape(), 'timescale-trades'))
  await drain(pipeline, drainPatienceS)
  feeds.exchange.pause('all')
  const readings = await drain(pipeline, drainPatienceS)
  const topics = await countTopics(pipeline.env)
  const { planted, checks: plantedChecks } = await checkPlanted(feeds.exchange, feeds.chain, tables, restFrom)
  const alerts = await checkAlerts(
    feeds.receivers,
    tables,
    feeds.chain.planted().some(({ removed }) => removed !== undefined),
  )
  const checks = [
    await checkTrades(feeds.exchange, tables),
    await checkCandles(tables),
    await checkChain(feeds.chain, tables),
    await checkActivity(tables),
    ...plantedChecks,
    ...alerts.checks,
    checkDeadLetters(topics['dlq.v1'] ?? 0),
    checkLag(readings),
    checkRestarts(workers.restarts()),
  ]
  return {
    ok: allOk(checks),
    durationS,
    steps: readings.filter(({ name }) => steps.includes(name)),
    topics,
    tables: await tables.counts(),
    alerts: { fired: alerts.fired, delivered: alerts.delivered, byRule: alerts.byRule },
    latencyMs: { eventToRow, eventToAlert: quantilesOf(await latencies()) },
    planted,
    checks,
  }
}
