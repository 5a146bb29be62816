/** Every metric of a process, in its own Prometheus registry, in the words that operators know. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

export type Metrics = ReturnType<typeof createMetrics>

/** Renard numbers R10 (ISO 3): ten steps a decade, so that a quantile of smoothly spread values is within 10 %. */
const R10 = [1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8]

/**
 * From −5 s, since a venue's clock may be ahead of ours, over 1 ms to 60 s. No bound is −1: prom-client 15 finds a value
 * above all bounds by the index −1 and would count it there.
 */
const latencyBuckets = [-5, -2.5, -1.25, -0.5, -0.2, -0.1, -0.05, -0.02, -0.01, -0.005, -0.002, -0.001, 0].concat(
  [-3, -2, -1, 0, 1]
    .flatMap((exponent) => R10.map((step) => Number(`${step}e${exponent}`)))
    .filter((bound) => bound < 64),
)

/** 1-2-5 from 0.1 ms to 50 s. */
const secondsBuckets = [-4, -3, -2, -1, 0, 1].flatMap((exponent) =>
  [1, 2, 5].map((step) => Number(`${step}e${exponent}`)),
)

/**
 * Creates the metrics of a process: plain prom-client objects, and the process and event-loop metrics under the names
 * that prom-client gives them (`process_*`, `nodejs_*`).
 */
export function createMetrics() {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const about = (name: string, help: string) => ({ name: `crypto_intel_${name}`, help, registers: [registry] })
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ ...about(name, help), labelNames })
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge({ ...about(name, help), labelNames })
  const histogram = <L extends string>(name: string, help: string, buckets: number[], ...labelNames: L[]) =>
    new Histogram({ ...about(name, help), buckets, labelNames })
  return {
    registry,
    ...flowMetrics(counter, gauge, histogram),
    ...engineMetrics(counter, gauge, histogram),
    ...edgeMetrics(counter, gauge, histogram),
  }
}

type CounterOf = <L extends string>(name: string, help: string, ...labels: L[]) => Counter<L>
type GaugeOf = <L extends string>(name: string, help: string, ...labels: L[]) => Gauge<L>
type HistogramOf = <L extends string>(name: string, help: string, buckets: number[], ...labels: L[]) => Histogram<L>

/** What flows through a step. */
function flowMetrics(counter: CounterOf, gauge: GaugeOf, histogram: HistogramOf) {
  return {
    recordsIn: counter('records_in_total', 'Records read', 'step', 'topic'),
    recordsOut: counter('records_out_total', 'Records written and acknowledged', 'step', 'topic'),
    bytesIn: counter('bytes_in_total', 'Bytes of the values read', 'step', 'topic'),
    bytesOut: counter('bytes_out_total', 'Bytes of the values written and acknowledged', 'step', 'topic'),
    dropped: counter('dropped_records_total', 'Records dropped because their position had been seen', 'step', 'topic'),
    late: counter('late_records_total', 'Records that came after their window closed, kept in dlq.v1', 'step', 'topic'),
    errors: counter('errors_total', 'Errors by class: retryable, poison, fatal', 'step', 'class'),
    deadLetters: counter('dead_letters_total', 'Records sent to dlq.v1', 'step', 'reason'),
    lagRecords: gauge('lag_records', 'Records between the log end and what is processed', 'step', 'topic', 'partition'),
    lagSeconds: gauge(
      'lag_seconds',
      'Age of the newest processed record, 0 at the log end',
      'step',
      'topic',
      'partition',
    ),
    latency: histogram(
      'latency_seconds',
      'From event time to done; negative: the source is ahead',
      latencyBuckets,
      'step',
    ),
  }
}

