/** What the workers' metrics say, summed over processes. */
import { histogramQuantile, scrapedBuckets, type Bucket } from '../../../workers/runtime/metrics.ts'

export interface StepReading {
  readonly name: string
  readonly in: number
  readonly out: number
  readonly errors: number
  readonly lag: number
}

export interface Sample {
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
}

/** @returns the samples of the Prometheus text format. */
export function samplesOf(text: string): Sample[] {
  return text.split('\n').flatMap((line) => {
    const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line) ?? []
    if (name === '') return []
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(
      ([, key = '', text = '']): [string, string] => [key, text],
    )
    return [{ name, labels: new Map(pairs), value: Number(value) }]
  })
}

/** @returns what each step has read and written, its errors, and its lag. */
export function readSteps(texts: readonly string[], steps: readonly string[]): StepReading[] {
  const samples = texts.flatMap(samplesOf)
  const sum = (step: string, name: string): number =>
    samples.reduce(
      (total, sample) =>
        sample.name === `crypto_intel_${name}` && sample.labels.get('step') === step ? total + sample.value : total,
      0,
    )
  return steps.map((name) => ({
    name,
    in: sum(name, 'records_in_total'),
    out: sum(name, 'records_out_total'),
    errors: sum(name, 'errors_total'),
    lag: sum(name, 'lag_records'),
  }))
}

/** The latency histogram of a step, summed over processes. */
export function latencyBuckets(texts: readonly string[], step: string): Bucket[] {
  const sums = new Map<number, number>()
  for (const text of texts) {
    for (const { le, count } of scrapedBuckets(text, 'crypto_intel_latency_seconds', { step }))
      sums.set(le, (sums.get(le) ?? 0) + count)
  }
  return [...sums].map(([le, count]) => ({ le, count })).toSorted((a, b) => a.le - b.le)
}

/** Quantiles of what was observed between two readings, in milliseconds; null where there was nothing. */
export function quantilesBetween(
  before: readonly Bucket[],
  after: readonly Bucket[],
): { p50: number | null; p99: number | null } {
  const earlier = new Map(before.map(({ le, count }) => [le, count]))
  const between = after.map(({ le, count }) => ({ le, count: count - (earlier.get(le) ?? 0) }))
  const at = (q: number): number | null => {
    const value = histogramQuantile(between, q)
    return Number.isNaN(value) ? null : Math.round(value * 1_000 * 10) / 10
  }
  return { p50: at(0.5), p99: at(0.99) }
}

/** Quantiles of a list, by the nearest rank. */
export function quantilesOf(values: readonly number[]): { p50: number | null; p99: number | null } {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (q: number): number | null => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? null
  return { p50: at(0.5), p99: at(0.99) }
}
