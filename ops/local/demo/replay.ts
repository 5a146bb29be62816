/** The demo on a recorded Binance spot capture, through the real connector. */
import { startReplay } from '../exchange/replay.ts'
import { startReceivers } from '../receivers.ts'
import { checkAlerts } from './alert-checks.ts'
import { checkCandles, checkDeadLetters, checkLag, checkRestarts, checkTrades } from './checks.ts'
import type { DemoOptions } from './options.ts'
import { latencyBuckets, quantilesBetween, quantilesOf } from './readings.ts'
import { allOk, countTopics, type DemoReport } from './report.ts'
import { drain, say, startPipeline, type Takedown, watchFilePath, watchRun } from './run.ts'
import { demoSecrets, writeWatchFile } from './watch-file.ts'

const drainPatienceS = 60

export async function runReplay(
  options: DemoOptions,
  takedown: Takedown,
  signal: AbortSignal,
): Promise<DemoReport | undefined> {
  const replay = await startReplay({ file: options.replay ?? '', speed: options.speed })
  takedown.add(() => replay.stop())
  const receivers = await startReceivers({ token: demoSecrets.telegramToken, secret: demoSecrets.webhookSecret })
  takedown.add(() => receivers.stop())
  const started = Date.now()
  const { workers, tables, ...rest } = await startPipeline(options, takedown, async () => {
    const path = watchFilePath()
    const { telegramUrl, webhookUrl } = receivers
    writeWatchFile(path, { symbols: replay.symbols, chains: [], telegramUrl, webhookUrl, lookback: '0s' })
    return {
      WATCH_FILE: path,
      BINANCE_SPOT_REST_URL: replay.restUrl,
      BINANCE_SPOT_WS_URL: replay.wsUrl,
      DEMO_TELEGRAM_TOKEN: demoSecrets.telegramToken,
      DEMO_WEBHOOK_SECRET: demoSecrets.webhookSecret,
    }
  })
  const pipeline = { workers, tables, ...rest }
  const before = latencyBuckets(await workers.scrape(), 'timescale-trades')
  say(`replaying ${replay.recorded.frames} frames with ${replay.recorded.trades} trades`)
  const ended = new AbortController()
  replay.ended.finally(() => ended.abort()).catch(() => {})
  await watchRun(
    pipeline,
    !options.json && process.stdout.isTTY === true,
    AbortSignal.any([signal, ended.signal]),
    async () => [],
  )
  if (signal.aborted) return undefined
  await replay.ended
  const readings = await drain(pipeline, drainPatienceS)
  const topics = await countTopics(pipeline.env)
  const alerts = await checkAlerts(receivers, tables, false)
  const checks = [
    await checkTrades(replay, tables),
    await checkCandles(tables),
    ...alerts.checks,
    checkDeadLetters(topics['dlq.v1'] ?? 0),
    checkLag(readings),
    checkRestarts(workers.restarts()),
  ]
  return {
    ok: allOk(checks),
    durationS: Math.round((Date.now() - started) / 100) / 10,
    steps: readings,
    topics,
    tables: await tables.counts(),
    alerts: { fired: alerts.fired, delivered: alerts.delivered, byRule: alerts.byRule },
    // Of old events; what it says is how old they are.
    latencyMs: {
      eventToRow: quantilesBetween(before, latencyBuckets(await workers.scrape(), 'timescale-trades')),
      eventToAlert: quantilesOf([]),
    },
    planted: [],
    checks,
  }
}
