/** `npm run outage -- --seconds 120 [--server kafka] [--trades 500] [--json]`: exit code 0 where every bound was kept and nothing was lost. */
import { parseArgs } from 'node:util'
import type { ServerName } from '../../ops/local/stack.ts'
import { runOutages, type Outage, type OutageReport } from './outage.ts'

const serverNames: readonly ServerName[] = ['kafka', 'registry', 'postgres', 'redis']
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    server: { type: 'string', multiple: true },
    trades: { type: 'string', default: '500' },
    json: { type: 'boolean', default: false },
  },
})
const chosen = serverNames.filter((name) => values.server?.includes(name) ?? true)
const report = await runOutages({
  absences: chosen.map((server) => ({ server, how: 'kill', seconds: Number(values.seconds) })),
  tradesPerSecond: Number(values.trades),
  // Small enough that two minutes would overflow them.
  queueBytes: 4 * 1024 ** 2,
  producerQueueBytes: 8 * 1024 ** 2,
  patienceMs: 300_000,
  onProgress: (line) => void process.stderr.write(`outage: ${line}\n`),
})
if (!values.json) process.stdout.write(`${render(report)}\n`)
process.stdout.write(`${JSON.stringify(report)}\n`)
process.exitCode = report.faults.length === 0 ? 0 : 1

function render({ outages, trades, pages, faults }: OutageReport): string {
  const most = (queued: Outage['queued']): string =>
    queued.map(({ step, bytes, bound }) => `  ${step} queued at most ${bytes} bytes of ${bound}`).join('\n')
  return [
    ...outages.map(
      ({ server, awayS, catchUpS, workedOff, timesRealTime, queued, connects }) =>
        `${server} away for ${awayS} s: ${workedOff} trades worked off in ${catchUpS} s, ${timesRealTime} times real time; ${connects} connections to the exchange\n${most(queued)}`,
    ),
    `${trades} trades, ${pages} pages of them fetched`,
    faults.length === 0 ? 'no fault' : `${faults.length} faults:`,
    ...faults.map((line) => `  ${line}`),
  ].join('\n')
}
