import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMetrics, histogramQuantile, scrapedBuckets } from '../../../workers/runtime/metrics.ts'

const LATENCY = 'crypto_intel_latency_seconds'

describe('createMetrics', () => {
  it('keeps a registry of its own, with process and event-loop metrics', async () => {
    const [one, other] = [createMetrics(), createMetrics()]
    one.recordsIn.inc({ step: 'build-candles', topic: 'market.trades.v1' }, 3)
    expect(await one.registry.metrics()).toContain(
      'crypto_intel_records_in_total{step="build-candles",topic="market.trades.v1"} 3',
    )
    expect(await other.registry.metrics()).not.toContain('build-candles')
    expect(await one.registry.metrics()).toMatch(/nodejs_eventloop_lag_p99_seconds \d/)
  })

  it('names every metric of ours by prefix and unit, and explains it', async () => {
    const own = (await createMetrics().registry.getMetricsAsJSON()).filter(({ name }) =>
      name.startsWith('crypto_intel_'),
    )
    expect(own.length).toBeGreaterThan(25)
    for (const { name, help } of own) {
      expect(name).toMatch(/_(total|seconds|records|bytes|blocks|partitions|units|generation)$/)
      expect(help.length).toBeGreaterThan(5)
    }
  })

  it('shows negative latency', async () => {
    const metrics = createMetrics()
    metrics.latency.observe({ step: 'sink' }, -0.3)
    const buckets = scrapedBuckets(await metrics.registry.metrics(), LATENCY)
    expect(histogramQuantile(buckets, 0.5)).toBeLessThan(-0.2)
  })
})

describe('histogramQuantile', () => {
  /** Deterministic latencies of a distribution given by its inverse. */
  const shapes: Record<string, (p: number) => number> = {
    'log-logistic': (p) => 0.008 * (p / (1 - p)) ** 0.25,
    exponential: (p) => 0.02 * -Math.log(1 - p),
    pareto: (p) => 0.005 / (1 - p) ** 0.5,
  }
  for (const [name, inverse] of Object.entries(shapes)) {
    it(`is within 10 % of the true p50 and p99 of ${name} latencies`, async () => {
      const metrics = createMetrics()
      for (let i = 0; i < 10_000; i++) metrics.latency.observe({ step: 'a' }, inverse((i + 0.5) / 10_000))
      const buckets = scrapedBuckets(await metrics.registry.metrics(), LATENCY, { step: 'a' })
      for (const q of [0.5, 0.99]) {
        const ratio = histogramQuantile(buckets, q) / inverse(q)
        expect(ratio).toBeGreaterThan(0.9)
        expect(ratio).toBeLessThan(1.1)
      }
    })
  }

  it('lies in the bucket of the true quantile, whatever was observed', () => {
    const bounds = [-1, 0, 0.5, 1, 2, 4, 8, Infinity]
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -2, max: 10, noNaN: true }), { minLength: 1, maxLength: 50 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (values, q) => {
          const buckets = bounds.map((le) => ({ le, count: values.filter((value) => value <= le).length }))
          const sorted = values.toSorted((a, b) => a - b)
          const exact = sorted[Math.ceil(q * values.length - 1e-9) - 1] ?? NaN
          const at = bounds.findIndex((le) => exact <= le)
          const [low, high] = [bounds[at - 1] ?? -1, Math.min(bounds[at] ?? NaN, 8)]
          const estimate = histogramQuantile(buckets, q)
          return estimate >= low && estimate <= high
        },
      ),
    )
  })

  it('has no answer where nothing was observed', () => {
    expect(histogramQuantile([], 0.5)).toBeNaN()
    expect(histogramQuantile([{ le: 1, count: 0 }], 0.5)).toBeNaN()
  })
})

describe('scrapedBuckets', () => {
  it('sums the series that carry the labels', () => {
    const text = [
      'h_bucket{le="1",step="a",host="x"} 1',
      'h_bucket{le="+Inf",step="a",host="x"} 2',
      'h_bucket{step="a",le="1",host="}y"} 10',
      'h_bucket{step="a",le="+Inf",host="}y"} 20 1700000000000',
      'h_bucket{step="b",le="1"} 100',
      'h_bucket_other{step="a",le="1"} 1000',
      'h_sum{step="a"} 5',
    ].join('\n')
    expect(scrapedBuckets(text, 'h', { step: 'a' })).toEqual([
      { le: 1, count: 11 },
      { le: Infinity, count: 22 },
    ])
  })
})

it('counts a latency above every bound in the last bucket alone', async () => {
  const metrics = createMetrics()
  metrics.latency.observe({ step: 'replay' }, 70_000_000)
  const buckets = scrapedBuckets(await metrics.registry.metrics(), 'crypto_intel_latency_seconds', { step: 'replay' })
  expect(buckets.filter(({ count }) => count > 0)).toEqual([{ le: Infinity, count: 1 }])
})
