/** Whether the pipeline keeps up: what its workers say of their lag, and since when each fault is made good. */
import { setTimeout as sleep } from 'node:timers/promises'
import { readSteps } from '../../ops/local/demo/readings.ts'
import type { Tables } from '../../ops/local/demo/database.ts'
import type { Step } from '../../workers/runtime/definitions.ts'
import type { Fleet } from './fleet.ts'

/** Records of a second are on their way at any time; a lag is made good when its oldest record is younger. */
const recentS = 2
const pollMs = 500
const stillPolls = 6
/** Workers say their lag once a second. */
const saidMs = 1_500

/** Partitions that each step reads. */
function partitionsOf(step: Step): number {
  switch (step.kind) {
    case 'connector':
      return 4
    case 'processor':
      return step.inputs.reduce((sum, { partitions }) => sum + partitions, 0)
    case 'sink':
      return step.input.partitions
  }
}

/** @returns the steps of which a partition is not read by anybody, or read too late */
function behind(texts: readonly string[], steps: readonly Step[], mostS: number): string[] {
  const held = new Map<string, Map<string, number>>()
  for (const text of texts)
    for (const [, labels = '', value = ''] of text.matchAll(/^crypto_intel_lag_seconds\{(.*)\} (\S+)$/gm)) {
      const [, step = ''] = /step="([^"]*)"/.exec(labels) ?? []
      const partitions = held.get(step) ?? new Map<string, number>()
      held.set(step, partitions)
      partitions.set(labels, Math.max(partitions.get(labels) ?? 0, Number(value)))
    }
  return steps
    .filter((step) => {
      const partitions = held.get(step.name)
      return partitions === undefined || partitions.size < partitionsOf(step) || [...partitions.values()].some((lag) => lag > mostS) // prettier-ignore
    })
    .map(({ name }) => name)
}

interface Recovering {
  readonly since: number
  overAt: number
  readonly resolve: (ms: number) => void
}

export class Progress {
  readonly #fleet: Fleet
  readonly #steps: readonly Step[]
  readonly #open = new Set<Recovering>()
  readonly #ending = new AbortController()
  readonly #polling: Promise<void>

  constructor(fleet: Fleet, steps: readonly Step[]) {
    this.#fleet = fleet
    this.#steps = steps
    this.#polling = this.#poll()
  }

  /**
   * @param over before it ends nobody can recover
   * @returns milliseconds from now until every step keeps up again; undefined where the run ended before
   */
  recovery(over: Promise<unknown>): Promise<number | undefined> {
    return new Promise((resolve) => {
      const recovering: Recovering = { since: performance.now(), overAt: Infinity, resolve }
      const end = (): void => void (recovering.overAt = performance.now())
      over.then(end, end)
      this.#open.add(recovering)
      this.#ending.signal.addEventListener('abort', () => resolve(undefined))
    })
  }

  async stop(): Promise<void> {
    this.#ending.abort()
    await this.#polling
  }

  async #poll(): Promise<void> {
    const { signal } = this.#ending
    while (!signal.aborted) {
      await sleep(pollMs, undefined, { signal }).catch(() => {})
      const asked = performance.now()
      const texts = await this.#fleet.scrape()
      if (behind(texts, this.#steps, recentS).length > 0) continue
      for (const recovering of this.#open) {
        // What they said may be older than the fault.
        if (asked - recovering.overAt < saidMs) continue
        this.#open.delete(recovering)
        recovering.resolve(performance.now() - recovering.since)
      }
    }
  }
}

/**
 * Waits until no step has anything before it and the tables stand still.
 * @param delivered whether to wait until every alert is delivered, too
 * @returns what still waits when `patienceMs` have passed; nothing where all is done
 */
export async function drain(
  fleet: Fleet,
  steps: readonly Step[],
  tables: Tables,
  patienceMs: number,
  delivered: boolean,
): Promise<string[]> {
  // prettier-ignore
  const deadline = performance.now() + patienceMs
  for (let [last, still] = ['', 0]; ;) {
    await sleep(pollMs)
    const texts = await fleet.scrape()
    const lags = readSteps(texts, steps.map(({ name }) => name)).filter(({ lag }) => lag > 0) // prettier-ignore
    const waiting = [...lags.map(({ name, lag }) => `${name} has ${lag} records before it`), ...behind(texts, steps, 0).map((name) => `${name} does not read every partition`)] // prettier-ignore
    const open = await tables.query<{ n: number }>("SELECT count(*)::int AS n FROM alert_outbox WHERE status IN ('pending', 'sending', 'failed')") // prettier-ignore
    if (delivered && (open[0]?.n ?? 0) > 0) waiting.push(`${open[0]?.n} alerts are not delivered`)
    const now = JSON.stringify(await tables.counts())
    still = now === last && waiting.length === 0 ? still + 1 : 0
    last = now
    if (still >= stillPolls) return []
    if (performance.now() > deadline) return waiting.length > 0 ? waiting : ['the tables do not stand still']
  }
}
