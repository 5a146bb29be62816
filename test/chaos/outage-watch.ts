/** Looks at worker processes again and again while a server is away: what they queue, and whether they say that they live. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fleet } from './fleet.ts'

const pollMs = 250

/** The most of each step. */
export interface Seen {
  /** Bytes that one process had queued. */
  readonly queued: Map<string, number>
  /** Records that all of its replicas together said to have before them. */
  readonly lag: Map<string, number>
}

export class OutageWatch {
  #seen: Seen = { queued: new Map(), lag: new Map() }
  /** Processes that said they should be restarted, and why. */
  readonly dead = new Set<string>()
  readonly #fleet: Fleet
  readonly #ending = new AbortController()
  readonly #polling: Promise<void>

  constructor(fleet: Fleet) {
    this.#fleet = fleet
    this.#polling = this.#poll()
  }

  /** @returns what was seen since the last call */
  take(): Seen {
    const seen = this.#seen
    this.#seen = { queued: new Map(), lag: new Map() }
    return seen
  }

  async stop(): Promise<void> {
    this.#ending.abort()
    await this.#polling
  }

  async #poll(): Promise<void> {
    const { signal } = this.#ending
    while (!signal.aborted) {
      await sleep(pollMs, undefined, { signal }).catch(() => {})
      const texts = await this.#fleet.scrape()
      const { queued, lag } = this.#seen
      for (const text of texts) for (const [step, bytes] of byStep([text], 'queued_bytes')) raise(queued, step, bytes)
      for (const [step, records] of byStep(texts, 'lag_records')) raise(lag, step, records)
      for (const { name } of this.#fleet.groups)
        for (const replica of this.#fleet.running(name)) await this.#ask(replica.name, replica.port)
    }
  }

  async #ask(name: string, port: number): Promise<void> {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/livez`, { signal: AbortSignal.timeout(2_000) })
      if (!answer.ok) this.dead.add(`${name} says that it is dead: ${(await answer.text()).trim()}`)
    } catch {
      // A process that has ended is a fault of the fleet.
    }
  }
}

const raise = (most: Map<string, number>, step: string, value: number): void =>
  void most.set(step, Math.max(most.get(step) ?? 0, value))

/** The values of a metric, and the step of each. */
function* valuesOf(texts: readonly string[], name: string): Generator<[step: string, value: number]> {
  const pattern = new RegExp(`^crypto_intel_${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm')
  for (const text of texts)
    for (const [, labels = '', value = ''] of text.matchAll(pattern))
      yield [/step="([^"]*)"/.exec(labels)?.[1] ?? '', Number(value)]
}

function byStep(texts: readonly string[], name: string): Map<string, number> {
  const sums = new Map<string, number>()
  for (const [step, value] of valuesOf(texts, name)) sums.set(step, (sums.get(step) ?? 0) + value)
  return sums
}

/** @returns the sum of a counter or gauge over scraped texts and all its labels. */
export const sumOf = (texts: readonly string[], name: string): number =>
  [...valuesOf(texts, name)].reduce((sum, [, value]) => sum + value, 0)
