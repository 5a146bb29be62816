/** One RPC node over HTTP: batches JSON-RPC calls, keeps to a rate that the node bears, and says what went wrong. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Context } from '../../workers/runtime/definitions.ts'
import { RetryableError } from '../../workers/runtime/errors.ts'

/** Requests a second: where to begin, and the bounds within which success raises and failure lowers it. */
const rateBounds = { start: 20, least: 3, most: 500, raise: 1.05, lower: 0.95 } as const
/** How long a failing node is left alone, doubled with each failure in a row; milliseconds. */
const asideBounds = { least: 100, most: 5_000 } as const
const batchSize = 100

const Answer = z.object({
  id: z.union([z.number(), z.null()]).optional(),
  result: z.unknown().optional(),
  error: z.object({ code: z.number(), message: z.string() }).nullish(),
})
type Answer = z.output<typeof Answer>

interface Call {
  readonly id: number
  readonly method: string
  readonly params: readonly unknown[]
  resolve(result: unknown): void
  reject(error: Error): void
}

/** The node answered, with an error object. */
export class RpcError extends RetryableError {
  /** https://www.jsonrpc.org/specification#error_object, or the provider's own */
  readonly rpcCode: number

  constructor(provider: string, method: string, code: number, message: string) {
    super(limited(code, message) ? 'rate-limited' : 'unavailable', `${provider}: ${method}: ${message} (${code})`)
    this.rpcCode = code
  }

  /** True where the node does not know the method. */
  get unsupported(): boolean {
    return (
      this.rpcCode === -32601 ||
      this.rpcCode === -32004 ||
      /not (supported|available|found)|does not exist/i.test(this.message)
    )
  }
}

export interface ProviderOptions {
  readonly context: Pick<Context, 'metrics' | 'now'>
  readonly signal: AbortSignal
  /** Milliseconds until a call is given up; 10 s unless told. */
  readonly timeoutMs?: number
  /** Requests a second to begin with; 20 unless told. */
  readonly rate?: number
}

export class RpcProvider {
  /** The host alone: paths and queries of providers' URLs hold keys. */
  readonly label: string
  /** What the first use found: the node is of the right chain and in step with it. */
  checked = false
  /** False once the node has refused eth_getBlockReceipts. */
  servesBlockReceipts = true
  /** Exponentially weighted mean of a request's duration, milliseconds. */
  latencyMs = 0
  readonly #url: string
  readonly #options: ProviderOptions
  #queue: Call[] = []
  #nextId = 1
  #rate: number
  /** When the calls sent so far are paid for at the present rate; milliseconds. */
  #paidUntil = 0
  #asideMs = 0
  #asideUntil = 0

  constructor(url: string, options: ProviderOptions) {
    this.#url = url
    this.#options = options
    this.label = new URL(url).host
    this.#rate = options.rate ?? rateBounds.start
  }

