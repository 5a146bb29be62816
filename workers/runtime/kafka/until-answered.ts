/**
 * Asks brokers again until they answer. For a while after a topic was made, or its leader has moved, brokers refuse what they
 * will do a moment later: "not the leader", "no such topic", "there is no leader".
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { RetryableError, classify } from '../errors.ts'

/** How long a command asks before it gives up. */
export const answerMs = 20_000
const firstPauseMs = 50
const longestPauseMs = 1_000

/**
 * Calls `ask` until it succeeds. It must be safe to call twice.
 * @param what is being done, for the line that says that it failed: `Asking where market.trades.v1 ends`
 * @param forMs how long a new attempt is made, in milliseconds; the one under way is waited for
 * @throws RetryableError with the last answer when the time is up; what does not pass by itself is thrown at once
 */
export async function untilAnswered<T>(what: string, ask: () => Promise<T>, forMs = answerMs): Promise<T> {
  const began = performance.now()
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      return await ask()
    } catch (cause) {
      if (classify(cause) !== 'retryable') throw cause
      const passedMs = performance.now() - began
      if (passedMs + pauseMs > forMs) throw givenUp(what, cause, forMs === 0 ? undefined : passedMs)
    }
    await sleep(pauseMs)
  }
}

/**
 * Waits for work that tries again by itself, for ever.
 * @throws RetryableError when the time is up; what the work throws comes first
 */
export async function within<T>(what: string, work: Promise<T>, forMs = answerMs): Promise<T> {
  const over = new AbortController()
  const late = async (): Promise<never> => {
    await sleep(forMs, undefined, { signal: over.signal })
    throw givenUp(what, undefined, forMs)
  }
  try {
    return await Promise.race([work, late()])
  } finally {
    over.abort()
  }
}

function givenUp(what: string, cause: unknown, triedMs: number | undefined): RetryableError {
  if (triedMs === undefined) return new RetryableError('unavailable', what, { cause })
  const hint = `tried for ${Math.round(triedMs / 1_000)} s: are all brokers up, and has every partition a leader?`
  return new RetryableError('unavailable', what, cause === undefined ? { hint } : { cause, hint })
}
