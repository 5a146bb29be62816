/** The offsets that are stored with the results: in Redis for processors, in the database for sinks. */
import type { Admin } from 'kafkajs'
import type { Installation } from '../runtime/installation.ts'
import type { ChosenSlot } from './slots.ts'

/** @returns the next offset that the slot's owner will read, or undefined where it has never stored one. */
export async function storedOffset(slot: ChosenSlot, servers: Installation): Promise<number | undefined> {
  const { step, topic, partition } = slot
  if (step.kind === 'processor') {
    const store = await servers.store()
    return (await store.read({ step: step.name, topic: topic.name, partition })).offset
  }
  const database = await servers.database()
  const { rows } = await database.query(
    'SELECT next_offset FROM sink_offsets WHERE step = $1 AND topic = $2 AND partition = $3',
    [step.name, topic.name, partition],
  )
  return rows[0] === undefined ? undefined : Number(rows[0]['next_offset'])
}

/** Moves a slot whose owner does not run; the Kafka offset follows, for lag monitors. */
export async function moveOffset(slot: ChosenSlot, offset: number, servers: Installation, admin: Admin): Promise<void> {
  const { step, topic, partition } = slot
  if (step.kind === 'processor') {
    const store = await servers.store()
    await store.setOffset({ step: step.name, topic: topic.name, partition }, offset)
  } else await moveSink(slot, offset, servers)
  const partitions = [{ partition, offset: String(offset) }]
  await admin.setOffsets({ groupId: servers.names.group(step.name), topic: servers.names.topic(topic), partitions })
}

/**
 * A sink's positions are forgotten, so that it writes again what it reads again. What it reads next was appended after
 * any time that can be stored now, so the time by which a recreated topic is told is set beyond the clocks' differences.
 */
async function moveSink({ step, topic, partition }: ChosenSlot, offset: number, servers: Installation): Promise<void> {
  const place = [step.name, topic.name, partition]
  const database = await servers.database()
  await database.use(async (connection) => {
    await connection.query('BEGIN')
    await connection.query('DELETE FROM sink_positions WHERE step = $1 AND topic = $2 AND partition = $3', place)
    await connection.query(
      `INSERT INTO sink_offsets (step, topic, partition, next_offset, append_time)
       VALUES ($1, $2, $3, $4, date_trunc('milliseconds', now() + interval '1 day'))
       ON CONFLICT (step, topic, partition)
       DO UPDATE SET next_offset = excluded.next_offset, append_time = excluded.append_time`,
      [...place, offset],
    )
    await connection.query('COMMIT')
  })
}
