/**
 * Gives the metrics of a step their series when it starts, at 0: of a series that begins with its first event `increase` does
 * not see that event (https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics).
 */
import { topics } from '../../schemas/topics.ts'
import type { DeadReason } from './dead-letters.ts'
import type { Context, Micros, Step } from './definitions.ts'
import type { ErrorClass } from './errors.ts'
import { inputsOf, outputsOf } from './topology.ts'

/** What a sink writes to, where a processor has a topic. */
export const databaseTopic = 'database'

const errorClasses: readonly ErrorClass[] = ['retryable', 'poison', 'fatal']
const deadReasons: readonly DeadReason[] = ['poison', 'late', 'rejected']

/** Event time of a record, by which latency is measured. */
export const eventTimeOf = (record: object): Micros | undefined =>
  'ts' in record && typeof record.ts === 'number' ? record.ts : undefined

/** Called once for each step of a process, before it starts. */
export function beginMetrics(step: Step, context: Pick<Context, 'metrics' | 'watch'>): void {
  const { metrics } = context
  for (const error of errorClasses) metrics.errors.inc({ step: step.name, class: error }, 0)
  for (const reason of ['crash', 'stall']) metrics.restarts.inc({ step: step.name, reason }, 0)
  metrics.latency.zero({ step: step.name })
  metrics.batchSize.zero({ step: step.name })
  for (const { name: topic } of inputsOf(step)) {
    for (const counter of [metrics.recordsIn, metrics.bytesIn, metrics.dropped, metrics.late, metrics.stalls])
      counter.inc({ step: step.name, topic }, 0)
  }
  for (const topic of writtenBy(step)) {
    metrics.recordsOut.inc({ step: step.name, topic }, 0)
    metrics.bytesOut.inc({ step: step.name, topic }, 0)
  }
  switch (step.kind) {
    case 'connector':
      return beginFeeds(step, context)
    case 'processor':
      metrics.restarts.inc({ step: step.name, reason: 'thread' }, 0)
      metrics.threadQueueSeconds.zero({ step: step.name })
      metrics.threadRunSeconds.zero({ step: step.name })
      metrics.checkpointSeconds.zero({ step: step.name })
      metrics.checkpointAge.set({ step: step.name }, 0)
      metrics.restored.inc({ step: step.name }, 0)
      for (const outcome of ['written', 'failed']) metrics.snapshots.inc({ step: step.name, outcome }, 0)
      break
    case 'sink':
      metrics.commitSeconds.zero({ step: step.name })
  }
  for (const reason of deadReasons) metrics.deadLetters.inc({ step: step.name, reason }, 0)
}

function writtenBy(step: Step): string[] {
  const own = outputsOf(step).map(({ name }) => name)
  if (step.kind === 'connector') return [...own, topics.feedsCursors.name]
  return [...own, ...(step.kind === 'sink' ? [databaseTopic] : []), topics.deadLetters.name]
}

/** What the feeds of a connector count; how stale they are is told by the replica that holds them. */
function beginFeeds(
  step: Extract<Step, { kind: 'connector' }>,
  { metrics, watch }: Pick<Context, 'metrics' | 'watch'>,
): void {
  metrics.reconnects.inc({ connector: step.name }, 0)
  for (const feed of step.feeds(watch)) metrics.gaps.inc({ feed }, 0)
  if (step.outputs.some(({ name }) => name === topics.chainBlocks.name))
    for (const { name: chain } of watch.chains) metrics.reorgDepth.zero({ chain })
}
