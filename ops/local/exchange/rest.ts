/** The REST side of the exchange: one request handler over the endpoints, with weights and faults. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError, ENDPOINTS } from './endpoints.ts'
import type { Endpoint } from './endpoints.ts'
import { RequestWeights } from './limits.ts'
import type { Verdict, WeightLimits } from './limits.ts'
import type { Venue } from './venue.ts'

export interface RestStats {
  readonly requests: number
  /** Requests by path and status: `/api/v3/depth 200`. */
  readonly answers: Readonly<Record<string, number>>
  /** Requests that came before a Retry-After had passed. */
  readonly impatient: number
}

interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export class Rest {
  private readonly venue: Venue
  private readonly weights: RequestWeights
  private readonly answers = new Map<string, number>()
  private requests = 0
  private impatient = 0
  private retryAt = 0
  private refusals = { left: 0, retryAfterS: 0 }
  private slowness = { delayMs: 0, bytesPerSecond: Infinity }

  constructor(venue: Venue, limits: WeightLimits) {
    this.venue = venue
    this.weights = new RequestWeights(limits)
  }

  tooManyRequests(requests: number, retryAfterS: number): void {
    this.refusals = { left: requests, retryAfterS }
  }

  slow(delayMs: number, bytesPerSecond = Infinity): void {
    this.slowness = { delayMs, bytesPerSecond }
  }

  stats(): RestStats {
    return { requests: this.requests, answers: Object.fromEntries(this.answers), impatient: this.impatient }
  }

  /** Answers one request. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = URL.parse(request.url ?? '/', 'http://exchange') ?? new URL('http://exchange/')
    const { status, body, headers } = this.answer(url, request)
    const label = `${url.pathname} ${status}`
    this.answers.set(label, (this.answers.get(label) ?? 0) + 1)
    const { delayMs, bytesPerSecond } = this.slowness
    if (delayMs > 0) await sleep(delayMs)
    response.writeHead(status, { 'content-type': 'application/json;charset=UTF-8', ...headers })
    const bytes = Buffer.from(JSON.stringify(body))
    if (bytesPerSecond < Infinity) await trickle(response, bytes, bytesPerSecond)
    response.end(bytesPerSecond < Infinity ? undefined : bytes)
  }

  private answer(url: URL, request: IncomingMessage): Answer {
    this.requests++
    const now = Date.now()
    if (now < this.retryAt) this.impatient++
    const endpoint = ENDPOINTS.get(url.pathname)
    if (!endpoint) return { status: 404, body: { code: -1000, msg: 'Path not found.' } }
    if (request.method !== 'GET') return { status: 405, body: { code: -1000, msg: 'Method not allowed.' } }
    const weight = endpoint.weight(url.searchParams)
    const verdict = this.verdict(this.weights.request(request.socket.remoteAddress ?? '', weight, now))
    const headers = {
      'x-mbx-used-weight': String(verdict.usedWeight),
      'x-mbx-used-weight-1m': String(verdict.usedWeight),
    }
    if (verdict.status === 200) return { ...this.ask(endpoint, url.searchParams), headers }
    this.retryAt = now + verdict.retryAfterS * 1_000
    return {
      status: verdict.status,
      body: { code: -1003, msg: this.refusal(verdict) },
      headers: { ...headers, 'retry-after': String(verdict.retryAfterS) },
    }
  }

  private verdict(verdict: Verdict): Verdict {
    if (verdict.status !== 200 || this.refusals.left === 0) return verdict
    this.refusals.left--
    return { status: 429, usedWeight: verdict.usedWeight, retryAfterS: this.refusals.retryAfterS }
  }

  private ask(endpoint: Endpoint, query: URLSearchParams): Answer {
    try {
      const unread = [...query.keys()].filter((name) => !endpoint.parameters.includes(name))
      if (endpoint.parameters.length === 0 && unread.length > 0)
        throw new ApiError(-1101, `Too many parameters; expected '0' and received '${query.size}'.`)
      if (unread.length > 0)
        throw new ApiError(
          -1104,
          `Not all sent parameters were read; read '${query.size - unread.length}' parameter(s) but was sent '${query.size}'.`,
        )
      return { status: 200, body: endpoint.answer(this.venue, query, this.weights.weightPerMinute) }
    } catch (error) {
      if (error instanceof ApiError) return { status: 400, body: { code: error.code, msg: error.message } }
      throw error
    }
  }

  private refusal(verdict: Verdict): string {
    return verdict.status === 418
      ? `Way too much request weight used; IP banned until ${verdict.bannedUntil}. Please use WebSocket Streams for live updates to avoid bans.`
      : `Too much request weight used; current limit is ${this.weights.weightPerMinute} request weight per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.`
  }
}

async function trickle(response: ServerResponse, bytes: Buffer, bytesPerSecond: number): Promise<void> {
  const chunk = Math.max(1, Math.ceil(bytesPerSecond / 20))
  for (let at = 0; at < bytes.length && !response.destroyed; at += chunk) {
    response.write(bytes.subarray(at, at + chunk))
    await sleep(50)
  }
}
