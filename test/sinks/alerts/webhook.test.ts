/** The webhook's signature, against the specification's own example. */
import { expect, test } from 'vitest'
import { classify } from '../../../workers/runtime/errors.ts'
import { retryAfterMs } from '../../../sinks/alerts/channel.ts'
import { signatureHeaders, signingKey } from '../../../sinks/alerts/webhook.ts'

// The example of the libraries at https://github.com/standard-webhooks/standard-webhooks
const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

test('signs id, time and body as standard-webhooks does', () => {
  const headers = signatureHeaders(
    signingKey(secret),
    'msg_p5jXN8AQM9LWM0D4loKWxJek',
    1_614_265_330_999,
    '{"test": 2432232314}',
  )
  expect(headers).toEqual({
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  })
})

test.each(['', 'whsec_', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_c2hvcnQ='])('%j is no secret', (text) => {
  expect(() => signingKey(text)).toThrow(/whsec_/)
  try {
    signingKey(text)
  } catch (error) {
    expect(classify(error)).toBe('fatal')
  }
})

test('Retry-After is read as seconds and as a date', () => {
  const now = Date.parse('2024-08-08T00:00:00Z')
  expect(retryAfterMs('120', now)).toBe(120_000)
  expect(retryAfterMs('Thu, 08 Aug 2024 00:00:30 GMT', now)).toBe(30_000)
  expect(retryAfterMs('Wed, 07 Aug 2024 00:00:30 GMT', now)).toBe(0)
  expect(retryAfterMs('soon', now)).toBeUndefined()
  expect(retryAfterMs(null, now)).toBeUndefined()
})
