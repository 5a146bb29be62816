/** Measures the pipeline against the bare metal: node ops/bench/main.ts codec|connector|processor|sink|pipeline|idle|soak [--json]. */
import { mkdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { benchCodec } from './codec.ts'
import { benchConnector } from './connector.ts'
import { benchIdle } from './idle.ts'
import { benchPipeline } from './pipeline.ts'
import { benchProcessor } from './processor.ts'
import { loadNow, machine, table, type BenchOptions, type Figure, type Report } from './report.ts'
import { benchSink } from './sink.ts'
import { benchSoak } from './soak.ts'

const benches: Readonly<Record<string, (options: BenchOptions) => Promise<readonly Figure[]>>> = {
  codec: benchCodec,
  connector: benchConnector,
  processor: benchProcessor,
  sink: benchSink,
  pipeline: benchPipeline,
  idle: benchIdle,
  soak: benchSoak,
}

const usage = `npm run bench -- ${Object.keys(benches).join('|')} [--json] [--profile FOLDER]

  --json            only the report, on one line
  --rounds N        how often each thing is measured
  --minutes N       how long a soak lasts after its warm-up
  --rate N          records a second of a soak
  --profile FOLDER  CPU profiles (.cpuprofile) of the processes that are measured`

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    profile: { type: 'string' },
    rounds: { type: 'string' },
    minutes: { type: 'string' },
    rate: { type: 'string' },
    help: { type: 'boolean' },
  },
})

const [name = ''] = positionals
const bench = benches[name]
if (bench === undefined) {
  console.error(usage)
  process.exitCode = values.help ? 0 : 2
} else {
  if (values.profile !== undefined) mkdirSync(values.profile, { recursive: true })
  const say = (line: string): void => void (values.json || console.log(line))
  const before = loadNow()
  const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text))
  const [rounds, minutes, rate] = [values.rounds, values.minutes, values.rate].map(number)
  const figures = await bench({ say, profiles: values.profile, rounds, minutes, rate })
  const report: Report = { bench: name, machine: machine(before), figures }
  if (!values.json) for (const line of table(report)) console.log(line)
  console.log(JSON.stringify(report))
}
