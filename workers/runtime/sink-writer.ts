/** The transaction of a sink's batch: rows, positions and the next offset together, or nothing. It knows no Kafka. */
import { timestamp, type Connection, type Database } from './database.ts'
import type { Micros, Sink } from './definitions.ts'
import type { LeftOutChange } from './left-out.ts'
import { isRefusal, narrow, type Rejected } from './sink-bisection.ts'
import { mayFail } from './test-errors.ts'
import { guarded } from './test-switches.ts'

/** One partition of a sink's topic. */
export interface SinkSlot {
  readonly step: string
  readonly topic: string
  readonly partition: number
}

/** Where a slot stands; before its first batch the offset and the time are undefined and there are no positions. */
export interface StoredSlot {
  readonly nextOffset: number | undefined
  /** Append time of the last record before that offset, by which a recreated topic is told. */
  readonly appendTime: Micros | undefined
  /** What `new Positions(…)` takes. */
  readonly positions: readonly (readonly [origin: string, text: string])[]
  /** What `new LeftOut(…)` takes. */
  readonly leftOut: readonly (readonly [offset: number, id: string])[]
  /** What `new Refusals(…)` takes. */
  readonly refusals: string | undefined
  readonly acceptedUntil: number
}

/** What is stored beside offset and positions. */
export interface SinkNotes {
  readonly leftOut: readonly LeftOutChange[]
  readonly refusals: string | undefined
}

export interface SinkBatch<In extends object> {
  readonly slot: SinkSlot
  readonly sink: Sink<In>
  /** Where the slot must stand: what `open` said, or the `nextOffset` of the batch before. */
  readonly expectedOffset: number | undefined
  readonly nextOffset: number
  readonly appendTime: Micros
  /** What `Positions.changes()` gave. */
  readonly positions: readonly (readonly [origin: string, text: string])[]
  /** May be empty: then offset and positions move on alone. */
  readonly records: readonly In[]
  /** The traceparent of each record; none where the sink does not ask for them. */
  readonly traces?: readonly (string | undefined)[]
  /** Awaited before the commit, so that refused records are in the DLQ before the offset has passed them. */
  onRejected(rejected: readonly Rejected[]): Promise<void>
  /** Asked after that for what is to be stored beside offset and positions. */
  notes?(): Promise<SinkNotes>
  /** Whether a person has said that what is refused of this batch is rightly refused. */
  readonly accepted?: boolean
  /** Whether the task is over meanwhile: asked once more before the commit. */
  over?(): boolean
}

export interface SinkWriter {
  open(slot: SinkSlot): Promise<StoredSlot>
  /**
   * @returns 'lost' where the slot does not stand at the expected offset, or the task is over: nothing was written, open it again
   * @throws the database's errors, which `classify` knows; after a retryable one open the slot again, since a commit
   * whose answer was lost may have succeeded
   */
  write<In extends object>(batch: SinkBatch<In>): Promise<'written' | 'lost'>
}

export interface SinkWriterOptions {
  /** How long a former owner's open transaction may hold a slot before its connection is ended; 5,000 ms. */
  readonly lockWaitMs?: number
  /** Told when that happened, for the log. */
  readonly onBlockersEnded?: (slot: SinkSlot, connections: number) => void
}

export function createSinkWriter(database: Database, options: SinkWriterOptions = {}): SinkWriter {
  return {
    open: (slot) => open(database, slot),
    async write(batch) {
      return database.use(async (connection) => {
        const moved = (): Promise<boolean> => moveOffset(database, connection, batch, options)
        try {
          return await transact(connection, batch, moved, async () => {
            if (batch.records.length > 0) await batch.sink.write(batch.records, connection, batch.traces ?? [])
            return []
          })
        } catch (error) {
          if (!isRefusal(error)) throw error
          await connection.query('ROLLBACK')
          return transact(connection, batch, moved, () => narrow(connection, batch, error))
        }
      })
    },
  }
}

async function open(database: Database, { step, topic, partition }: SinkSlot): Promise<StoredSlot> {
  // One statement, so that offset and positions are of one transaction.
  const { rows } = await database.query(
    `SELECT next_offset, append_time, refusals, accepted_until, origin, position
     FROM sink_offsets LEFT JOIN sink_positions USING (step, topic, partition)
     WHERE step = $1 AND topic = $2 AND partition = $3`,
    [step, topic, partition],
  )
  const [first] = rows
  const positions = rows.flatMap(({ origin, position }): [string, string][] =>
    typeof origin === 'string' && typeof position === 'string' ? [[origin, position]] : [],
  )
  return {
    nextOffset: first === undefined ? undefined : Number(first['next_offset']),
    appendTime: first === undefined ? undefined : Number(first['append_time']),
    positions,
    leftOut: await leftOutOf(database, [step, topic, partition]),
    refusals: typeof first?.['refusals'] === 'string' ? first['refusals'] : undefined,
    acceptedUntil: Number(first?.['accepted_until'] ?? 0),
  }
}

