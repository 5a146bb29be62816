/** Starts everything, shows it, and takes it down again in order, whatever happens in between. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cryptoIntel } from '../../../topologies/crypto-intel.ts'
import { localFolder } from '../paths.ts'
import { openTables, type Tables } from './database.ts'
import { prepare, startServers } from './installation.ts'
import type { DemoOptions } from './options.ts'
import { latencyBuckets, quantilesBetween, quantilesOf, readSteps, type StepReading } from './readings.ts'
import { draw, readLatest, render } from './view.ts'
import { groupSteps, startWorkers, type Workers } from './workers.ts'

/** What a demo runs on: the pipeline, and a way to look at it. */
export interface Pipeline {
  readonly env: Readonly<Record<string, string>>
  readonly workers: Workers
  readonly tables: Tables
  readonly steps: readonly string[]
}

/** Says where the demo is, on stderr so that stdout stays clean for JSON. */
export const say = (line: string): void => void process.stderr.write(`demo: ${line}\n`)

/** Things to take down, the newest first. */
export class Takedown {
  readonly #releasers: (() => Promise<void>)[] = []

  add(release: () => Promise<void>): void {
    this.#releasers.push(release)
  }

  async run(): Promise<void> {
    for (let release = this.#releasers.pop(); release !== undefined; release = this.#releasers.pop())
      await release().catch((error: unknown) => say(String(error)))
  }
}

/** Where the demo writes its watch file, and the environment of its workers for use in another terminal. */
export function demoFolder(): string {
  const folder = join(localFolder, 'demo')
  mkdirSync(folder, { recursive: true })
  return folder
}

export const watchFilePath = (): string => join(demoFolder(), 'watch.yaml')

/**
 * Starts servers and workers.
 * @param environment gives the variables that tell the workers of their feeds; runs beside the servers' start
 */
export async function startPipeline(
  options: DemoOptions,
  takedown: Takedown,
  environment: () => Promise<Record<string, string>>,
): Promise<Pipeline> {
  const serversUp = startServers(say).then((servers) => {
    takedown.add(() => servers.stop())
    return servers
  })
  const [servers, feeds] = await Promise.all([serversUp, environment()])
  const env: Record<string, string> = { ...servers.env, ...feeds, LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'warn' }
  writeFileSync(
    join(demoFolder(), 'env'),
    Object.entries(env)
      .map(([name, value]) => `export ${name}='${value}'\n`)
      .join(''),
  )
  await prepare(env, say)
  const steps = cryptoIntel.steps.map(({ name }) => name)
  const workers = await startWorkers(cryptoIntel.name, groupSteps(cryptoIntel.steps, options.perStep), env, say)
  takedown.add(() => workers.stop())
  say('in another terminal, `. .local/demo/env` and then `npm start -- tail market.trades.v1` and its like')
  const tables = openTables(env['DATABASE_URL'] ?? '')
  takedown.add(() => tables.close())
  return { env, workers, tables, steps }
}

/** Waits until the table holds fresh trades of every symbol: the look-back is in, and what comes now is live. */
export async function caughtUp({ tables }: Pipeline, symbols: number, patienceS: number): Promise<void> {
  const deadline = Date.now() + patienceS * 1_000
  while (Date.now() < deadline) {
    const fresh = await tables.query(
      "SELECT symbol FROM trades GROUP BY symbol HAVING max(ts) > now() - interval '5 seconds'",
    )
    if (fresh.length >= symbols) return
    await sleep(250)
  }
}

/** Waits until no step has anything before it and the tables stand still; says what still waits when `patienceS` is over. */
export async function drain({ workers, tables, steps }: Pipeline, patienceS: number): Promise<readonly StepReading[]> {
  const deadline = Date.now() + patienceS * 1_000
  for (let [last, still] = ['', 0]; ;) {
    await sleep(500)
    const readings = readSteps(await workers.scrape(), steps)
    const { quotes, ...counts } = await tables.counts()
    const open = await tables.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM alert_outbox WHERE status IN ('pending', 'sending', 'failed')",
    )
    const now = JSON.stringify([counts, open])
    // Quotes go on while trades rest: they are what keeps venue time moving.
    const waiting = readings.some(({ name, lag }) => lag > 0 && name !== 'timescale-quotes') || (open[0]?.n ?? 0) > 0
    still = now === last && !waiting ? still + 1 : 0
    last = now
    if (still >= 6 || Date.now() > deadline) return readings
  }
}

/** Shows the live view, or waits, until `signal` aborts. */
export async function watchRun(
  { workers, tables, steps }: Pipeline,
  live: boolean,
  signal: AbortSignal,
  alertLatencies: () => Promise<number[]>,
): Promise<void> {
  const started = Date.now()
  const first = latencyBuckets(await workers.scrape(), 'timescale-trades')
  let before: readonly StepReading[] = []
  let at = started
  while (!signal.aborted) {
    await sleep(1_000, undefined, { signal }).catch(() => {})
    if (!live || signal.aborted) continue
    try {
      const texts = await workers.scrape()
      const now = readSteps(texts, steps)
      const eventToRow = quantilesBetween(first, latencyBuckets(texts, 'timescale-trades'))
      const eventToAlert = quantilesOf(await alertLatencies())
      const latest = await readLatest(tables)
      const frame = {
        elapsedS: (Date.now() - started) / 1_000,
        steps: now,
        before,
        secondsBetween: (Date.now() - at) / 1_000,
        eventToRow,
        eventToAlert,
        latest,
      }
      draw(render(frame, process.stdout.columns ?? 160))
      ;[before, at] = [now, Date.now()]
    } catch (error) {
      say(String(error))
    }
  }
}
