/** The HTTP server of a process: /metrics for Prometheus, /livez and /readyz for whoever restarts and routes. */
import { createServer, type ServerResponse } from 'node:http'
import type { Context } from './definitions.ts'
import { FatalError, oneLine } from './errors.ts'

export interface Verdict {
  /** Does its work: false while it starts, waits for its partitions or has lost its server. */
  readonly ready: boolean
  /** False only where nothing but a restart helps. */
  readonly live: boolean
  /** One line, shown where a verdict is bad. */
  readonly detail: string
}

export interface Health {
  /** The port that was taken, which METRICS_PORT=0 leaves to the system. */
  readonly port: number
  /**
   * Adds a check, asked at every request; it must be quick.
   * @returns takes the check out again
   */
  register(name: string, check: () => Verdict): () => void
  close(): Promise<void>
}

/**
 * Starts the server on METRICS_HOST:METRICS_PORT. A process is ready when it has checks and all are ready.
 * @throws FatalError where the port is taken
 */
export async function startHealth(context: Pick<Context, 'config' | 'metrics'>): Promise<Health> {
  const { metricsHost: host, metricsPort } = context.config
  const checks = new Map<string, () => Verdict>()
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, 405, 'only GET')
    if (path === '/livez') return send(response, ...judge(checks, 'live'))
    if (path === '/readyz') return send(response, ...judge(checks, 'ready'))
    if (path !== '/metrics') return send(response, 404, 'there are /metrics, /livez and /readyz')
    const { registry } = context.metrics
    registry.metrics().then(
      (text) => send(response, 200, text, registry.contentType),
      (error: unknown) => send(response, 500, oneLine(error)),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const doing = `Listening on METRICS_HOST:METRICS_PORT ${host}:${metricsPort}`
      reject(new FatalError('configuration', doing, { cause, hint: 'set METRICS_PORT to a free port, or 0 for any' }))
    })
    server.listen(metricsPort, host, resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : metricsPort,
    register(name, check) {
      checks.set(name, check)
      return () => void (checks.get(name) === check && checks.delete(name))
    },
    close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      return closed
    },
  }
}

function judge(checks: ReadonlyMap<string, () => Verdict>, question: 'ready' | 'live'): [status: number, text: string] {
  if (checks.size === 0) return question === 'live' ? [200, 'ok'] : [503, 'nothing runs yet']
  const bad = [...checks].flatMap(([name, check]) => {
    const verdict = ask(check)
    return verdict[question] ? [] : `${name}: ${verdict.detail}`
  })
  return bad.length === 0 ? [200, 'ok'] : [503, bad.join('\n')]
}

function ask(check: () => Verdict): Verdict {
  try {
    return check()
  } catch (error) {
    return { ready: false, live: false, detail: oneLine(error) }
  }
}

function send(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type }).end(`${text.trimEnd()}\n`)
}
