/** What PromQL expressions name, and what the workers and Prometheus have of it. */
import { createMetrics } from '../../workers/runtime/metrics.ts'

/** Made by Prometheus itself: https://prometheus.io/docs/concepts/jobs_instances/ and its alerting rules. */
const ofPrometheus: readonly [string, readonly string[]][] = [
  ['up', []],
  ['ALERTS', ['alertname', 'alertstate', 'severity']],
]
/** Added by the scrape; `service` by the relabelling in prometheus.yml. */
const ofScrape = ['job', 'instance', 'service']

/** The labels of each series by its name; a histogram has three. */
export const knownSeries: ReadonlyMap<string, readonly string[]> = new Map([
  ...ofPrometheus.map(([name, labels]) => [name, [...ofScrape, ...labels]] as const),
  ...createMetrics()
    .registry.getMetricsAsArray()
    .flatMap((metric) => {
      const own = 'labelNames' in metric && Array.isArray(metric.labelNames) ? metric.labelNames.map(String) : []
      const labels = [...ofScrape, ...own]
      const series: [string, readonly string[]][] = [[metric.name, labels]]
      // prom-client: the type's text is 'histogram'.
      if (String(metric.type) !== 'histogram') return series
      return [...series, [`${metric.name}_bucket`, [...labels, 'le']], [`${metric.name}_sum`, labels], [`${metric.name}_count`, labels]] as const // prettier-ignore
    }),
])

/** The metrics that a PromQL expression names: what is neither label, function, operator nor number. */
export function metricsIn(expr: string): string[] {
  const bare = expr
    .replace(/"[^"]*"/g, '""')
    .replace(/\{[^}]*\}|\[[^\]]*\]|\boffset\s+\w+/g, ' ')
    .replace(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, ' ')
  return (bare.match(/\b[a-z_][\w:]*\b(?!\s*\()/gi) ?? []).filter((word) => !['and', 'or', 'unless'].includes(word))
}

/** The labels that an expression matches or groups by. */
export function labelsIn(expr: string): string[] {
  const grouped = [...expr.matchAll(/\bby\s*\(([^)]*)\)/g)].flatMap(([, labels = '']) => labels.split(/,\s*/))
  const matched = [...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, matchers = '']) =>
    [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
  )
  return [...grouped, ...matched]
}
