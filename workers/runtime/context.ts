/** The context that is passed explicitly to everything that lives, and the machine's clock. */
import type { Config } from './config.ts'
import type { Context, Micros } from './definitions.ts'
import { createLogger } from './logger.ts'
import { createMetrics } from './metrics.ts'
import type { Watch } from './watch.ts'

/**
 * Creates the context of a process.
 * @param name the step or topology that it runs, the `service` of its logs
 * @param shutdown from shutdown.ts; without it the context is never asked to stop
 */
export function createContext(
  config: Config,
  watch: Watch,
  name: string,
  shutdown: AbortSignal = new AbortController().signal,
): Context {
  return { config, watch, log: createLogger(config, name), metrics: createMetrics(), now: machineTime, shutdown }
}

/** The same context for one step, whose logs carry its name. */
export function forStep(context: Context, step: string): Context {
  return { ...context, log: context.log.child({ step }) }
}

function machineTime(): Micros {
  return Date.now() * 1_000
}
