/** Sends what is in the outbox to the channels of the watch file; replicas share the work and the channels' pace. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { readSecret, type Env } from '../../workers/runtime/config.ts'
import { connectDatabase, type Database } from '../../workers/runtime/database.ts'
import type { Context, Micros, Service } from '../../workers/runtime/definitions.ts'
import { traceIdOf } from '../../workers/runtime/trace.ts'
import type { Channel } from '../../workers/runtime/watch.ts'
import type { AlertChannel, Outcome } from './channel.ts'
import { claim, nextDueMs, outboxChannel, record, registerChannel, strayMessages } from './outbox.ts'
import { telegram } from './telegram.ts'
import { webhook } from './webhook.ts'

/** However soon the next message seems due: another dispatcher may hold it. */
const shortestWaitMs = 50
/** However long nothing is said: a notification may have been lost with its connection. */
const longestWaitMs = 5_000
const outcomes: readonly Outcome['kind'][] = ['sent', 'retry', 'rejected', 'gone']

/**
 * The dispatcher: runs until the service's signal aborts, then ends after the messages in flight.
 * @throws FatalError `configuration` that names the variable of a secret that is missing
 */
export async function dispatchAlerts({ context, signal }: Service): Promise<void> {
  const { databaseUrl: url, databaseCaFile: caFile } = context.config
  const channels = openChannels(context.watch.channels, process.env, () => context.now())
  const database = await connectDatabase({ url, caFile, connections: Math.max(1, Math.min(channels.size, 4)) })
  const failed = new AbortController()
  const ends = AbortSignal.any([signal, failed.signal])
  try {
    const stray = await strayMessages(database, [...channels.keys()])
    if (stray > 0) context.log.warn({ messages: stray }, 'alerts wait for channels that are not in the watch file')
    const bell = new Bell()
    const work = [...channels].map(([name, channel]) =>
      dispatch({ database, context, name, channel, bell, signal: ends }),
    )
    const ear = database.listen(outboxChannel, () => bell.ring(), ends)
    // One that fails must not leave the others running behind the host's back.
    const all = [...work, ear].map((part) => part.catch((error: unknown) => (failed.abort(), Promise.reject(error))))
    const [broken] = (await Promise.allSettled(all)).filter((part) => part.status === 'rejected')
    if (broken !== undefined) throw broken.reason
  } finally {
    await database.close()
  }
}

/** @throws FatalError that names the variable of a secret that is missing */
export function openChannels(
  channels: Readonly<Record<string, Channel>>,
  env: Env,
  now: () => Micros,
): ReadonlyMap<string, AlertChannel> {
  return new Map(Object.entries(channels).map(([name, channel]) => [name, openChannel(channel, env, now)]))
}

function openChannel(channel: Channel, env: Env, now: () => Micros): AlertChannel {
  switch (channel.kind) {
    case 'webhook':
      return webhook({ url: channel.url, secret: readSecret(channel.secretFrom, env), now: () => now() / 1_000 })
    case 'telegram':
      return telegram({ baseUrl: channel.baseUrl, token: readSecret(channel.tokenFrom, env), chatId: channel.chatId })
  }
}

/** Wakes all who wait when something new is in the outbox. */
class Bell {
  #rung = Promise.withResolvers<void>()

  ring(): void {
    this.#rung.resolve()
    this.#rung = Promise.withResolvers<void>()
  }

  get rung(): Promise<void> {
    return this.#rung.promise
  }
}

interface Dispatch {
  readonly database: Database
  readonly context: Context
  readonly name: string
  readonly channel: AlertChannel
  readonly bell: Bell
  readonly signal: AbortSignal
}

/** Sends one message of a channel after the other. */
async function dispatch({ database, context, name, channel, bell, signal }: Dispatch): Promise<void> {
  const owner = randomUUID()
  for (const outcome of outcomes) context.metrics.alertDeliveries.inc({ channel: name, outcome }, 0)
  await registerChannel(database, name, channel)
  while (!signal.aborted) {
    const { rung } = bell
    const claimed = await claim(database, name, channel, owner)
    if (claimed === undefined) {
      const due = await nextDueMs(database, name)
      await wait(Math.min(Math.max(due ?? longestWaitMs, shortestWaitMs), longestWaitMs), rung, signal)
      continue
    }
    const outcome = await channel.send(claimed.delivery)
    const ours = await record(database, name, owner, claimed, outcome)
    context.metrics.alertDeliveries.inc({ channel: name, outcome: outcome.kind })
    const traceId = claimed.trace === undefined ? undefined : traceIdOf(claimed.trace)
    const facts = { channel: name, alert: claimed.delivery.id, attempts: claimed.attempts, trace_id: traceId }
    if (outcome.kind === 'sent') context.log.info(facts, 'alert sent')
    if (!ours) context.log.warn(facts, 'another dispatcher took over the alert: it may arrive twice')
    if (outcome.kind === 'retry') context.log.warn({ ...facts, error: outcome.error }, 'the alert will be sent again')
    if (outcome.kind === 'rejected')
      context.log.error({ ...facts, error: outcome.error }, 'the channel refuses the alert')
    if (outcome.kind === 'gone') {
      context.log.error(
        { ...facts, error: outcome.error },
        'the channel wants no more alerts until its address changes',
      )
    }
  }
}

async function wait(ms: number, rung: Promise<void>, signal: AbortSignal): Promise<void> {
  const over = new AbortController()
  const timer = sleep(ms, undefined, { signal: AbortSignal.any([signal, over.signal]) }).catch(() => {})
  await Promise.race([timer, rung])
  over.abort()
}