  /** Milliseconds until the node may be asked again, 0 for at once. */
  get waitMs(): number {
    return Math.max(0, this.#asideUntil - this.#nowMs())
  }

  /** Leaves the node alone: for `ms`, or for longer with each failure in a row. */
  setAside(ms?: number): void {
    this.#asideMs = Math.min(asideBounds.most, Math.max(asideBounds.least, this.#asideMs * 2))
    this.#asideUntil = this.#nowMs() + (ms ?? this.#asideMs)
  }

  /** What was asked for came and was right. */
  succeeded(): void {
    this.#asideMs = 0
  }

  /**
   * Calls a method; calls of one turn of the event loop travel together.
   * @throws RpcError, or RetryableError where no answer came
   */
  request(method: string, params: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#queue.length === 0) setImmediate(() => this.#flush())
      this.#queue.push({ id: this.#nextId++, method, params, resolve, reject })
    })
  }

  #flush(): void {
    const calls = this.#queue
    this.#queue = []
    for (let start = 0; start < calls.length; start += batchSize) {
      const batch = calls.slice(start, start + batchSize)
      this.#send(batch).catch((error: unknown) => {
        for (const call of batch) call.reject(error instanceof Error ? error : new Error(String(error)))
      })
    }
  }

  async #send(batch: readonly Call[]): Promise<void> {
    await this.#pay(batch.length)
    const started = this.#nowMs()
    const method = batch.length === 1 ? (batch[0]?.method ?? '') : 'batch'
    try {
      const answers = await this.#post(batch, method)
      this.#settle(batch, answers)
      this.#rate = Math.min(rateBounds.most, this.#rate * rateBounds.raise)
    } catch (error) {
      this.#rate = Math.max(rateBounds.least, this.#rate * rateBounds.lower)
      throw error
    } finally {
      const elapsed = this.#nowMs() - started
      this.#options.context.metrics.rpcSeconds.observe({ provider: this.label, method }, elapsed / 1_000)
      this.latencyMs = this.latencyMs === 0 ? elapsed : this.latencyMs * 0.8 + elapsed * 0.2
    }
  }

  /** Up to a second's worth of calls may go at once. */
  async #pay(calls: number): Promise<void> {
    const now = this.#nowMs()
    this.#paidUntil = Math.max(this.#paidUntil, now - 1_000) + (calls * 1_000) / this.#rate
    const wait = this.#paidUntil - now
    if (wait > 0) await sleep(wait, undefined, { signal: this.#options.signal })
  }

  async #post(batch: readonly Call[], method: string): Promise<readonly Answer[]> {
    const body = batch.map(({ id, method: name, params }) => ({ jsonrpc: '2.0', id, method: name, params }))
    const timeout = AbortSignal.timeout(this.#options.timeoutMs ?? 10_000)
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body.length === 1 ? body[0] : body),
      signal: AbortSignal.any([timeout, this.#options.signal]),
    }).catch((error: unknown) => this.#unreachable(error, method, timeout))
    if (!response.ok) {
      await response.body?.cancel()
      throw this.#refusal(response, method)
    }
    const json: unknown = await response.json().catch((error: unknown) => this.#unreachable(error, method, timeout))
    const answers = z.union([z.array(Answer), Answer.transform((answer) => [answer])]).safeParse(json)
    if (answers.success) return answers.data
    throw new RetryableError('inconsistent-upstream', `${this.label}: ${method}: the answer is not JSON-RPC`)
  }

  #settle(batch: readonly Call[], answers: readonly Answer[]): void {
    const byId = new Map(answers.map((answer) => [answer.id, answer]))
    // A node that refuses a whole batch answers with one error that has no id.
    const common = answers.length === 1 ? answers[0] : undefined
    for (const call of batch) {
      const answer = byId.get(call.id) ?? (common?.error ? common : undefined)
      if (answer?.error) {
        call.reject(new RpcError(this.label, call.method, answer.error.code, answer.error.message))
      } else if (answer === undefined) {
        call.reject(
          new RetryableError('inconsistent-upstream', `${this.label}: ${call.method}: no answer in the batch`),
        )
      } else call.resolve(answer.result)
    }
  }

  #refusal(response: Response, method: string): RetryableError {
    const message = `${this.label}: ${method}: HTTP ${response.status}`
    if (response.status !== 429) return new RetryableError('unavailable', message)
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
    return new RetryableError('rate-limited', message, seconds > 0 ? { retryAfterMs: seconds * 1_000 } : {})
  }

  /** Drops the cause's own text, which may hold the URL. */
  #unreachable(error: unknown, method: string, timeout: AbortSignal): never {
    this.#options.signal.throwIfAborted()
    if (timeout.aborted) throw new RetryableError('timeout', `${this.label}: ${method}: no answer in time`)
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'the connection failed'
    throw new RetryableError('unavailable', `${this.label}: ${method}: ${reason}`)
  }

  #nowMs(): number {
    return this.#options.context.now() / 1_000
  }
}

/** Wordings of the large providers, which share no code. */
function limited(code: number, message: string): boolean {
  return (
    code === 429 || code === -32005 || /rate.?limit|too many requests|capacity|exceeded.*(quota|units)/i.test(message)
  )
}
