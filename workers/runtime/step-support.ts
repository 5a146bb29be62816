/** What the hosts of processors, sinks and connectors have in common. */
import type { Context, Topic } from './definitions.ts'
import { oneLine } from './errors.ts'
import type { Installation } from './installation.ts'
import { topics } from '../../schemas/topics.ts'
import { Accumulator } from './kafka/accumulator.ts'
import type { Group } from './kafka/group.ts'

const reportMs = 1_000
/** A restart or a resent batch is over sooner; longer means that a writer's sequence has gone back. */
const droppingErrorMs = 10_000

/** Registers what a step writes, and the dead letters. @returns schema ids by topic name. */
export function registerSchemas(installation: Installation, outputs: readonly Topic[]): Promise<Map<string, number>> {
  return installation.registry.registerAll(new Set([...outputs, topics.deadLetters]))
}

/** The producing side of a step, with its metrics. */
export async function createAccumulator(
  installation: Installation,
  context: Context,
  step: string,
): Promise<Accumulator> {
  const { metrics, log, config } = context
  const logical = new Map(Object.values(topics).map((topic) => [installation.names.topic(topic), topic.name]))
  return new Accumulator({
    producer: await installation.producer(),
    config,
    onAcknowledged: (name, messages, bytes, time) => {
      const topic = logical.get(name) ?? name
      metrics.recordsOut.inc({ step, topic }, messages)
      metrics.bytesOut.inc({ step, topic }, bytes)
      // Only what a connector sends has a time: where tasks and transactions end, their own code measures.
      if (time === undefined) return
      metrics.batchSize.observe({ step }, messages)
      metrics.latency.observe({ step }, (context.now() - time) / 1_000_000)
    },
    onRetry: (error) => {
      metrics.errors.inc({ step, class: 'retryable' })
      log.warn({ error }, 'producing is tried again')
    },
    onFatal: (error) => log.error({ error: oneLine(error) }, 'what was to be sent is refused'),
  })
}

/** A step that runs in this process. */
export interface RunningStep {
  readonly name: string
  /** Ends what is in flight and leaves the group. */
  stop(): Promise<void>
}

/** Registers the health of a step's group and reports its lag each second. @returns ends both */
export function reportGroup(
  installation: Installation,
  step: string,
  group: Group,
  accumulator: Pick<Accumulator, 'retrying' | 'queuedBytes'>,
  more: () => void,
): () => void {
  const { metrics, config, log } = installation.context
  let reported = new Map<string, { step: string; topic: string; partition: number }>()
  let onlyDrops = false
  const timer = setInterval(() => {
    try {
      let queued = accumulator.queuedBytes
      let dropping = 0
      for (const slot of group.slots) {
        queued += slot.queuedBytes
        dropping = Math.max(dropping, slot.droppingMs)
      }
      const wasDropping = onlyDrops
      onlyDrops = dropping > droppingErrorMs
      if (onlyDrops && !wasDropping)
        log.error({ step }, 'nothing but records seen before: a writer has gone back in its sequence')
      metrics.queuedBytes.set({ step }, queued)
      metrics.stalledPartitions.set({ step }, group.stalled)
      metrics.groupGeneration.set({ step }, group.generation)
      const now: typeof reported = new Map()
      for (const { topic, partition, records, seconds } of group.lags()) {
        const labels = { step, topic, partition }
        now.set(`${topic}:${partition}`, labels)
        metrics.lagRecords.set(labels, records)
        metrics.lagSeconds.set(labels, seconds)
      }
      // What another replica holds now is its to report.
      for (const [name, labels] of reported) {
        if (now.has(name)) continue
        metrics.lagRecords.remove(labels)
        metrics.lagSeconds.remove(labels)
      }
      reported = now
      more()
    } catch (error) {
      log.warn({ step, error: oneLine(error) }, 'reporting')
    }
  }, reportMs)
  const forget = installation.health.register(step, () => {
    const stalled = group.stalledMs()
    // Who waits for the brokers works as it should; a restart would not bring them back.
    const live = stalled < 4 * config.stallMs || accumulator.retrying
    const detail = live ? 'has not joined its group yet' : `nothing was worked off for ${Math.round(stalled / 1_000)} s`
    return { ready: group.joined && live, live, detail }
  })
  return () => {
    clearInterval(timer)
    forget()
  }
}
