/** Sinks: rows a second from a filled topic into PostgreSQL, beside a bare binary COPY of the same rows into the same table. */
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
import type { Column, ColumnValue, Sink, SinkTransaction, Topic } from '../../workers/runtime/definitions.ts'
import { runChild } from './child.ts'
import { tradeMessages, transferMessages, type Message } from './records.ts'
import { figure, type BenchOptions, type Figure } from './report.ts'
import { startBenchServers, type BenchServers } from './servers.ts'

const messages = 300_000
const connections = 4

export async function benchSink(options: BenchOptions): Promise<Figure[]> {
  const servers = await startBenchServers(options.say)
  try {
    const trades = [...tradeMessages(messages, servers.ids)]
    const transfers = [...transferMessages(messages / 2, servers.ids)]
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
  messagesOf: readonly Message[],
  aim: string,
  { say, profiles, rounds = 5 }: BenchOptions,
): Promise<Figure[]> {
  const total = await servers.fill(topic, messagesOf)
  const { columns, rows } = await rowsOf(sink, topic, messagesOf, servers.ids)
  say(`${sink.name}: ${total} records that leave ${rows.length} rows`)
  const [ours, one, several]: [number[], number[], number[]] = [[], [], []]
  for (let round = 1; round <= rounds; round++) {
    await servers.forget(table)
    ours.push((await runChild('worker.ts', [sink.name, String(total)], servers.env, profiles)).perSecond)
    const kept = await servers.database.query<{ count: number }>(`SELECT count(*)::int AS count FROM ${table}`)
    if (kept.rows[0]?.count !== rows.length) throw new Error(`${table} has ${kept.rows[0]?.count} rows`)
    await servers.forget(table)
    one.push(await copyRows(servers, table, columns, [rows]))
    await servers.forget(table)
    const parts = Array.from({ length: connections }, (_, at) =>
      rows.filter((_row, index) => index % connections === at),
    )
    several.push(await copyRows(servers, table, columns, parts))
    say(`round ${round}: ${sink.name} ${Math.round(ours.at(-1) ?? 0)}, COPY ${Math.round(one.at(-1) ?? 0)}, on ${connections} connections ${Math.round(several.at(-1) ?? 0)} rows/s`) // prettier-ignore
  }
  const name = total === rows.length ? sink.name : `${sink.name} with removals`
  return [
    figure(name, 'records/s', ours, 'bare binary COPY', one, aim),
    figure(name, 'records/s', ours, `bare binary COPY, ${connections} connections`, several),
  ]
}

interface Rows {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly ColumnValue[])[]
}

/** The rows that the sink leaves of the messages: its own write, into memory. */
async function rowsOf<T extends object>(
  sink: Sink<T>,
  topic: Topic<T>,
  messagesOf: readonly Message[],
  ids: ReadonlyMap<string, number>,
): Promise<Rows> {
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
  let copied: Rows = { columns: [], rows: [] }
  const memory: SinkTransaction = {
    query: () => Promise.resolve({ rows: [], rowCount: 0 }),
    copy(_table, columns, rows) {
      copied = { columns, rows }
      return Promise.resolve()
    },
  }
  await sink.write([...standing.values()], memory)
  return copied
}

/** @returns rows a second of one COPY a part, side by side; the bytes are made before. */
async function copyRows(
  { env }: BenchServers,
  table: string,
  columns: readonly Column[],
  parts: readonly Rows['rows'][],
): Promise<number> {
  const sql = `COPY ${quoted(table)} (${columns.map(({ name }) => quoted(name)).join(', ')}) FROM STDIN (FORMAT binary)`
  const bodies = parts.map((rows) => [...new CopyEncoder().encode(columns, rows)].map((chunk) => Buffer.from(chunk)))
  const clients = await Promise.all(
    parts.map(async () => {
      const client = new pg.Client({ connectionString: env['DATABASE_URL'] })
      await client.connect()
      return client
    }),
  )
  const started = performance.now()
  await Promise.all(clients.map((client, at) => pipeline(bodies[at] ?? [], client.query(copyFrom(sql)))))
  const seconds = (performance.now() - started) / 1_000
  await Promise.all(clients.map((client) => client.end()))
  return parts.reduce((sum, { length }) => sum + length, 0) / seconds
}
