/** A worker process that measures itself: node worker.ts <step> <records> [<topic>]. The hosts are the real ones. */
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { loadConfig } from '../../workers/runtime/config.ts'
import { createContext } from '../../workers/runtime/context.ts'
import type { Step } from '../../workers/runtime/definitions.ts'
import { startHealth } from '../../workers/runtime/health.ts'
import { runSteps } from '../../workers/runtime/run.ts'
import { createShutdown } from '../../workers/runtime/shutdown.ts'
import { serversOf } from '../../workers/runtime/topology.ts'
import { WatchSchema } from '../../workers/runtime/watch.ts'
import { Stopwatch } from './child.ts'
import { BenchInstallation, readingFrom } from './installation.ts'
import { passThrough } from './pass-through.ts'

const lookMs = 5
const [name = '', total = '0', input] = process.argv.slice(2)
const step = [...cryptoIntel.steps, passThrough].find((one) => one.name === name)
if (step === undefined) throw new Error(`no step is called ${name}`)

const config = loadConfig(process.env, { require: serversOf([step]) })
const shutdown = createShutdown({ deadlineMs: 10_000 })
const context = createContext(config, WatchSchema.parse({}), name, shutdown.signal)
const health = await startHealth(context)
shutdown.onStop('health', () => health.close())
await runSteps([step], new BenchInstallation(context, health, shutdown, readingFrom(input)))

const stopwatch = new Stopwatch(Number(total))
const looking = setInterval(() => {
  void counted(step).then((count) => {
    const run = stopwatch.reached(count)
    if (run === undefined || shutdown.signal.aborted) return
    clearInterval(looking)
    console.log(JSON.stringify(run))
    shutdown.stop()
  })
}, lookMs)

/** Done is what the broker has acknowledged or the database committed; of a step that rarely emits, what it has read. */
async function counted({ name: label, kind }: Step): Promise<number> {
  const { recordsIn, recordsOut } = context.metrics
  const counter = kind === 'sink' || step === passThrough ? recordsOut : recordsIn
  const { values } = await counter.get()
  return values.reduce((sum, { labels, value }) => (labels.step === label ? sum + value : sum), 0)
}
