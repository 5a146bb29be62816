/** Signed webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
import { createHmac } from 'node:crypto'
import { FatalError } from '../../workers/runtime/errors.ts'
import { post, retryAfterMs, type AlertChannel, type Delivery, type Outcome } from './channel.ts'

export interface WebhookOptions {
  readonly url: string
  /** `whsec_` and base64. */
  readonly secret: string
  /** Milliseconds since the epoch, for the signature's time. */
  readonly now: () => number
}

/**
 * A receiver tells repeats by `webhook-id`, which is the same at every attempt.
 * @throws FatalError `configuration` where the secret is none
 */
export function webhook({ url, secret, now }: WebhookOptions): AlertChannel {
  const key = signingKey(secret)
  return {
    target: url,
    pace: { spacingMs: 0 },
    async send(delivery) {
      const body = bodyOf(delivery)
      const answer = await post(url, signatureHeaders(key, delivery.id, now(), body), body)
      return 'kind' in answer
        ? answer
        : outcomeOf(answer.status, retryAfterMs(answer.headers.get('retry-after'), now()))
    },
  }
}

/** @throws FatalError `configuration` where the text is no signing secret */
export function signingKey(secret: string): Buffer {
  const [, base64] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? []
  const key = Buffer.from(base64 ?? '', 'base64')
  if (key.length >= 16) return key
  throw new FatalError('configuration', 'a webhook secret has to be whsec_ and at least 16 bytes in base64')
}

/** The three headers; the signature is HMAC-SHA256 over id, time in seconds and body. */
export function signatureHeaders(key: Buffer, id: string, nowMs: number, body: string): Record<string, string> {
  const time = String(Math.floor(nowMs / 1_000))
  const signature = createHmac('sha256', key).update(`${id}.${time}.${body}`).digest('base64')
  return { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': `v1,${signature}` }
}

/** `{"type":"alert.fired","timestamp":"2024-08-08T00:00:00.000Z","data":{"status":"fired","alert":{…}}}` */
function bodyOf({ status, alert }: Delivery): string {
  const timestamp = new Date(alert.ts / 1_000).toISOString()
  return JSON.stringify({ type: `alert.${status}`, timestamp, data: { status, alert } })
}

/** Anything but success is tried again; only 410 asks to stop for good. */
function outcomeOf(status: number, afterMs: number | undefined): Outcome {
  if (status >= 200 && status < 300) return { kind: 'sent' }
  const error = `answered ${status}`
  if (status === 410) return { kind: 'gone', error }
  const busy = status === 429 || status >= 500
  return {
    kind: 'retry',
    error,
    uncertain: status >= 500,
    holds: busy ? 'channel' : 'message',
    ...(afterMs !== undefined && { afterMs }),
  }
}
