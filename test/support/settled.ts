/** Waits until steps have worked off their topics, by what they have stored. */
import assert from 'node:assert/strict'
import { loadConfig } from '../../workers/runtime/config.ts'
import { connectDatabase } from '../../workers/runtime/database.ts'
import type { Processor, Sink } from '../../workers/runtime/definitions.ts'
import { createKafka, createNames } from '../../workers/runtime/kafka/client.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { RedisStore } from '../../workers/runtime/state/redis-store.ts'
import { inputsOf } from '../../workers/runtime/topology.ts'
import { eventually } from './servers.ts'
import { endsOf } from './topics.ts'

/** Resolves when every slot stands at the end of its log; looks twice, since what one step writes another has yet to read. */
export async function settled(
  env: Readonly<Record<string, string>>,
  steps: readonly (Processor | Sink)[],
  timeoutMs = 60_000,
): Promise<void> {
  const config = loadConfig({ ...env, LOG_LEVEL: 'silent' })
  const admin = createKafka(config, createLogger(config, 'settled')).admin()
  const store = await RedisStore.connect(config, () => {})
  const database = await connectDatabase({ url: config.databaseUrl, connections: 1 })
  const names = createNames(config.namespace)
  await admin.connect()

  const storedOf = async (step: Processor | Sink, topic: string, partition: number): Promise<number> => {
    if (step.kind === 'processor') return (await store.offset({ step: step.name, topic, partition })) ?? 0
    const sql = 'SELECT next_offset FROM sink_offsets WHERE step = $1 AND topic = $2 AND partition = $3'
    const { rows } = await database.query(sql, [step.name, topic, partition])
    return Number(rows[0]?.['next_offset'] ?? 0)
  }
  const behind = async (): Promise<string[]> => {
    const left: string[] = []
    for (const topic of new Set(steps.flatMap(inputsOf))) {
      const ends = await endsOf(admin, names.topic(topic))
      for (const step of steps.filter((one) => inputsOf(one).includes(topic)))
        for (const { partition, high } of ends) {
          const stored = await storedOf(step, topic.name, partition)
          if (stored < high) left.push(`${step.name} ${topic.name}:${partition} ${stored} of ${high}`)
        }
    }
    return left
  }
  try {
    for (let time = 0; time < 2; time++)
      await eventually(async () => assert.deepEqual(await behind(), []), { timeoutMs })
  } finally {
    await Promise.all([admin.disconnect(), store.close(), database.close()])
  }
}
