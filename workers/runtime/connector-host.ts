/** Runs a connector: shares its feeds with the other replicas and runs it over those that this one holds. */
import { setTimeout as sleep } from 'node:timers/promises'
import { topics } from '../../schemas/topics.ts'
import { CursorSlot } from './cursor-slot.ts'
import { Session } from './connector-session.ts'
import { forStep } from './context.ts'
import type { Connector, Context } from './definitions.ts'
import { classify, oneLine } from './errors.ts'
import type { Installation } from './installation.ts'
import { Partitioner } from './kafka/client.ts'
import { Ownership } from './ownership.ts'
import { Group } from './kafka/group.ts'
import { createAccumulator, registerSchemas, reportGroup, type RunningStep } from './step-support.ts'

const firstBackoffMs = 250
const longestBackoffMs = 10_000
/** A run that lasted this long was not a failed start. */
const healthyMs = 60_000
/** A run that lasts so long after a failure has got over it. */
const recoveredMs = 10_000
/** Feeds that the line about a failure names. */
const mostNamed = 10

/** Starts the connector in this process; it ends with the installation. */
export async function startConnector(step: Connector, installation: Installation): Promise<RunningStep> {
  const context = forStep(installation.context, step.name)
  const runner = await createRunner(step, context, installation)
  const partitioner = new Partitioner(topics.feedsCursors)
  const feeds = step.feeds(context.watch)
  const held = new Set<CursorSlot>()
  const group = new Group({
    context,
    kafka: installation.kafka,
    ends: installation.ends,
    names: installation.names,
    step: step.name,
    topics: [topics.feedsCursors],
    createSlot: (control) => {
      const slot = new CursorSlot(step.name, control, installation, () => changed(slot))
      held.add(slot)
      return slot
    },
    units: installation.units,
  })
  // A rebalance brings several slots, which begin together when all are ready; what is lost ends at once.
  const changed = (slot: CursorSlot): void => {
    if (!slot.ready) held.delete(slot)
    const slots = [...held]
    if (slot.ready && !slots.every(({ ready }) => ready)) return
    const slotOf = (feed: string): CursorSlot | undefined =>
      slots.find(({ partition, ready }) => ready && partition === partitioner.of(feed))
    runner.assign(
      feeds
        .filter((feed) => slotOf(feed) !== undefined)
        .map((feed) => ({
          feed,
          opening: slotOf(feed)?.opening ?? 0,
          cursor: () => slotOf(feed)?.cursorOf(feed),
          lastSession: () => slotOf(feed)?.sessionOf(feed) ?? 0,
        })),
    )
  }
  const unreport = reportGroup(installation, step.name, group, runner, () => {})
  await group.start()
  return {
    name: step.name,
    async stop() {
      unreport()
      await runner.stop()
      await group.stop()
    },
  }
}

interface Assigned {
  readonly feed: string
  /** Another than before: others may have run the feed in between. */
  readonly opening: number
  readonly cursor: () => string | undefined
  readonly lastSession: () => number
}

interface Runner {
  /** Whether sending is being tried again. */
  readonly retrying: boolean
  /** Bytes that wait for their acknowledgement. */
  readonly queuedBytes: number
  assign(feeds: readonly Assigned[]): void
  stop(): Promise<void>
}

async function createRunner(step: Connector, context: Context, installation: Installation): Promise<Runner> {
  const schemaIds = await registerSchemas(installation, [...step.outputs, topics.feedsCursors])
  const accumulator = await createAccumulator(installation, context, step.name)
  const unit = installation.units.register({ step: step.name, unit: 'feeds', whole: true })
  let wanted: readonly Assigned[] = []
  let ending = new AbortController()
  let stopped = false
  let running: Promise<void> = Promise.resolve()

  const run = async (feeds: readonly Assigned[], signal: AbortSignal): Promise<void> => {
    for (
      let backoff = firstBackoffMs;
      !signal.aborted && feeds.length > 0;
      backoff = Math.min(backoff * 2, longestBackoffMs)
    ) {
      const started = Date.now()
      const lastSession = Math.max(0, ...feeds.map((feed) => feed.lastSession()))
      const held = feeds.map(({ feed, cursor }) => ({ feed, cursor: cursor() }))
      // What the brokers refuse ends the run, as does what the connector throws.
      const failure = new AbortController()
      const ending = AbortSignal.any([signal, failure.signal])
      let pauseMs: number | undefined
      const ownership = new Ownership((error) => {
        pauseMs = unit.fail(error, { feeds: feeds.map(({ feed }) => feed).slice(0, mostNamed) })
        failure.abort()
      })
      const healthy = setTimeout(() => unit.recovered(), recoveredMs)
      const session = new Session({ step, feeds: held, context, signal: ending, ownership, installation, accumulator, schemaIds, lastSession }) // prettier-ignore
      const failed = (error: unknown): void => {
        if (ending.aborted) return
        if (classify(error) === 'retryable') {
          context.metrics.errors.inc({ step: step.name, class: 'retryable' })
          context.log.warn({ error: oneLine(error) }, 'the connector is run again')
        } else ownership.fail(error)
      }
      try {
        await step.run(session)
        if (!ending.aborted) context.log.warn('the connector ended by itself and is run again')
      } catch (error) {
        failed(error)
      } finally {
        clearTimeout(healthy)
        // A cursor that cannot be saved is only older than it could be.
        await session.close().catch(failed)
      }
      if (Date.now() - started > healthyMs) backoff = firstBackoffMs
      await sleep(pauseMs ?? backoff, undefined, { signal }).catch(() => {})
    }
  }

  return {
    get retrying() {
      return accumulator.retrying
    },
    get queuedBytes() {
      return accumulator.queuedBytes
    },
    assign(feeds) {
      const same =
        feeds.length === wanted.length &&
        feeds.every(({ feed, opening }, at) => feed === wanted[at]?.feed && opening === wanted[at]?.opening)
      if (same || stopped) return
      const left = wanted.filter(({ feed }) => !feeds.some((held) => held.feed === feed))
      wanted = feeds
      ending.abort()
      // What another replica holds now is its to report.
      for (const { feed } of left) {
        context.metrics.feedStaleness.remove({ feed })
        context.metrics.clockSkew.remove({ feed })
      }
      ending = new AbortController()
      const { signal } = ending
      running = running.then(() => run(feeds, signal))
    },
    async stop() {
      stopped = true
      ending.abort()
      await running
      unit.remove()
      await accumulator.flushed().catch(() => {})
      accumulator.close()
    },
  }
}