/** What the machinery does. */
function engineMetrics(counter: CounterOf, gauge: GaugeOf, histogram: HistogramOf) {
  const sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]
  return {
    batchSize: histogram('batch_size_records', 'Records of one task or transaction', sizes, 'step'),
    threadQueueSeconds: histogram('thread_queue_seconds', 'Wait of a task for its thread', secondsBuckets, 'step'),
    threadRunSeconds: histogram('thread_run_seconds', 'Run of a task in its thread', secondsBuckets, 'step'),
    checkpointSeconds: histogram('checkpoint_seconds', 'Time that a checkpoint takes', secondsBuckets, 'step'),
    checkpointAge: gauge('checkpoint_age_seconds', 'Time since the last checkpoint', 'step'),
    snapshots: counter('snapshots_total', 'Slots written whole to state.snapshots.v1', 'step', 'outcome'),
    restored: counter('restored_slots_total', 'Slots that Redis had lost, loaded from their snapshot', 'step'),
    commitSeconds: histogram('commit_seconds', "Time that a sink's transaction takes", secondsBuckets, 'step'),
    queuedBytes: gauge('queued_bytes', 'Bytes between fetch and work, and those that wait for the broker', 'step'),
    restarts: counter('restarts_total', 'Restarts of a step within its process', 'step', 'reason'),
    failedUnits: gauge('failed_units', 'Partition tasks, feeds and services that have failed and wait to be tried again', 'step'), // prettier-ignore
    stalls: counter('stalls_total', 'Partitions that had lag and made no progress', 'step', 'topic'),
    stalledPartitions: gauge('stalled_partitions', 'Partitions that have lag and make no progress now', 'step'),
    groupGeneration: gauge('group_generation', 'Generation of the consumer group: one more a rebalance', 'step'),
  }
}

/** What happens at the edges: feeds, nodes, alert channels. */
function edgeMetrics(counter: CounterOf, gauge: GaugeOf, histogram: HistogramOf) {
  const blocks = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]
  return {
    feedStaleness: gauge('feed_staleness_seconds', 'Time since the feed brought anything', 'feed'),
    clockSkew: gauge('clock_skew_seconds', "The feed's clock minus ours", 'feed'),
    reconnects: counter('reconnects_total', 'Connections opened again', 'connector'),
    malformed: counter(
      'malformed_total',
      'Frames and trades left out because they are not what the venue documents',
      'connector',
    ),
    gaps: counter('gaps_total', 'Gaps found in a feed', 'feed'),
    reorgDepth: histogram('reorg_depth_blocks', 'Blocks that a reorganisation removed', blocks, 'chain'),
    rpcErrors: counter('rpc_errors_total', 'Failed RPC calls', 'provider', 'code'),
    rpcSeconds: histogram('rpc_seconds', 'Duration of an RPC call', secondsBuckets, 'provider', 'method'),
    alertDeliveries: counter('alert_deliveries_total', 'Alerts handed to a channel', 'channel', 'outcome'),
  }
}

/** Counts of a histogram as Prometheus keeps them: how many observations were at most `le`. */
export interface Bucket {
  readonly le: number
  readonly count: number
}

/**
 * The buckets of a histogram in a scraped text, summed over the series that carry `labels`.
 * @param text what /metrics served (https://prometheus.io/docs/instrumenting/exposition_formats/)
 * @param name the histogram's name, such as crypto_intel_latency_seconds
 */
export function scrapedBuckets(text: string, name: string, labels: Readonly<Record<string, string>> = {}): Bucket[] {
  const counts = new Map<number, number>()
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}_bucket{`)) continue
    const found = new Map(
      [...line.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', value = '']) => [label, value]),
    )
    if (Object.entries(labels).some(([label, value]) => found.get(label) !== value)) continue
    const bound = found.get('le') ?? ''
    const le = bound === '+Inf' ? Infinity : Number(bound)
    counts.set(
      le,
      (counts.get(le) ?? 0) +
        Number(
          line
            .slice(line.lastIndexOf('}') + 1)
            .trim()
            .split(' ')[0],
        ),
    )
  }
  return [...counts].map(([le, count]) => ({ le, count })).sort((a, b) => a.le - b.le)
}

/**
 * A quantile from cumulative bucket counts, interpolated within its bucket as PromQL's histogram_quantile does; NaN
 * where nothing was observed, the last finite bound where the quantile lies above it.
 * @param q from 0 to 1
 */
export function histogramQuantile(buckets: readonly Bucket[], q: number): number {
  const total = buckets.at(-1)?.count ?? 0
  if (total === 0) return NaN
  const rank = q * total
  const index = buckets.findIndex(({ count }) => count >= rank)
  const upper = buckets[index]
  const lower = buckets[index - 1]
  if (!upper) return NaN
  if (upper.le === Infinity) return lower?.le ?? NaN
  const from = lower?.le ?? Math.min(0, upper.le)
  const before = lower?.count ?? 0
  return upper.count === before ? upper.le : from + ((upper.le - from) * (rank - before)) / (upper.count - before)
}
