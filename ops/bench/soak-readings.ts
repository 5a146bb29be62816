/** One reading of everything that must not grow: worker processes, Redis, PostgreSQL, and connections to each server. */
import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import type { Tables } from '../local/demo/database.ts'
import { readSteps, samplesOf } from '../local/demo/readings.ts'
import type { Workers } from '../local/demo/workers.ts'
import type { Stack } from '../local/stack.ts'
import type { Series } from './soak-series.ts'

export interface Quantity extends Omit<Series, 'name' | 'points'> {
  readonly value: number
  /** It counts from the start: what is told is how fast. */
  readonly counted?: 'a second' | 'a minute'
}

export type Reading = Readonly<Record<string, Quantity>>

export interface Sources {
  readonly workers: Workers
  readonly redis: Redis
  readonly tables: Tables
  readonly stack: Stack
  /** Steps whose output is what flows in. */
  readonly connectors: readonly string[]
}

export async function readAll(sources: Sources): Promise<Reading> {
  const texts = await sources.workers.scrape()
  return {
    ...readFlow(sources, texts),
    ...readProcesses(sources.workers, texts),
    ...readConnections(sources.stack),
    ...(await readRedis(sources.redis)),
    ...(await readTables(sources.tables)),
  }
}

function readFlow({ workers, connectors }: Sources, texts: readonly string[]): Reading {
  const steps = readSteps(
    texts,
    workers.groups.flatMap((group) => group.steps),
  )
  const brought = steps.filter(({ name }) => connectors.includes(name)).reduce((sum, step) => sum + step.out, 0)
  const rows = steps.filter(({ name }) => name.startsWith('timescale-')).reduce((sum, step) => sum + step.in, 0)
  return {
    'records from connectors': { value: brought, unit: 'records', counted: 'a second', slack: undefined },
    'records to tables': { value: rows, unit: 'records', counted: 'a second', slack: undefined },
    'lag of all steps': { value: steps.reduce((sum, { lag }) => sum + lag, 0), unit: 'records', slack: 2_000 },
    ...Object.fromEntries(
      countedFaults.map(([name, metric]) => [name, { value: total(texts, metric), unit: 'times', counted: 'a minute', slack: undefined }]), // prettier-ignore
    ),
  }
}

const countedFaults = [
  ['reconnects', 'reconnects_total'],
  ['reorganisations', 'reorg_depth_blocks_count'],
  ['errors', 'errors_total'],
  ['dead letters', 'dead_letters_total'],
  ['alerts delivered', 'alert_deliveries_total'],
] as const

const total = (texts: readonly string[], metric: string): number =>
  texts
    .flatMap(samplesOf)
    .filter(({ name }) => name === `crypto_intel_${metric}`)
    .reduce((sum, { value }) => sum + value, 0)

const processMetrics = [
  ['RSS', 'MB', 'process_resident_memory_bytes', 1e-6, 5],
  ['heap', 'MB', 'nodejs_heap_size_used_bytes', 1e-6, 5],
  ['external memory', 'MB', 'nodejs_external_memory_bytes', 1e-6, 5],
  ['open files and sockets', 'handles', 'process_open_fds', 1, 2],
  ['active resources', 'handles', 'nodejs_active_resources_total', 1, 5],
  ['event-loop delay p99', 'ms', 'nodejs_eventloop_lag_p99_seconds', 1e3, 10],
] as const

function readProcesses({ groups }: Workers, texts: readonly string[]): Reading {
  const entries = groups.flatMap((group) => {
    const text = texts.find((one) => group.steps.some((step) => one.includes(`step="${step}"`))) ?? ''
    return processMetrics.map(([what, unit, metric, factor, slack]) => {
      const value = Number(new RegExp(`^${metric} (\\S+)`, 'm').exec(text)?.[1]) * factor
      return [`${group.name}, ${what}`, { value, unit, slack }] as const
    })
  })
  return Object.fromEntries(entries)
}

/** https://docs.kernel.org/networking/proc_net_tcp.html: state 01 is an established connection. */
function readConnections({ servers }: Stack): Reading {
  const rows = ['tcp', 'tcp6'].flatMap((file) => readFileSync(`/proc/net/${file}`, 'utf8').split('\n').slice(1))
  const ports = rows.flatMap((row) => {
    const [, local = '', , state] = row.trim().split(/\s+/)
    return state === '01' ? parseInt(local.slice(local.lastIndexOf(':') + 1), 16) : []
  })
  const entries = Object.values(servers).map(({ name, port }) => {
    const value = ports.filter((one) => one === port).length
    return [`connections to ${name}`, { value, unit: 'connections', slack: 2 }] as const
  })
  return Object.fromEntries(entries)
}

async function readRedis(redis: Redis): Promise<Reading> {
  const lengths = await Promise.all((await redis.keys('{*')).map((slot) => redis.hlen(slot)))
  const memory = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
  return {
    'Redis, keys': { value: await redis.dbsize(), unit: 'keys', slack: 0 },
    'Redis, fields': { value: lengths.reduce((sum, length) => sum + length, 0), unit: 'fields', slack: 50 },
    'Redis, memory': { value: memory / 1e6, unit: 'MB', slack: 0.5 },
  }
}

/** Tables that gain no rows: whatever they grow by is bloat. */
const standing = ['sink_offsets', 'sink_positions', 'alert_channels']

interface TableRow extends Record<string, unknown> {
  readonly name: string
  readonly live: number
  readonly dead: number
  readonly bytes: number
}

/** https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW */
async function readTables(tables: Tables): Promise<Reading> {
  const rows = await tables.query<TableRow>(
    `SELECT relname AS name, n_live_tup::float8 AS live, n_dead_tup::float8 AS dead,
            pg_total_relation_size(relid)::float8 AS bytes FROM pg_stat_user_tables`,
  )
  const sum = (some: readonly TableRow[], of: 'live' | 'dead' | 'bytes'): number =>
    some.reduce((total, row) => total + row[of], 0)
  const growing = rows.filter(({ name, live }) => !standing.includes(name) && live >= 1_000)
  const outbox = rows.filter(({ name }) => name === 'alert_outbox')
  return {
    'rows in tables': { value: sum(rows, 'live'), unit: 'rows', counted: 'a second', slack: undefined },
    'tables, size a row': { value: sum(growing, 'bytes') / Math.max(1, sum(growing, 'live')), unit: 'bytes', slack: 5 },
    'growing tables, dead rows': { value: sum(growing, 'dead'), unit: 'rows', slack: 1_000 },
    'alert_outbox, size a row': { value: sum(outbox, 'bytes') / Math.max(1, sum(outbox, 'live')), unit: 'bytes', slack: 200 }, // prettier-ignore
    ...Object.fromEntries(
      rows.flatMap(({ name, live, dead, bytes }) =>
        standing.includes(name)
          ? [
              [`${name}, rows`, { value: live, unit: 'rows', slack: 2 }],
              [`${name}, dead rows`, { value: dead, unit: 'rows', slack: 5_000 }],
              [`${name}, size`, { value: bytes / 1e3, unit: 'kB', slack: 100 }],
            ]
          : [],
      ),
    ),
  }
}
