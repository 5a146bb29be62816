/**
 * Sinks: rows a second from a filled topic into PostgreSQL, or into TimescaleDB where POSTGRES_BIN names a build with it, beside a
 * bare binary COPY of the same rows into the same table.
 */
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { topics } from '../../schemas/topics.ts'
import type { ChainTransfer } from '../../schemas/types.ts'
import { timescaleTrades } from '../../sinks/timescale-trades.ts'
import { timescaleTransfers } from '../../sinks/timescale-transfers.ts'
import { Decoder, schemaText } from '../../workers/runtime/codec.ts'
import { CopyEncoder } from '../../workers/runtime/copy-binary.ts'
import { quoted } from '../../workers/runtime/database.ts'
import type { Sink, SinkTransaction, Topic } from '../../workers/runtime/definitions.ts'
import { runChild, type Run } from './child.ts'
import { tradeMessages, transferMessages, type Message } from './records.ts'
import { figure, median, type BenchOptions, type Figure } from './report.ts'
import { startBenchServers, type BenchServers } from './servers.ts'

/** A fifth of them, some seconds' work, warms the compiler up and is not counted. */
const messages = 600_000
const connections = 4

export async function benchSink(options: BenchOptions): Promise<Figure[]> {
  const servers = await startBenchServers(options.say)
  try {
    const trades = (): Iterable<Message> => tradeMessages(messages, servers.ids)
    const transfers = (): Iterable<Message> => transferMessages(messages / 2, servers.ids)
    return [
      ...(await benchTable(servers, timescaleTrades, topics.marketTrades, 'trades', trades, '≥ 0.8', options)),
      ...(await benchTable(servers, timescaleTransfers, topics.chainTransfers, 'transfers', transfers, '≥ 0.45', options)), // prettier-ignore
    ]
  } finally {
    await servers.stop()
  }
}

async function benchTable<T extends object>(
  servers: BenchServers,
  sink: Sink<T>,
  topic: Topic<T>,
  table: string,
  messagesOf: () => Iterable<Message>,
  aim: string,
  { say, profiles, rounds = 5 }: BenchOptions,
): Promise<Figure[]> {
  const total = await servers.fill(topic, messagesOf())
  const { count, names, bodies } = await copyOf(sink, topic, messagesOf(), servers.ids)
  const sql = `COPY ${quoted(table)} (${names.map(quoted).join(', ')}) FROM STDIN (FORMAT binary)`
  say(`${sink.name}: ${total} records that leave ${count} rows`)
  const [ours, one, several]: [Run[], number[], number[]] = [[], [], []]
  for (let round = 1; round <= rounds; round++) {
    await servers.forget(table)
    const run = await runChild('worker.ts', [sink.name, String(total)], servers.env, profiles)
    ours.push(run)
    const kept = await servers.database.query<{ count: number }>(`SELECT count(*)::int AS count FROM ${table}`)
    if (kept.rows[0]?.count !== count) throw new Error(`${table} has ${kept.rows[0]?.count} rows`)
    await servers.forget(table)
    one.push(count / (await copySeconds(servers, sql, bodies(1))))
    await servers.forget(table)
    several.push(count / (await copySeconds(servers, sql, bodies(connections))))
    say(`round ${round}: ${sink.name} ${Math.round(run.perSecond)}, ${run.cpuMicros.toFixed(2)} µs CPU each, COPY ${Math.round(one.at(-1) ?? 0)}, on ${connections} connections ${Math.round(several.at(-1) ?? 0)} rows/s`) // prettier-ignore
  }
  say(`${sink.name}: ${median(ours.map(({ cpuMicros }) => cpuMicros)).toFixed(2)} µs CPU a record`)
  const name = `${sink.name}${total === count ? '' : ' with removals'} into ${await databaseOf(servers)}`
  const perSecond = ours.map((run) => run.perSecond)
  return [
    figure(name, 'records/s', perSecond, 'bare binary COPY', one, aim),
    figure(name, 'records/s', perSecond, `bare binary COPY, ${connections} connections`, several),
  ]
}

/** The database with its version. */
async function databaseOf({ database }: BenchServers): Promise<string> {
  const { rows } = await database.query<{ server: string; extension: string | null }>(
    `SELECT split_part(current_setting('server_version'), ' ', 1) AS server,
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS extension`,
  )
  const { server = '', extension = null } = rows[0] ?? {}
  return extension === null ? `PostgreSQL ${server}` : `TimescaleDB ${extension}`
}

/** What is to be copied: the sink's own rows. */
interface Copied {
  readonly count: number
  readonly names: readonly string[]
  /** The bytes of as many COPYs. */
  readonly bodies: (parts: number) => readonly (readonly Buffer[])[]
}

/** The rows that the sink leaves of the messages: its own write, into memory. */
async function copyOf<T extends object>(
  sink: Sink<T>,
  topic: Topic<T>,
  messagesOf: Iterable<Message>,
  ids: ReadonlyMap<string, number>,
): Promise<Copied> {
  const decoder = new Decoder(topic)
  decoder.learn(ids.get(topic.name) ?? 0, schemaText(topic.name))
  const standing = new Map<string, T>()
  for (const { value } of messagesOf) {
    if (value === null) continue
    const record = decoder.decode(value)
    const id = 'id' in record ? String(record.id) : ''
    const { removed = false }: Partial<Pick<ChainTransfer, 'removed'>> = record
    if (removed) standing.delete(id)
    else standing.set(id, record)
  }
  let copied: Copied = { count: 0, names: [], bodies: () => [] }
  const memory: SinkTransaction = {
    query: () => Promise.resolve({ rows: [], rowCount: 0 }),
    copy(_table, columns, records) {
      const body = (part: typeof records): Buffer[] =>
        [...new CopyEncoder().encode(columns, part)].map((chunk) => Buffer.from(chunk))
      copied = {
        count: records.length,
        names: columns.map(({ name }) => name),
        bodies: (parts) =>
          Array.from({ length: parts }, (_, at) => body(records.filter((_record, index) => index % parts === at))),
      }
      return Promise.resolve()
    },
  }
  await sink.write([...standing.values()], memory)
  return copied
}

/** @returns how long one COPY a body takes, side by side. */
async function copySeconds(
  { env }: BenchServers,
  sql: string,
  bodies: readonly (readonly Buffer[])[],
): Promise<number> {
  const clients = await Promise.all(
    bodies.map(async () => {
      const client = new pg.Client({ connectionString: env['DATABASE_URL'] })
      await client.connect()
      return client
    }),
  )
  const started = performance.now()
  await Promise.all(clients.map((client, at) => pipeline(bodies[at] ?? [], client.query(copyFrom(sql)))))
  const seconds = (performance.now() - started) / 1_000
  await Promise.all(clients.map((client) => client.end()))
  return seconds
}
