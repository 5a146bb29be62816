/** What a demo says at its end. */
import { topics } from '../../../schemas/topics.ts'
import { createKafka, createNames } from '../../../workers/runtime/kafka/client.ts'
import { LogEnds } from '../../../workers/runtime/kafka/log-ends.ts'
import { answerMs } from '../../../workers/runtime/kafka/until-answered.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { createLogger } from '../../../workers/runtime/logger.ts'
import type { AlertOutcome } from './alert-checks.ts'
import type { Check } from './checks.ts'
import type { PlantedResult } from './planted-checks.ts'
import type { StepReading } from './readings.ts'

type Quantiles = { readonly p50: number | null; readonly p99: number | null }

export interface DemoReport {
  readonly ok: boolean
  readonly durationS: number
  readonly steps: readonly StepReading[]
  /** Messages in each topic, time marks among them. */
  readonly topics: Readonly<Record<string, number>>
  readonly tables: Readonly<Record<string, number>>
  readonly alerts: Pick<AlertOutcome, 'fired' | 'delivered' | 'byRule'>
  readonly latencyMs: { readonly eventToRow: Quantiles; readonly eventToAlert: Quantiles }
  readonly planted: readonly PlantedResult[]
  readonly checks: readonly Check[]
}

export const allOk = (checks: readonly Check[]): boolean => checks.every(({ ok }) => ok)

/** Counts the messages of each topic. */
export async function countTopics(env: Readonly<Record<string, string>>): Promise<Record<string, number>> {
  const config = loadConfig({ ...env, LOG_LEVEL: 'silent' })
  const names = createNames(config.namespace)
  const admin = createKafka(config, createLogger(config, 'demo')).admin()
  const ends = new LogEnds(async () => admin, { patienceMs: answerMs })
  await admin.connect()
  try {
    const counts: Record<string, number> = {}
    for (const topic of Object.values(topics)) {
      const found = await ends.all(names.topic(topic))
      counts[topic.name] = found.reduce((sum, { high, low }) => sum + high - low, 0)
    }
    return counts
  } finally {
    await admin.disconnect()
  }
}
