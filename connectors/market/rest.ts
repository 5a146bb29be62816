/** A venue's REST API, asked politely: within its request weight, few at a time, silent for as long as it says. */
import type { Micros } from '../../workers/runtime/definitions.ts'
import { RetryableError } from '../../workers/runtime/errors.ts'
import { sleep } from './waiting.ts'

export interface RestOptions {
  readonly baseUrl: string
  /** Weight that may be used in a minute; leave some to others behind the same address. */
  readonly weightPerMinute: number
  /** Response header with the weight that the venue has counted in this minute. */
  readonly usedWeightHeader?: string
  readonly now: () => Micros
  readonly signal: AbortSignal
  readonly timeoutMs?: number
}

/** The venue understood the request and will not serve it; trying again changes nothing. */
export class VenueRefusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.name = 'VenueRefusal'
    this.status = status
  }
}

const MINUTE: Micros = 60_000_000
const MAX_IN_FLIGHT = 4
/** Where a venue limits us without saying for how long. */
const DEFAULT_PENALTY_MS = 10_000

export class RestClient {
  readonly #options: RestOptions
  #minute = 0
  #used = 0
  #blockedUntil: Micros = 0
  #inFlight = 0
  #queue: Promise<void> = Promise.resolve()

  constructor(options: RestOptions) {
    this.#options = options
  }

  /** The machine's time. */
  now(): Micros {
    return this.#options.now()
  }

  /**
   * GETs JSON, in turn.
   * @param path with its query
   * @param weight what the venue counts for it
   * @throws RetryableError where it may work later, VenueRefusal where it will not
   */
  async get(path: string, weight: number): Promise<unknown> {
    const turn = this.#queue.then(() => this.#admit(weight))
    this.#queue = turn
    await turn
    const { signal } = this.#options
    signal.throwIfAborted()
    this.#inFlight++
    try {
      return await this.#fetch(path)
    } finally {
      this.#inFlight--
    }
  }

  /** Waits for room within the weight of the minute and for the end of a wait that the venue asked for. */
  async #admit(weight: number): Promise<void> {
    const { now, signal, weightPerMinute } = this.#options
    while (!signal.aborted) {
      const time = now()
      const minute = Math.floor(time / MINUTE)
      if (minute !== this.#minute) {
        this.#minute = minute
        this.#used = 0
      }
      const wait = Math.max(
        this.#blockedUntil - time,
        this.#used + weight > weightPerMinute && this.#used > 0 ? (minute + 1) * MINUTE - time : 0,
        this.#inFlight >= MAX_IN_FLIGHT ? 10_000 : 0,
      )
      if (wait <= 0) {
        this.#used += weight
        return
      }
      await sleep(Math.ceil(wait / 1000), signal)
    }
  }

  async #fetch(path: string): Promise<unknown> {
    const { baseUrl, signal, timeoutMs = 10_000, usedWeightHeader } = this.#options
    const what = `GET ${path.split('?')[0]}`
    try {
      const response = await fetch(baseUrl.replace(/\/+$/, '') + path, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      })
      if (usedWeightHeader !== undefined) {
        this.#used = Math.max(this.#used, Number(response.headers.get(usedWeightHeader) ?? 0) || 0)
      }
      const body = await response.text()
      if (response.ok) return parse(body, what)
      throw this.#failure(response, what, body)
    } catch (error) {
      if (error instanceof RetryableError || error instanceof VenueRefusal || signal.aborted) throw error
      throw new RetryableError('unavailable', what, { cause: error })
    }
  }

  /** https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#http-return-codes; others are alike. */
  #failure({ status, headers }: Response, what: string, body: string): Error {
    const message = `${what} was answered with ${status} ${body.slice(0, 200)}`.trim()
    if (status === 429 || status === 418 || status === 403) {
      const retryAfterMs = retryAfter(headers.get('retry-after'), this.#options.now()) ?? DEFAULT_PENALTY_MS
      this.#blockedUntil = Math.max(this.#blockedUntil, this.#options.now() + retryAfterMs * 1000)
      return new RetryableError('rate-limited', message, { retryAfterMs })
    }
    if (status >= 500 || status === 408 || status === 425) return new RetryableError('unavailable', message)
    return new VenueRefusal(status, message)
  }
}

/**
 * Milliseconds of a Retry-After header: seconds or a date (RFC 9110, section 10.2.3).
 * @returns undefined where there is none
 */
export function retryAfter(header: string | null | undefined, now: Micros): number | undefined {
  if (header === null || header === undefined || header.trim() === '') return undefined
  const seconds = Number(header)
  const ms = Number.isNaN(seconds) ? Date.parse(header) - now / 1000 : seconds * 1000
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}

function parse(body: string, what: string): unknown {
  try {
    return JSON.parse(body)
  } catch (cause) {
    throw new RetryableError('inconsistent-upstream', `${what} was not answered with JSON`, { cause })
  }
}
