/**
 * The HTTP server of a process: /metrics for Prometheus, /livez and /readyz for whoever restarts and routes. Whatever is sent to
 * it gets an answer or a closed connection, and costs the process a bounded time and memory.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
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

/** Bounds on what clients may do, in milliseconds where they are times. */
export interface HealthLimits {
  /** Until the headers of a request are there, from the connection's begin or the last answer's end. */
  readonly headersMs: number
  /** Until a request is there as a whole. */
  readonly requestMs: number
  /** Without any byte in either direction, where an answer is not taken; and between two requests. */
  readonly idleMs: number
  /** Until the text of /metrics is made. */
  readonly metricsMs: number
  /** Connections at a time; the one that was silent for longest gives way to a new one. */
  readonly connections: number
}

const limits: HealthLimits = { headersMs: 5_000, requestMs: 10_000, idleMs: 60_000, metricsMs: 10_000, connections: 64 }
/** Bytes of a request's line and headers. */
const maxHeaderSize = 8 * 1024
/** Requests of a connection that wait for their answers; a client that sends more without listening is cut off. */
const mostUnanswered = 8
/** How often the times are looked at. */
const checkMs = 1_000

interface Answer {
  readonly status: number
  /** Lines; as bytes where several answers share them. */
  readonly text: string | Buffer
  readonly type?: string
}

/**
 * Starts the server on METRICS_HOST:METRICS_PORT. A process is ready when it has checks and all are ready.
 * @throws FatalError where the port is taken
 */
export async function startHealth(
  context: Pick<Context, 'config' | 'metrics'>,
  own: Partial<HealthLimits> = {},
): Promise<Health> {
  const { metricsHost: host, metricsPort } = context.config
  const { headersMs, requestMs, idleMs, metricsMs, connections } = { ...limits, ...own }
  const checks = new Map<string, () => Verdict>()
  const metrics = sharedText(() => context.metrics.registry.metrics(), metricsMs)
  const { contentType } = context.metrics.registry

  const answer = async ({ url = '', method }: IncomingMessage): Promise<Answer> => {
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, text: 'only GET' }
    switch (pathOf(url)) {
      case undefined:
        return { status: 400, text: 'the target of the request is no path' }
      case '/livez':
        return judge(checks, 'live')
      case '/readyz':
        return judge(checks, 'ready')
      case '/metrics':
        return { status: 200, text: await metrics(), type: contentType }
      default:
        return { status: 404, text: 'there are /metrics, /livez and /readyz' }
    }
  }

  const times = { headersTimeout: headersMs, requestTimeout: requestMs, connectionsCheckingInterval: Math.min(checkMs, headersMs) } // prettier-ignore
  const server = createServer({ maxHeaderSize, ...times, keepAliveTimeout: idleMs })
  server.setTimeout(idleMs)
  boundConnections(server, connections)
  serve(server, answer)
  await listen(server, metricsPort, host)
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

async function listen(server: Server, port: number, host: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  // For good: a connection that the system cannot give us, as where files run out, is an error of the server, too.
  server.on('error', (cause) => {
    const doing = `Listening on METRICS_HOST:METRICS_PORT ${host}:${port}`
    reject(new FatalError('configuration', doing, { cause, hint: 'set METRICS_PORT to a free port, or 0 for any' }))
  })
  server.listen(port, host, resolve)
  await promise
}

/** Answers each request, whatever making the answer throws. */
function serve(server: Server, answer: (request: IncomingMessage) => Promise<Answer>): void {
  const unanswered = new WeakMap<Socket, number>()
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    const count = (unanswered.get(socket) ?? 0) + 1
    unanswered.set(socket, count)
    for (const stream of [request, response]) stream.on('error', () => {})
    response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1))
    if (count > mostUnanswered) return void socket.destroy()
    answer(request)
      .catch((error: unknown): Answer => ({ status: 500, text: oneLine(error) }))
      .then((given) => send(request, response, given))
      .catch(() => socket.destroy())
  })
}

/** Lets the connection that was silent for longest go where a new one would be too many. */
function boundConnections(server: Server, most: number): void {
  /** In the order of their last request. */
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    for (const oldest of open) {
      if (open.size < most) break
      open.delete(oldest)
      oldest.destroy()
    }
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  server.on('request', ({ socket }: IncomingMessage) => {
    if (open.delete(socket)) open.add(socket)
  })
}

/** Those who ask while a text is made get the same bytes. @returns asks for them; rejects where they are not there in time */
function sharedText(make: () => Promise<string>, withinMs: number): () => Promise<Buffer> {
  let making: Promise<Buffer> | undefined
  return () => {
    making ??= new Promise<Buffer>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the metrics were not there after ${withinMs} ms`)), withinMs)
      const made = async (): Promise<Buffer> => Buffer.from(await make())
      void made()
        .then(resolve, reject)
        .finally(() => clearTimeout(late))
    }).finally(() => (making = undefined))
    return making
  }
}

/** @returns the path of a request's target in its origin or absolute form (RFC 9112, 3.2); undefined where it has none */
function pathOf(target: string): string | undefined {
  const [, path] = /^(?:[a-z][a-z\d+.-]*:\/\/[^/?#]+)?([^?#]*)/i.exec(target) ?? []
  if (path === '' && target.includes('://')) return '/'
  return path?.startsWith('/') ? path : undefined
}

function judge(checks: ReadonlyMap<string, () => Verdict>, question: 'ready' | 'live'): Answer {
  if (checks.size === 0) return question === 'live' ? { status: 200, text: 'ok' } : { status: 503, text: 'nothing runs yet' } // prettier-ignore
  const bad = [...checks].flatMap(([name, check]) => {
    const verdict = ask(check)
    return verdict[question] ? [] : `${name}: ${verdict.detail}`
  })
  return bad.length === 0 ? { status: 200, text: 'ok' } : { status: 503, text: bad.join('\n') }
}

function ask(check: () => Verdict): Verdict {
  try {
    return check()
  } catch (error) {
    return { ready: false, live: false, detail: oneLine(error) }
  }
}

function send({ headers }: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const { status, text, type = 'text/plain; charset=utf-8' } = answer
  // What no answer depends on is not read.
  const body = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0
  if (body) response.setHeader('connection', 'close')
  const bytes = typeof text === 'string' ? Buffer.from(`${text.trimEnd()}\n`) : text
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length }).end(bytes)
}
