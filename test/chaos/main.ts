/** `npm run chaos -- --minutes 10 --seed 1 [--trades 300] [--json]`: exit code 0 where nothing was lost and nothing counted twice. */
import { parseArgs } from 'node:util'
import { runChaos, type ChaosReport } from './chaos.ts'
import { faultPlaces } from '../../workers/runtime/test-errors.ts'
import { kinds, sorts, workerFaults } from './plan.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    trades: { type: 'string', default: '300' },
    json: { type: 'boolean', default: false },
  },
})

function number(name: 'minutes' | 'seed' | 'trades'): number {
  const value = Number(values[name])
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${name} takes a number, not ${values[name]}`)
  return value
}

try {
  const report = await runChaos({
    minutes: number('minutes'),
    seed: number('seed'),
    tradesPerSecond: number('trades'),
    pauseMs: [500, 6_000],
    delivered: true,
    dirty: { pauseMs: [50, 1_000], oneIn: 1_000, bugMs: Math.min(60_000, number('minutes') * 10_000) },
    onProgress: (line) => void process.stderr.write(`chaos: ${line}\n`),
  })
  if (!values.json) process.stdout.write(`${render(report)}\n`)
  process.stdout.write(`${JSON.stringify(report)}\n`)
  process.exitCode = report.differences.length === 0 ? 0 : 1
} catch (error) {
  const said = error instanceof Error ? (error.stack ?? error.message) : String(error)
  // What else was under way would go on until the time is over.
  process.stderr.write(`chaos: ${said}\n`, () => process.exit(2))
}

const listed = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(', ') // prettier-ignore

function render(report: ChaosReport): string {
  const times = (what: string): string => String(report.injections.filter((one) => one.what === what).length)
  const cell = (text: string): string => text.padEnd(14)
  const recoveries = report.injections.map(({ atS, what, recoveryMs }) => `  ${String(atS).padStart(6)} s  ${what.padEnd(22)}${recoveryMs === null ? 'with the drain' : `${(recoveryMs / 1_000).toFixed(1)} s`}`) // prettier-ignore
  const servers = ['kafka', 'registry', 'postgres', 'redis']
  return [
    `${report.durationS} s, seed ${report.seed}: ${report.recordsPerSecond} market records and blocks a second, ${report.reorganisations} reorganisations`,
    '',
    `injections    ${workerFaults.map(cell).join('')}`,
    ...kinds.map((kind) => cell(kind) + workerFaults.map((fault) => cell(times(`${fault} ${kind}`))).join('')),
    `killed and restarted: ${servers.map((name) => `${name} ${times(`restart ${name}`)}`).join(', ')}`,
    `emptied: redis ${times('empty redis')}; as if emptied: registry ${times('hide registry')}`,
    ...sorts.map((sort) => `for a while, ${sort} errors at: ${faultPlaces.map((place) => `${place} ${times(`throw ${sort} ${place}`)}`).join(', ')}`), // prettier-ignore
    `errors thrown: ${listed(report.thrown)}`,
    `foreign messages: ${listed(report.foreign)}`,
    `a step that threw at everything: ${report.bug ?? 'none'}`,
    `dead letters sent back: ${report.redriven}; processes that ended as expected: ${report.expectedEnds.length}`,
    '',
    'until every step kept up again',
    ...recoveries,
    '',
    `${'topic'.padEnd(26)}${'messages'.padStart(10)}${'duplicates'.padStart(12)}${'of ids'.padStart(10)}`,
    ...report.topics.map(({ name, messages, duplicates, duplicateIds }) => `${name.padEnd(26)}${String(messages).padStart(10)}${String(duplicates).padStart(12)}${String(duplicateIds).padStart(10)}`), // prettier-ignore
    '',
    `${report.compared} emitted messages compared byte for byte; rows compared: ${Object.entries(report.rows).map(([table, rows]) => `${table} ${rows}`).join(', ')}`, // prettier-ignore
    report.differences.length === 0 ? 'no difference' : `${report.differences.length} differences:`,
    ...report.differences.map((line) => `  ${line}`),
  ].join('\n')
}
