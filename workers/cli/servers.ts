/** The servers for a command that ends: clients made when first needed and closed when the work is done. */
import { connect } from 'node:net'
import { loadConfig, type Config } from '../runtime/config.ts'
import type { Server } from '../runtime/config-schema.ts'
import { createContext } from '../runtime/context.ts'
import { RetryableError } from '../runtime/errors.ts'
import { Installation, type Failing, type Reading } from '../runtime/installation.ts'
import { answerMs } from '../runtime/kafka/until-answered.ts'
import { WatchSchema, type Watch } from '../runtime/watch.ts'
import type { App } from './app.ts'

/**
 * Runs `work` with the servers that it requires.
 * @throws FatalError where their variables are missing or wrong, and whatever `work` throws
 */
export async function withServers<T>(
  app: App,
  require: readonly Server[],
  work: (servers: Installation) => Promise<T>,
): Promise<T> {
  // What goes wrong is thrown; lines of a log would stand among the result.
  const config = { ...loadConfig(app.env, { require }), logLevel: 'silent' as const }
  if (require.includes('kafka')) await assertReachable(config.kafkaBrokers)
  return withInstallation(config, WatchSchema.parse({}), {}, work)
}

/**
 * Runs `work` with the clients of an installation, which are closed when it ends; what is fatal to a step ends it too, unless
 * what fails is to fail alone.
 * @throws whatever `work` throws or is fatal
 */
export async function withInstallation<T>(
  config: Config,
  watch: Watch,
  reading: Reading,
  work: (servers: Installation) => Promise<T>,
  failing: Failing = 'together',
): Promise<T> {
  const ending = new AbortController()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  const releasers: (() => Promise<void> | void)[] = []
  const shutdown = {
    signal: ending.signal,
    onStop: (_name: string, release: () => Promise<void> | void) => {
      releasers.push(release)
      return () => {}
    },
    stop: () => {},
    fatal: (error: unknown) => {
      ending.abort()
      failed.reject(error)
    },
  }
  const health = { port: 0, register: () => () => {}, close: async () => {} }
  const context = createContext(config, watch, 'command', ending.signal)
  try {
    const patient = { ...reading, patienceMs: answerMs }
    return await Promise.race([work(new Installation(context, health, shutdown, patient, failing)), failed.promise])
  } finally {
    for (const release of releasers.reverse()) await release()
  }
}

const patienceMs = 3_000

/** kafkajs would try for a quarter of a minute. @throws RetryableError where no broker takes a connection */
export async function assertReachable(brokers: readonly string[]): Promise<void> {
  try {
    await Promise.any(brokers.map(reach))
  } catch (error) {
    const [cause]: unknown[] = error instanceof AggregateError ? error.errors : [error]
    const hint = 'is it running, and does KAFKA_BROKERS point to it?'
    throw new RetryableError('unavailable', `Connecting to Kafka at ${brokers.join(', ')}`, { cause, hint })
  }
}

function reach(broker: string): Promise<void> {
  const { hostname, port } = new URL(`kafka://${broker}`)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) })
    socket.setTimeout(patienceMs, () => socket.destroy(new Error(`no answer in ${patienceMs} ms`)))
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
  })
}
