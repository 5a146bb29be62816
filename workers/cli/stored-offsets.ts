/** Where slots stand in their logs; the offset is stored with the results: in Redis for processors, in the database for sinks. */
import type { Step, Topic } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import type { Installation } from '../runtime/installation.ts'
import type { End } from '../runtime/kafka/log-ends.ts'
import { untilAnswered } from '../runtime/kafka/until-answered.ts'
import { forgetSnapshots } from './forget-snapshots.ts'
import { acceptedField } from '../runtime/state/task-notes.ts'
import type { ChosenSlot } from './slots.ts'

/** A time by which no topic can be told to be another, whatever the clocks of brokers and database say. */
const beyondClocks = "date_trunc('milliseconds', now() + interval '1 day')"

/** @returns the next offset that the slot's owner will read, or undefined where it has never stored one. */
export async function storedOffset(slot: ChosenSlot, servers: Installation): Promise<number | undefined> {
  const { step, topic, partition } = slot
  if (step.kind === 'processor') {
    const store = await servers.store()
    return store.offset({ step: step.name, topic: topic.name, partition })
  }
  const database = await servers.database()
  const { rows } = await database.query(
    'SELECT next_offset FROM sink_offsets WHERE step = $1 AND topic = $2 AND partition = $3',
    [step.name, topic.name, partition],
  )
  return rows[0] === undefined ? undefined : Number(rows[0]['next_offset'])
}

/** The logs' first offsets and those behind their last, slot by slot. */
export async function endsOf(
  slots: readonly ChosenSlot[],
  { names, ends }: Installation,
): Promise<{ start: number; end: number }[]> {
  const known = new Map<Topic, readonly End[]>()
  for (const topic of new Set(slots.map(({ topic }) => topic))) known.set(topic, await ends.all(names.topic(topic)))
  return slots.map(({ topic, partition }) => {
    const found = known.get(topic)?.find((one) => one.partition === partition)
    return { start: found?.low ?? 0, end: found?.high ?? 0 }
  })
}

export interface Move {
  readonly slot: ChosenSlot
  readonly offset: number
}

/** Notes that what a step refuses before an offset is rightly refused; its task reads it when it is tried again. */
export async function acceptRefusals(slot: ChosenSlot, until: number, servers: Installation): Promise<void> {
  const { step, topic, partition } = slot
  if (step.kind === 'processor') {
    const store = await servers.store()
    return store.note({ step: step.name, topic: topic.name, partition }, acceptedField, String(until))
  }
  const database = await servers.database()
  const { start = 0 } = (await endsOf([slot], servers))[0] ?? {}
  await database.query(
    `INSERT INTO sink_offsets (step, topic, partition, next_offset, append_time, accepted_until)
     VALUES ($1, $2, $3, $4, ${beyondClocks}, $5)
     ON CONFLICT (step, topic, partition) DO UPDATE SET accepted_until = excluded.accepted_until`,
    [step.name, topic.name, partition, start, until],
  )
}

/** Moves slots of a step that does not run; the Kafka offsets follow, for lag monitors. */
export async function moveOffsets(step: Step, moves: readonly Move[], servers: Installation): Promise<void> {
  for (const { slot, offset } of moves) {
    if (slot.step.kind === 'sink') await moveSink(slot, offset, servers)
    else {
      const store = await servers.store()
      const name = { step: step.name, topic: slot.topic.name, partition: slot.partition }
      if ((await store.offset(name)) === undefined && (await servers.snapshotReader.newest(name, true)) !== undefined) {
        const hint = 'start the step once, so that its snapshot is loaded, and stop it'
        throw new FatalError('offset', `Redis has lost ${name.topic}:${name.partition} of ${name.step}`, { hint })
      }
      // They stand elsewhere, and the one that stands highest counts.
      await forgetSnapshots(servers, [name])
      await store.setOffset(name, offset)
    }
  }
  await untilAnswered(`Committing offsets of ${step.name} to Kafka`, () => commitOffsets(step, moves, servers))
}

/** As a member of the group for a moment; the admin client's own way waits seconds for a fetch of every partition. */
async function commitOffsets(step: Step, moves: readonly Move[], { kafka, names }: Installation): Promise<void> {
  const offsets = moves.map(({ slot, offset }) => ({
    topic: names.topic(slot.topic),
    partition: slot.partition,
    offset: String(offset),
  }))
  const topics = [...new Set(offsets.map(({ topic }) => topic))]
  const consumer = kafka.consumer({ groupId: names.group(step.name), maxWaitTimeInMs: 100 })
  try {
    await consumer.connect()
    await consumer.subscribe({ topics })
    await new Promise<void>((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      consumer.on(consumer.events.GROUP_JOIN, () => consumer.pause(topics.map((topic) => ({ topic }))))
      // Before its first fetch a consumer counts as not running, and would not leave the group when it disconnects.
      consumer.on(consumer.events.FETCH, () => void consumer.commitOffsets(offsets).then(resolve, reject))
      consumer.run({ autoCommit: false, eachBatch: async () => {} }).catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
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
      'DELETE FROM sink_left_out WHERE step = $1 AND topic = $2 AND partition = $3 AND record_offset >= $4',
      [...place, offset],
    )
    await connection.query(
      `INSERT INTO sink_offsets (step, topic, partition, next_offset, append_time)
       VALUES ($1, $2, $3, $4, ${beyondClocks})
       ON CONFLICT (step, topic, partition)
       DO UPDATE SET next_offset = excluded.next_offset, append_time = excluded.append_time, refusals = NULL`,
      [...place, offset],
    )
    await connection.query('COMMIT')
  })
}
