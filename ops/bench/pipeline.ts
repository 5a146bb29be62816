/** The whole line: socket frame → table row, and → outbox row over four hops, beside a process that only carries trades. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { tmpdir } from 'node:os'
import { stringify } from 'yaml'
import { connectionTo } from '../../connectors/binance-spot.ts'
import { prepare } from '../local/demo/installation.ts'
import { startWorkers } from '../local/demo/workers.ts'
import { startExchange, type Exchange } from '../local/exchange/exchange.ts'
import { startReceivers, type Receivers } from '../local/receivers.ts'
import { prepareBareLine, startBareLine, type Usage } from './bare.ts'
import { figure, quantile, type BenchOptions, type Figure } from './report.ts'
import { startBenchServers, type BenchServers } from './servers.ts'
import { usageOf } from './usage.ts'

const rates = [500, 2_000, 5_000]
const warmMs = 8_000
const measureMs = 20_000
const drainMs = 2_000
const secret = 'whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0'
const steps = ['binance-spot', 'detect-price-shocks', 'evaluate-alerts', 'timescale-trades', 'alert-outbox']
const groups = steps.map((name) => ({ name, steps: [name] }))
const aims: Readonly<Record<string, string>> = {
  '2000 row p50': '≤ 25',
  '2000 row p99': '≤ 150',
  '2000 outbox p50': '≤ 100',
  '2000 outbox p99': '≤ 300',
}

/** One run; latencies are milliseconds from the frame's arrival in the process to the commit, sorted. */
interface Run {
  readonly row: readonly number[]
  readonly outbox: readonly number[]
  /** By process. */
  readonly spent: ReadonlyMap<string, Spent>
}

interface Spent {
  /** Percent of a core. */
  readonly cpu: number
  readonly megabytes: number
}

export async function benchPipeline({ say, rounds = 3 }: BenchOptions): Promise<Figure[]> {
  const servers = await startBenchServers(say, ['track_commit_timestamp = on'])
  const receivers = await startReceivers({ token: '1:bench', secret })
  try {
    await prepareBareLine(servers.env)
    await rememberInserts(servers)
    const figures: Figure[] = []
    for (const rate of rates) {
      const [ours, bare]: [Run[], Run[]] = [[], []]
      for (let round = 1; round <= rounds; round++) {
        const [mine, reference] = [
          await runOurs(servers, receivers, rate, `r${rate}-${round}`),
          await runBare(servers, rate),
        ]
        ours.push(mine)
        bare.push(reference)
        say(`${rate}/s, round ${round}: row ${brief(mine.row)}, outbox ${brief(mine.outbox)} ms`)
        say(`  bare: row ${brief(reference.row)}, outbox ${brief(reference.outbox)} ms`)
      }
      figures.push(...figuresOf(rate, ours, bare))
    }
    return figures
  } finally {
    await receivers.stop()
    await servers.stop()
  }
}

/** The dispatcher changes outbox rows; what is written beside them keeps the transaction that inserted them. */
async function rememberInserts({ database }: BenchServers): Promise<void> {
  await database.query(`
    CREATE TABLE bench_fired (alert_id text NOT NULL);
    CREATE FUNCTION bench_fired() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO bench_fired VALUES (NEW.alert_id); RETURN NEW; END $$;
    CREATE TRIGGER bench_fired AFTER INSERT ON alert_outbox FOR EACH ROW EXECUTE FUNCTION bench_fired()`)
}

async function runOurs(servers: BenchServers, receivers: Receivers, rate: number, namespace: string): Promise<Run> {
  await servers.forget('trades, alert_outbox, bench_fired')
  const exchange = await startExchange({ seed: namespace, tradesPerSecond: rate, historyS: 0 })
  const watchFile = join(tmpdir(), `crypto-intel-bench-${process.pid}.yaml`)
  writeFileSync(watchFile, stringify(watchOf(exchange, receivers)))
  const env = {
    ...servers.env,
    NAMESPACE: namespace,
    WATCH_FILE: watchFile,
    BINANCE_SPOT_REST_URL: exchange.restUrl,
    BINANCE_SPOT_WS_URL: exchange.wsUrl,
    HOOK_SECRET: secret,
  }
  try {
    await prepare(env, () => {})
    const workers = await startWorkers('crypto-intel', groups, env, () => {}, `bench-${namespace}`)
    try {
      const window = await measure(exchange, () => usageOf(workers))
      return { ...window, ...(await latenciesOfOurs(servers, window)) }
    } finally {
      await workers.stop()
    }
  } finally {
    await exchange.stop()
    rmSync(watchFile, { force: true })
  }
}

/** Small moves within a short time count as shocks, so that there are alerts to measure: some 5 to 40 a second. */
const watchOf = (exchange: Exchange, receivers: Receivers): object => ({
  venues: { 'binance-spot': { symbols: exchange.symbols } },
  detection: { priceShock: { move: 0.0005, within: '50ms' } },
  alerts: [{ name: 'shock', topic: 'patterns.matches.v1', severity: 'info', title: '{summary}', channels: ['hook'] }],
  channels: { hook: { kind: 'webhook', url: receivers.webhookUrl, secretFrom: 'HOOK_SECRET' } },
})

