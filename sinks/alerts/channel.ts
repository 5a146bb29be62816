/** What a channel is to the dispatcher: one message out, one outcome back. */
import type { Alert } from '../../schemas/types.ts'

/** One message to one channel. */
export interface Delivery {
  /** The same at every attempt, different for an alert, its retraction and the alert after that. */
  readonly id: string
  readonly status: 'fired' | 'retracted'
  readonly alert: Alert
  /** True where an attempt before ended without an answer. */
  readonly mayBeRepeat: boolean
  /** Of a retraction: what the provider called the message that it takes back. */
  readonly originalId: string | undefined
}

export type Outcome =
  | { readonly kind: 'sent'; readonly providerId?: string }
  /** Not taken, or without an answer (`uncertain`); never again before `afterMs`. `channel`: nothing else either. */
  | {
      readonly kind: 'retry'
      readonly error: string
      readonly uncertain: boolean
      readonly holds: 'message' | 'channel'
      readonly afterMs?: number
    }
  /** This message will never be taken. */
  | { readonly kind: 'rejected'; readonly error: string }
  /** Nothing will ever be taken there: the receiver has asked us to stop. */
  | { readonly kind: 'gone'; readonly error: string }

export interface AlertChannel {
  /** Where it leads, to notice that it was changed; secrets may be in it, it is kept as a digest. */
  readonly target: string
  /** The provider's limits. */
  readonly pace: { readonly spacingMs: number; readonly perMinute?: number }
  send(delivery: Delivery): Promise<Outcome>
}

/** Longest wait for an answer (standard-webhooks asks for 15 to 30 s). */
const answerMs = 15_000

/** What fetch gives, or why there was no answer. */
export async function post(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<{ readonly status: number; readonly headers: Headers; readonly text: string } | Outcome> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'crypto-intel', ...headers },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(answerMs),
    })
    return { status: response.status, headers: response.headers, text: await response.text() }
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    const reason = cause instanceof Error ? cause.message || code : String(cause)
    // Only where no connection came about is it sure that nothing arrived.
    const uncertain = !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT'].includes(code)
    return { kind: 'retry', error: reason, uncertain, holds: 'channel' }
  }
}

/** Retry-After in milliseconds: seconds or a date (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after). */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined
  const ms = /^\s*\d+\s*$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - now
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
