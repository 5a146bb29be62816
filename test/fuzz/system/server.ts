/** The HTTP server of a worker, with the checks that steps register. */
import { createMetrics } from '../../../workers/runtime/metrics.ts'
import { startHealth } from '../../../workers/runtime/health.ts'
import { config } from './outbox.ts'

export interface RunningServer {
  readonly port: number
  stop(): Promise<void>
}

export const host = '127.0.0.1'

export async function startServer(): Promise<RunningServer> {
  const health = await startHealth({ config, metrics: createMetrics() })
  health.register('build-candles', () => ({ ready: true, live: true, detail: '' }))
  health.register('timescale-trades', () => ({ ready: false, live: true, detail: 'has not joined\r\nits group: é' }))
  return { port: health.port, stop: () => health.close() }
}
