/** Every metric that operators are promised is there for every step of the topology from its start on, and moves with traffic. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { samplesOf, type Sample } from '../../ops/local/demo/readings.ts'
import { startExchange, type Exchange } from '../../ops/local/exchange/exchange.ts'
import { freePort } from '../../ops/local/ports.ts'
import { topics } from '../../schemas/topics.ts'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import type { Step } from '../../workers/runtime/definitions.ts'
import { inputsOf, outputsOf } from '../../workers/runtime/topology.ts'
import { startTestPipeline, type TestPipeline } from '../support/pipeline.ts'
import { eventually } from '../support/servers.ts'

type Labels = Readonly<Record<string, string>>
/** A metric without `crypto_intel_`, and the labels that each of its series must be there with. */
type Promised = readonly [metric: string, labels: readonly Labels[]]

const chain = { chainId: 31_337, name: 'local', finalityDepth: 30, blockTime: '1s', native: { symbol: 'ETH', decimals: 18, priceUsd: 3_000 } } // prettier-ignore
const symbols = ['BTC-USDT', 'ETH-USDT']
const feedsOf: Readonly<Record<string, readonly string[]>> = {
  'binance-spot': symbols.map((symbol) => `binance-spot:${symbol}`),
  evm: [`evm:${chain.chainId}`],
}

const of = (step: Step): Labels => ({ step: step.name })
const reads = (step: Step): Labels[] => inputsOf(step).map(({ name }) => ({ step: step.name, topic: name }))
const writes = (step: Step): Labels[] => {
  const beside = { connector: topics.feedsCursors.name, processor: topics.deadLetters.name, sink: 'database' }[
    step.kind
  ]
  return [...outputsOf(step).map(({ name }) => name), beside].map((topic) => ({ step: step.name, topic }))
}
const partitions = (step: Step): Labels[] => {
  const read = step.kind === 'connector' ? [topics.feedsCursors] : inputsOf(step)
  return read.flatMap(({ name, partitions: count }) =>
    Array.from({ length: count }, (_, partition) => ({ step: step.name, topic: name, partition: String(partition) })),
  )
}
const feeds = (step: Step): Labels[] => (feedsOf[step.name] ?? []).map((feed) => ({ feed }))
const only = (kind: Step['kind'], labels: (step: Step) => Labels[]) => (step: Step) =>
  step.kind === kind ? labels(step) : []
const each = (step: Step, label: string, values: readonly string[]): Labels[] =>
  values.map((value) => ({ ...of(step), [label]: value }))

/** The words of the design's chapter on operations, and the metrics that carry them. */
const promises = (node: string): Readonly<Record<string, (step: Step) => Promised[]>> => ({
  'records and bytes in and out per step and topic': (step) => [
    ['records_in_total', reads(step)],
    ['bytes_in_total', reads(step)],
    ['records_out_total', writes(step)],
    ['bytes_out_total', writes(step)],
  ],
  'errors by class': (step) => [['errors_total', each(step, 'class', ['retryable', 'poison', 'fatal'])]],
  DLQ: (step) => [
    ['dead_letters_total', step.kind === 'connector' ? [] : each(step, 'reason', ['poison', 'late', 'rejected'])],
    ['late_records_total', only('processor', reads)(step)],
  ],
  'consumer lag in records and in seconds': (step) => [
    ['lag_records', partitions(step)],
    ['lag_seconds', partitions(step)],
  ],
  'end-to-end latency histogram (event time → done)': (step) => [['latency_seconds_count', [of(step)]]],
  'batch sizes': (step) => [['batch_size_records_count', [of(step)]]],
  'thread queue and run time': (step) => [
    ['thread_queue_seconds_count', only('processor', (one) => [of(one)])(step)],
    ['thread_run_seconds_count', only('processor', (one) => [of(one)])(step)],
  ],
  'event-loop delay': () => [['nodejs_eventloop_lag_p99_seconds', [{}]]],
  'checkpoint time': (step) => [
    ['checkpoint_seconds_count', only('processor', (one) => [of(one)])(step)],
    ['checkpoint_age_seconds', only('processor', (one) => [of(one)])(step)],
    ['commit_seconds_count', only('sink', (one) => [of(one)])(step)],
  ],
  'per-feed staleness': (step) => [['feed_staleness_seconds', feeds(step)]],
  reconnects: (step) => [['reconnects_total', only('connector', (one) => [{ connector: one.name }])(step)]],
  gaps: (step) => [['gaps_total', feeds(step)]],
  'reorg depth': (step) => [['reorg_depth_blocks_count', step.name === 'evm' ? [{ chain: chain.name }] : []]],
  'RPC errors per provider': (step) => {
    const codes = ['unavailable', 'timeout', 'rate-limited', 'stale-upstream', 'inconsistent-upstream']
    return [['rpc_errors_total', step.name === 'evm' ? codes.map((code) => ({ provider: node, code })) : []]]
  },
  'alert deliveries per channel and outcome': (step) => {
    const outcomes = ['sent', 'retry', 'rejected', 'gone']
    const labels = outcomes.map((outcome) => ({ channel: 'hook', outcome }))
    return [['alert_deliveries_total', step.name === 'alert-outbox' ? labels : []]]
  },
})

