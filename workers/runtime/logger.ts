/** Logs: JSON lines on stdout, one an event; at `info` a healthy process is nearly silent. */
import { pino, stdSerializers, stdTimeFunctions, type Logger } from 'pino'
import type { Config } from './config.ts'

/**
 * Creates the logger of a process. WARN means that it recovered by itself, ERROR that a person should act.
 * @param service the step or topology that the process runs
 */
export function createLogger(config: Pick<Config, 'logLevel'>, service: string): Logger {
  return pino({
    level: config.logLevel,
    base: { service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: stdSerializers.errWithCause, error: stdSerializers.errWithCause },
  })
}
