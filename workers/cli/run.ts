/** `run`: the steps of a topology, until the process is asked to stop. */
import type { Command } from 'commander'
import { loadConfig } from '../runtime/config.ts'
import { createContext } from '../runtime/context.ts'
import { startHealth } from '../runtime/health.ts'
import { Installation } from '../runtime/installation.ts'
import { loadWatch } from '../runtime/load-watch.ts'
import { runSteps, selectSteps } from '../runtime/run.ts'
import { createShutdown } from '../runtime/shutdown.ts'
import { serversOf, topicsOf } from '../runtime/topology.ts'
import { topologyCalled, type App } from './app.ts'
import { assertSound } from './check.ts'
import { assertReachable } from './servers.ts'
import { assertTopics } from './topics-plan.ts'

interface Options {
  readonly step?: string
}

export function addRun(program: Command, app: App): void {
  program
    .command('run')
    .description('Run a topology, or some of its steps, until SIGTERM or Ctrl-C.')
    .argument('<topology>', app.topologies.map(({ name }) => name).join(', '))
    .option('--step <names>', 'run these steps only, separated by commas')
    .addHelpText('after', '\nExample:\n  npm start -- run crypto-intel --step build-candles,timescale-candles')
    .action((name: string, options: Options) => run(app, name, options))
}

async function run(app: App, name: string, { step }: Options): Promise<void> {
  const topology = topologyCalled(app, name)
  const named = step?.split(',').map((part) => part.trim()) ?? []
  const steps = selectSteps(topology, named)
  await assertSound(topology)
  const config = loadConfig(app.env, { require: serversOf(steps) })
  const watch = loadWatch(config.watchFile)
  const shutdown = createShutdown({ deadlineMs: config.shutdownMs })
  const context = createContext(config, watch, named.length > 0 ? named.join(',') : topology.name, shutdown.signal)
  try {
    const health = await startHealth(context)
    shutdown.onStop('health', () => health.close())
    const installation = new Installation(context, health, shutdown, {}, 'alone')
    await assertReachable(config.kafkaBrokers)
    await assertTopics(await installation.admin(), installation.names, topicsOf(steps))
    await runSteps(steps, installation)
    context.log.info({ steps: steps.map((one) => one.name), port: health.port }, 'running')
  } catch (error) {
    shutdown.fatal(error)
  }
  // The shutdown ends the process.
  await new Promise<never>(() => {})
}