async function leftOutOf(database: Database, slot: readonly unknown[]): Promise<[number, string][]> {
  const { rows } = await database.query(
    'SELECT record_offset, record_id FROM sink_left_out WHERE step = $1 AND topic = $2 AND partition = $3',
    slot,
  )
  return rows.map((row): [number, string] => [Number(row['record_offset']), String(row['record_id'])])
}

async function transact<In extends object>(
  connection: Connection,
  batch: SinkBatch<In>,
  moved: () => Promise<boolean>,
  fill: () => Promise<readonly Rejected[]>,
): Promise<'written' | 'lost'> {
  await connection.query('BEGIN')
  if (!(await moved())) {
    await connection.query('ROLLBACK')
    return 'lost'
  }
  const rejected = await fill()
  if (rejected.length > 0) await batch.onRejected(rejected)
  const notes = await batch.notes?.()
  if (notes !== undefined) await note(connection, batch.slot, notes)
  if (batch.over?.() === true) {
    await connection.query('ROLLBACK')
    return 'lost'
  }
  mayFail('commit')
  await connection.query('COMMIT')
  mayFail('commit')
  return 'written'
}

async function note(connection: Connection, { step, topic, partition }: SinkSlot, { leftOut, refusals }: SinkNotes) {
  const slot = [step, topic, partition]
  if (refusals !== undefined)
    await connection.query('UPDATE sink_offsets SET refusals = $4 WHERE step = $1 AND topic = $2 AND partition = $3', [
      ...slot,
      refusals,
    ])
  const struck = leftOut.flatMap(([offset, id]) => (id === null ? [offset] : []))
  if (struck.length > 0)
    await connection.query(
      'DELETE FROM sink_left_out WHERE step = $1 AND topic = $2 AND partition = $3 AND record_offset = ANY ($4)',
      [...slot, struck],
    )
  const added = leftOut.flatMap(([offset, id]) => (id === null ? [] : [{ offset, id }]))
  if (added.length === 0) return
  await connection.query(
    `INSERT INTO sink_left_out (step, topic, partition, record_offset, record_id)
     SELECT $1, $2, $3, record_offset, record_id FROM unnest($4::bigint[], $5::text[]) AS added (record_offset, record_id)
     ON CONFLICT DO NOTHING`,
    [...slot, added.map(({ offset }) => offset), added.map(({ id }) => textOf(id))],
  )
}

/** An id comes from outside, and PostgreSQL's text holds no NUL. */
const textOf = (id: string): string => id.replaceAll('\0', '').toWellFormed()

const moveFirst = `INSERT INTO sink_offsets (step, topic, partition, next_offset, append_time)
  SELECT $1, $2, $3, $4::bigint, $5 WHERE $8::bigint IS NULL ON CONFLICT DO NOTHING RETURNING step, topic, partition`
const compared = guarded('compare-and-set') ? 'next_offset = $8' : '$8::bigint IS NOT NULL'
const moveOn = `UPDATE sink_offsets SET next_offset = $4, append_time = $5
  WHERE step = $1 AND topic = $2 AND partition = $3 AND ${compared} RETURNING step, topic, partition`
const savePositions = (move: string): string => `WITH moved AS (${move}),
  saved AS (
    INSERT INTO sink_positions (step, topic, partition, origin, position)
    SELECT step, topic, partition, origin, position
    FROM moved, unnest($6::text[], $7::text[]) AS changed (origin, position)
    ON CONFLICT (step, topic, partition, origin) DO UPDATE SET position = excluded.position
  ) SELECT 1 FROM moved`

/** Compares and sets the slot's offset, and saves its positions; holds the slot until the transaction ends. */
async function moveOffset<In extends object>(
  database: Database,
  connection: Connection,
  { slot, expectedOffset, nextOffset, appendTime, positions }: SinkBatch<In>,
  { lockWaitMs = 5_000, onBlockersEnded }: SinkWriterOptions,
): Promise<boolean> {
  // A failure to end the blocker is left to the next turn and in the end to the statement's time-out.
  const rescue = setInterval(() => {
    endBlockers(database, connection.pid).then(
      (ended) => ended > 0 && onBlockersEnded?.(slot, ended),
      () => {},
    )
  }, lockWaitMs)
  try {
    const origins = positions.map(([origin]) => origin)
    const texts = positions.map(([, text]) => text)
    const place = [slot.step, slot.topic, slot.partition, nextOffset, timestamp(appendTime), origins, texts]
    const sql = savePositions(expectedOffset === undefined ? moveFirst : moveOn)
    const { rowCount } = await connection.query(sql, [...place, expectedOffset ?? null])
    return rowCount === 1
  } finally {
    clearInterval(rescue)
  }
}

/** Ends our own connections, no others, that hold what the process `pid` waits for. */
async function endBlockers(database: Database, pid: number): Promise<number> {
  const { rowCount } = await database.useNew((connection) =>
    connection.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE pid = ANY (pg_blocking_pids($1)) AND application_name = current_setting('application_name')`,
      [pid],
    ),
  )
  return rowCount
}
