/** Finds the rows that the database refuses among those that it takes, and tells a row at fault from tables at fault. */
import { sqlState, type Connection } from './database.ts'
import { classify, FatalError, oneLine } from './errors.ts'
import type { SinkBatch } from './sink-writer.ts'

/** A record that cannot be written: a value that no column takes, or one that the server refused (SQLSTATE class 22, 23, 54). */
export interface Rejected {
  /** Index among the batch's records. */
  readonly index: number
  readonly error: unknown
}

/** Rows tried one by one before a batch is taken apart; where none of them is taken, rows are not what is at fault. */
const sample = 32

type Batch<In extends object> = Pick<SinkBatch<In>, 'sink' | 'records' | 'traces' | 'slot' | 'accepted'>

/** Whether an error may be a row's own fault. A partition that is missing is reported like a value that a check refuses. */
export function isRefusal(error: unknown): boolean {
  return classify(error) === 'poison' && !isMissingPartition(error)
}

/** PostgreSQL's src/backend/executor/execPartition.c (ExecFindPartition): check_violation that names no constraint. */
const isMissingPartition = (error: unknown): boolean =>
  sqlState(error) === '23514' && typeof error === 'object' && error !== null && !('constraint' in error && error.constraint !== undefined) // prettier-ignore

/**
 * Writes what can be written of records that were refused together, by bisection.
 * @param refusal what they were refused with
 * @returns those that were refused by themselves
 * @throws FatalError `broken` where no row is taken, and not even none
 */
export async function narrow<In extends object>(
  connection: Connection,
  batch: Batch<In>,
  refusal: unknown,
): Promise<readonly Rejected[]> {
  const count = batch.records.length
  if (count >= sample && batch.accepted !== true) await assertSomeTaken(connection, batch, refusal)
  const rejected = await halve(connection, batch, 0, count, refusal)
  // Another row that was taken is proof enough that the tables take rows.
  if (rejected.length === count) await assertTakesNone(connection, batch, refusal)
  return rejected
}

async function halve<In extends object>(
  connection: Connection,
  batch: Batch<In>,
  from: number,
  to: number,
  refusal: unknown,
): Promise<readonly Rejected[]> {
  if (to - from <= 1) return [{ index: from, error: refusal }]
  const middle = (from + to) >>> 1
  const rejected: Rejected[] = []
  for (const [start, end] of [[from, middle] as const, [middle, to] as const]) {
    const fault = await attempt(connection, batch, start, end, 'RELEASE SAVEPOINT part')
    if (fault !== undefined) rejected.push(...(await halve(connection, batch, start, end, fault.error)))
  }
  return rejected
}

/** @throws FatalError where not one of some rows, evenly spread, is taken */
async function assertSomeTaken<In extends object>(
  connection: Connection,
  batch: Batch<In>,
  refusal: unknown,
): Promise<void> {
  for (let tried = 0; tried < sample; tried++) {
    const at = Math.floor((tried * batch.records.length) / sample)
    if ((await attempt(connection, batch, at, at + 1, 'ROLLBACK TO SAVEPOINT part')) === undefined) return
  }
  throw broken(batch, refusal, `not one of ${sample} rows is taken`, `; if the records are at fault: npm start -- dlq accept ${batch.sink.name}`) // prettier-ignore
}

/** @throws FatalError where the same write is refused without any row */
async function assertTakesNone<In extends object>(
  connection: Connection,
  batch: Batch<In>,
  refusal: unknown,
): Promise<void> {
  const fault = await attempt(connection, batch, 0, 0, 'ROLLBACK TO SAVEPOINT part')
  if (fault !== undefined) throw broken(batch, refusal, 'the same write is refused without a row')
}

/** Writes a part under a savepoint of its own. @returns what it was refused with, undefined where it was taken */
async function attempt<In extends object>(
  connection: Connection,
  { sink, records, traces }: Batch<In>,
  from: number,
  to: number,
  taken: 'RELEASE SAVEPOINT part' | 'ROLLBACK TO SAVEPOINT part',
): Promise<{ readonly error: unknown } | undefined> {
  await connection.query('SAVEPOINT part')
  try {
    await sink.write(records.slice(from, to), connection, traces?.slice(from, to) ?? [])
  } catch (error) {
    if (!isRefusal(error)) throw error
    await connection.query('ROLLBACK TO SAVEPOINT part')
    await connection.query('RELEASE SAVEPOINT part')
    return { error }
  }
  await connection.query(taken)
  if (taken !== 'RELEASE SAVEPOINT part') await connection.query('RELEASE SAVEPOINT part')
  return undefined
}

function broken<In extends object>({ slot, sink }: Batch<In>, refusal: unknown, why: string, more = ''): FatalError {
  const hint = `look at its tables: constraints, triggers, partitions, migrations; once mended it goes on by itself${more}`
  const message = `${sink.name} cannot write ${slot.topic}:${slot.partition}, ${why}: ${oneLine(refusal)}`
  return new FatalError('broken', message, { hint })
}
