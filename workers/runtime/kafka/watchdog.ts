/**
 * Reports and recovers partitions that have lag and make no progress. kafkajs at times holds a partition and never fetches it
 * (issues 1456, 659): then the consumer is started again. A call that hangs ends by its own time-out, and the slot is opened
 * again: Redis and the brokers may be silent for two thirds of `stallMs`, the database for four (installation.ts).
 */
import type { Context } from '../definitions.ts'
import { FatalError, oneLine } from '../errors.ts'
import type { Ownership } from '../ownership.ts'
import type { Held } from './held.ts'
import { wayOut, type LogEnds } from './log-ends.ts'

export interface WatchdogOptions {
  readonly context: Context
  readonly ends: LogEnds
  readonly step: string
  /** A topic as the servers call it. */
  nameOf(held: Held): string
  held(): Iterable<Held>
  /** Whether it is still held under that ownership. */
  holds(held: Held, ownership: Ownership | undefined): boolean
  /** Whether the step waits for a server that it tries again and again: that is no stall. */
  waiting(): boolean
  open(held: Held): void
  restart(cause: string): void
}

const watchMs = 1_000
/** Where nothing is fetched the log's end is asked for this many times in `stallMs`. */
const probes = 3

export class Watchdog {
  readonly #options: WatchdogOptions
  readonly #timer: NodeJS.Timeout

  constructor(options: WatchdogOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#watch(), Math.min(watchMs, options.context.config.stallMs / probes))
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #watch(): void {
    const { context } = this.#options
    const { stallMs } = context.config
    let unfetched: Held | undefined
    for (const held of this.#options.held()) {
      if (this.#options.waiting()) held.moved()
      const idleMs = held.idleMs()
      if (held.abandonedAt !== undefined && Date.now() - held.abandonedAt > stallMs) this.#options.open(held)
      const unread = held.state === 'reading' && !held.slot.busy && held.abandonedAt === undefined
      // While a slot waits for its store nothing is fetched, and its lag would stand still.
      const shut = held.state === 'failed' || (held.state === 'opening' && held.next > 0)
      // With nothing before it there is no work that could show it.
      if (held.state === 'reading' && held.unit.failed && held.lag === 0 && held.probedAt > held.openedAt) held.unit.recovered() // prettier-ignore
      const due = Date.now() - held.probedAt >= stallMs / probes
      if (due && (shut || (unread && idleMs >= stallMs / probes))) void this.#probe(held)
      const stalled =
        idleMs > stallMs &&
        held.abandonedAt === undefined &&
        held.state !== 'failed' &&
        (held.slot.busy || held.lag > 0 || held.state === 'opening')
      this.#report(held, stalled, unread ? 'it is not fetched' : held.state === 'opening' ? 'it is not opened' : 'its work hangs') // prettier-ignore
      if (stalled && unread) unfetched ??= held
    }
    if (unfetched !== undefined) this.#options.restart(`no fetch of ${unfetched.topic.name}:${unfetched.partition}`)
  }

  /** Once at the beginning and once at the end of a stall. */
  #report(held: Held, stalled: boolean, why: string): void {
    if (held.stalled === stalled) return
    held.stalled = stalled
    const { context, step } = this.#options
    const [topic, { partition, lag }] = [held.topic.name, held]
    if (stalled) {
      context.metrics.stalls.inc({ step, topic })
      context.log.warn({ topic, partition, lag, idleMs: held.idleMs() }, `a partition makes no progress: ${why}`)
    } else context.log.info({ topic, partition, lag }, 'the partition makes progress again')
  }

  /** Asks where the log ends, since an empty fetch does not tell, and whether we still stand within it. */
  async #probe(held: Held): Promise<void> {
    const { ends, step, context } = this.#options
    const name = this.#options.nameOf(held)
    const { next, ownership, state } = held
    held.probedAt = Date.now()
    try {
      const { low, high } = await ends.of(name, held.partition)
      if (!this.#options.holds(held, ownership) || held.state !== state) return
      held.highWatermark = Math.max(held.highWatermark, high)
      if (state !== 'reading') return
      if (held.next >= high) held.moved()
      if (next <= high && held.next >= low) return
      const message = `${step} stands at offset ${held.next} of ${name}:${held.partition}, whose log holds ${low} to ${high}`
      ownership?.fail(
        new FatalError('offset', `${message}: it was cut or made anew while it was read`, { hint: wayOut(step) }),
      )
    } catch (error) {
      context.log.debug({ error: oneLine(error) }, 'asking for the end of a log')
    }
  }
}