describe('metrics', () => {
  let exchange: Exchange
  let pipeline: TestPipeline
  let node: string

  beforeAll(async () => {
    exchange = await startExchange({ seed: 1, symbols, tradesPerSecond: 40, historyS: 0 })
    // Nobody listens: the chain's connector has errors to count.
    node = `127.0.0.1:${await freePort()}`
    pipeline = await startTestPipeline({
      groups: [{ name: 'all', steps: cryptoIntel.steps.map(({ name }) => name) }],
      watch: {
        venues: { 'binance-spot': { symbols } },
        chains: [chain],
        channels: { hook: { kind: 'webhook', url: 'http://127.0.0.1:9/', secretFrom: 'HOOK_SECRET' } },
      },
      env: {
        BINANCE_SPOT_REST_URL: exchange.restUrl,
        BINANCE_SPOT_WS_URL: exchange.wsUrl,
        EVM_RPC_URLS: `${chain.chainId}=http://${node}`,
        HOOK_SECRET: 'whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0',
      },
    })
  }, 120_000)
  afterAll(async () => {
    await pipeline?.stop()
    await exchange?.stop()
  }, 60_000)

  const scrape = async (): Promise<Sample[]> => (await pipeline.workers.scrape()).flatMap(samplesOf)

  test.each(cryptoIntel.steps.map((step) => [step.name, step] as const))(
    '%s has every metric that is promised',
    async (_, step) => {
      await eventually(async () => {
        const samples = await scrape()
        const missing = Object.entries(promises(node)).flatMap(([words, promised]) =>
          promised(step).flatMap(([metric, series]) =>
            series
              .filter((labels) => find(samples, metric, labels) === undefined)
              .map((labels) => `${words}: ${metric} ${JSON.stringify(labels)}`),
          ),
        )
        expect(missing).toEqual([])
      })
    },
  )

  test('each promise is kept by a step at the least', () => {
    for (const [words, promised] of Object.entries(promises(node))) {
      const metrics = new Set(cryptoIntel.steps.flatMap((step) => promised(step).map(([metric]) => metric)))
      for (const metric of metrics) {
        const keeping = cryptoIntel.steps.filter((step) => promised(step).some(([name, on]) => name === metric && on.length > 0)) // prettier-ignore
        expect(keeping.length, `${words}: ${metric}`).toBeGreaterThan(0)
      }
    }
  })

  test('what flows is counted and timed', { timeout: 40_000 }, async () => {
    const trades = topics.marketTrades.name
    const moving: Promised[] = [
      [
        'records_out_total',
        [
          { step: 'binance-spot', topic: trades },
          { step: 'timescale-trades', topic: 'database' },
        ],
      ],
      [
        'bytes_out_total',
        [
          { step: 'binance-spot', topic: trades },
          { step: 'timescale-trades', topic: 'database' },
        ],
      ],
      [
        'records_in_total',
        [
          { step: 'build-candles', topic: trades },
          { step: 'timescale-trades', topic: trades },
        ],
      ],
      [
        'bytes_in_total',
        [
          { step: 'build-candles', topic: trades },
          { step: 'timescale-trades', topic: trades },
        ],
      ],
      ['latency_seconds_count', [{ step: 'binance-spot' }, { step: 'build-candles' }, { step: 'timescale-trades' }]],
      ['batch_size_records_count', [{ step: 'binance-spot' }, { step: 'build-candles' }, { step: 'timescale-trades' }]],
      ['thread_run_seconds_count', [{ step: 'build-candles' }]],
      ['checkpoint_seconds_count', [{ step: 'build-candles' }]],
      ['commit_seconds_count', [{ step: 'timescale-trades' }]],
      ['rpc_errors_total', [{ provider: node, code: 'unavailable' }]],
      ['rpc_seconds_count', [{ provider: node }]],
      ['feed_staleness_seconds', [{ feed: feedsOf['evm']?.[0] ?? '' }]],
    ]
    await eventually(
      async () => {
        const samples = await scrape()
        const still = moving.flatMap(([metric, series]) =>
          series.filter((labels) => !(Number(find(samples, metric, labels)) > 0)).map((labels) => [metric, labels]),
        )
        expect(still).toEqual([])
      },
      { timeoutMs: 30_000 },
    )
  })
})

function find(samples: readonly Sample[], metric: string, labels: Labels): number | undefined {
  const name = metric.startsWith('nodejs_') ? metric : `crypto_intel_${metric}`
  const wanted = Object.entries(labels)
  return samples.find(
    (sample) => sample.name === name && wanted.every(([key, value]) => sample.labels.get(key) === value),
  )?.value
}
