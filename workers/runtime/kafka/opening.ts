/** How a partition that is held is opened: it rests, its owner reads where the store stands, and it is read from there. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../definitions.ts'
import { RetryableError, classify, oneLine } from '../errors.ts'
import { Ownership } from '../ownership.ts'
import type { Held } from './held.ts'
import { startOf, type LogEnds } from './log-ends.ts'
import type { Member } from './member.ts'

export interface OpenerOptions {
  readonly context: Context
  readonly ends: LogEnds
  readonly step: string
  readonly member: Pick<Member, 'seek' | 'pause' | 'resume'>
  /** A topic as the servers call it. */
  nameOf(held: Held): string
}

const firstBackoffMs = 100
const longestBackoffMs = 5_000

export class Opener {
  readonly #options: OpenerOptions
  readonly #ending = new AbortController()

  constructor(options: OpenerOptions) {
    this.#options = options
  }

  /** Nothing is opened any more. */
  stop(): void {
    this.#ending.abort()
  }

  /** Whether a partition is still held under that ownership. */
  holds(held: Held, ownership: Ownership | undefined): boolean {
    return !this.#ending.signal.aborted && ownership === held.ownership && ownership?.over === false
  }

  /**
   * Pauses the partition, reads the store, seeks, resumes; again until it works or the assignment is gone.
   * @param restMs how long it rests before, in milliseconds
   */
  open(held: Held, restMs = 0): void {
    held.ownership?.end()
    held.abandonedAt = undefined
    const ownership = (held.ownership = new Ownership((error, about) => this.#failed(held, error, about)))
    this.#options.member.pause(this.#options.nameOf(held), held.partition)
    if (restMs === 0) held.state = 'opening'
    // A failure that opening does not share would come again at once.
    const pauseMs = held.failures > 1 ? Math.min(firstBackoffMs * 2 ** held.failures, longestBackoffMs) : 0
    void this.#openAfter(Math.max(restMs, pauseMs), held, ownership)
  }

  /** Members join again also where a topic was made anew, and go on where they were: is it still the log that was read? */
  async verify(held: Held): Promise<void> {
    const { ownership, partition, next: offset, appendTime } = held
    const { ends, step, context } = this.#options
    try {
      await startOf(ends, step, this.#options.nameOf(held), partition, { offset, appendTime })
    } catch (error) {
      if (!this.holds(held, ownership)) return
      if (classify(error) === 'fatal') ownership?.fail(error)
      else context.log.debug({ error: oneLine(error) }, 'verifying a log')
    }
  }

  async #openAfter(restMs: number, held: Held, ownership: Ownership): Promise<void> {
    held.moved(restMs)
    await this.#rest(restMs)
    if (!this.holds(held, ownership)) return
    held.state = 'opening'
    for (let backoff = firstBackoffMs; this.holds(held, ownership); backoff = Math.min(backoff * 2, longestBackoffMs)) {
      try {
        return await this.#openOnce(held, ownership)
      } catch (error) {
        if (!this.holds(held, ownership)) return
        if (classify(error) !== 'retryable') return ownership.fail(error)
        held.refused = error instanceof RetryableError && error.code === 'newer-state'
        held.moved(backoff)
        const { topic, partition } = held
        this.#options.context.log.warn({ topic: topic.name, partition, error: oneLine(error) }, 'opening a slot')
        await this.#rest(backoff)
      }
    }
  }

  async #openOnce(held: Held, ownership: Ownership): Promise<void> {
    const { ends, step, member } = this.#options
    const name = this.#options.nameOf(held)
    const resumption = await held.slot.open(ownership)
    const offset = await startOf(ends, step, name, held.partition, resumption)
    if (!this.holds(held, ownership)) return
    held.refused = false
    held.openedAt = Date.now()
    held.slot.opened(offset)
    held.state = 'reading'
    held.next = offset
    held.appendTime = resumption.appendTime
    held.moved()
    member.seek(name, held.partition, offset)
    member.resume(name, held.partition)
  }

  /** What was held is over; it rests, and begins again from its store. */
  #failed(held: Held, error: unknown, about: Readonly<Record<string, unknown>> = {}): void {
    held.slot.close()
    held.state = 'failed'
    this.#options.member.pause(this.#options.nameOf(held), held.partition)
    const { topic, partition, next } = held
    const restMs = held.unit.fail(error, { topic: topic.name, partition, read: next, ...about })
    if (!this.#ending.signal.aborted) this.open(held, restMs)
  }

  async #rest(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#ending.signal }).catch(() => {})
  }
}