async function runBare(servers: BenchServers, rate: number): Promise<Run> {
  await servers.forget('bench_rows, bench_outbox_rows')
  const exchange = await startExchange({ seed: rate, tradesPerSecond: rate, historyS: 0 })
  try {
    const symbols = exchange.symbols.map((symbol) => symbol.replace('-', ''))
    const bare = await startBareLine(servers.env, connectionTo(exchange.wsUrl, symbols).url)
    try {
      const window = await measure(exchange, async () => new Map([['bare', await bare.usage()]]))
      const latencies = (table: string): Promise<number[]> =>
        query(
          servers,
          `SELECT ${sinceReceived('received_at')} AS ms FROM ${table} WHERE received_at BETWEEN $1 AND $2`,
          window,
        )
      return { ...window, row: await latencies('bench_rows'), outbox: await latencies('bench_outbox_rows') }
    } finally {
      await bare.stop()
    }
  } finally {
    await exchange.stop()
  }
}

interface Window {
  readonly from: Date
  readonly to: Date
  readonly spent: Run['spent']
}

/** Lets the line run warm, measures for a while, and waits until what was under way has come. */
async function measure(exchange: Exchange, usage: () => Promise<Map<string, Usage>>): Promise<Window> {
  await sleep(warmMs)
  const [from, before] = [new Date(), await usage()]
  await sleep(measureMs)
  const [to, after] = [new Date(), await usage()]
  const seconds = (to.getTime() - from.getTime()) / 1_000
  const spent = new Map(
    [...after].map(([name, { cpuSeconds, bytes }]): [string, Spent] => {
      const cpu = ((cpuSeconds - (before.get(name)?.cpuSeconds ?? NaN)) * 100) / seconds
      return [name, { cpu, megabytes: bytes / 1e6 }]
    }),
  )
  exchange.pause('all')
  await sleep(drainMs)
  return { from, to, spent }
}

/** When the row's transaction committed, by the server that runs on the same machine and so by the same clock. */
const sinceReceived = (receivedAt: string, xmin = 'xmin'): string =>
  `(extract(epoch FROM pg_xact_commit_timestamp(${xmin}) - ${receivedAt}) * 1000)::float8`

async function latenciesOfOurs(servers: BenchServers, window: Window): Promise<Pick<Run, 'row' | 'outbox'>> {
  const row = await query(
    servers,
    `SELECT ${sinceReceived('received_at')} AS ms FROM trades WHERE received_at BETWEEN $1 AND $2`,
    window,
  )
  // shock:price-shock:<id of the first trade>:<id of the trade that showed it>
  const outbox = await query(
    servers,
    `SELECT ${sinceReceived('received_at', 'fired.xmin')} AS ms
     FROM bench_fired AS fired, trades
     WHERE symbol = split_part(alert_id, ':', 7) AND trade_id = split_part(alert_id, ':', 8)
       AND received_at BETWEEN $1 AND $2`,
    window,
  )
  return { row, outbox }
}

async function query({ database }: BenchServers, sql: string, { from, to }: Window): Promise<number[]> {
  const { rows } = await database.query<{ ms: number }>(sql, [from, to])
  return rows.map(({ ms }) => ms).toSorted((a, b) => a - b)
}

const brief = (sorted: readonly number[]): string =>
  `p50 ${quantile(sorted, 0.5).toFixed(1)} p99 ${quantile(sorted, 0.99).toFixed(1)} max ${quantile(sorted, 1).toFixed(1)} of ${sorted.length}`

const quantiles = [
  ['p50', 0.5],
  ['p99', 0.99],
  ['max', 1],
] as const

function figuresOf(rate: number, ours: readonly Run[], bare: readonly Run[]): Figure[] {
  const latencies = (['row', 'outbox'] as const).flatMap((where) =>
    quantiles.map(([name, q]) => {
      const of = (runs: readonly Run[]): number[] => runs.map((run) => quantile(run[where], q))
      return figure(`${rate}/s, frame → ${where}, ${name}`, 'ms', of(ours), 'bare process', of(bare), aims[`${rate} ${where} ${name}`]) // prettier-ignore
    }),
  )
  const spent = steps.flatMap((step) => {
    const of = (runs: readonly Run[], name: string, what: keyof Spent): number[] =>
      runs.map(({ spent }) => spent.get(name)?.[what] ?? NaN)
    return [
      figure(`${rate}/s, ${step}, CPU`, '% of a core', of(ours, step, 'cpu'), 'bare process, whole line', of(bare, 'bare', 'cpu')), // prettier-ignore
      figure(`${rate}/s, ${step}, RSS`, 'MB', of(ours, step, 'megabytes'), 'bare process, whole line', of(bare, 'bare', 'megabytes'), '≤ 300'), // prettier-ignore
    ]
  })
  return [...latencies, ...spent]
}
