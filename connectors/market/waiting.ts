/** Ways to wait that end at once when the work is called off: sleep, backoff, a bell, a sliding limit. */
import { setTimeout as delay } from 'node:timers/promises'

/** Sleeps `ms` milliseconds; returns early, without an error, when `signal` aborts. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted || ms <= 0) return
  try {
    await delay(ms, undefined, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

export interface Backoff {
  readonly baseMs: number
  readonly capMs: number
}

/**
 * Milliseconds to wait before another try: exponential with "equal jitter", half fixed and half random, so that
 * replicas which failed together do not come back together.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 *
 * @param attempt 0 after the first failure
 */
export function backoffMs(attempt: number, { baseMs, capMs }: Backoff, random: () => number = Math.random): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30))
  return ceiling / 2 + (random() * ceiling) / 2
}

/** Wakes the one who waits for it; a ring that nobody waits for is kept for the next wait. */
export class Bell {
  #rung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Resolves at the next ring, after `ms` milliseconds, or when `signal` aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      const woken = Promise.withResolvers<void>()
      const wake = () => woken.resolve()
      const timer = setTimeout(wake, ms)
      signal.addEventListener('abort', wake)
      this.#wake = wake
      await woken.promise
      clearTimeout(timer)
      signal.removeEventListener('abort', wake)
    }
    this.#rung = false
  }
}

/** At most `count` admissions in any `windowMs`, by the given clock in microseconds. */
export class SlidingLimit {
  readonly #count: number
  readonly #windowUs: number
  readonly #now: () => number
  readonly #admitted: number[] = []

  constructor(count: number, windowMs: number, now: () => number) {
    this.#count = count
    this.#windowUs = windowMs * 1000
    this.#now = now
  }

  /** Resolves when one more is within the limit, or when `signal` aborts. */
  async admit(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const now = this.#now()
      while (this.#admitted[0] !== undefined && this.#admitted[0] <= now - this.#windowUs) this.#admitted.shift()
      const oldest = this.#admitted[0]
      if (oldest === undefined || this.#admitted.length < this.#count) {
        this.#admitted.push(now)
        return
      }
      await sleep((oldest + this.#windowUs - now) / 1000 + 1, signal)
    }
  }
}
