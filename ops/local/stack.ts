/** The servers that the workers need, as child processes on free ports: Kafka, a schema registry, PostgreSQL and Redis. */
import { join } from 'node:path'
import { localFolder } from './paths.ts'
import { markedProcessGone } from './process-mark.ts'
import { startServer, type ServerHandle, type ServerPlan } from './server-process.ts'
import { planKafka } from './servers/kafka.ts'
import { planPostgres } from './servers/postgres.ts'
import { planRedis } from './servers/redis.ts'
import { planRegistry } from './servers/registry.ts'
import { claimAnyFolders, claimFolders } from './stack-folders.ts'

export type { ServerHandle } from './server-process.ts'

/** Each server, and the variable by which the workers are told where it is. */
const variables = {
  kafka: 'KAFKA_BROKERS',
  registry: 'SCHEMA_REGISTRY_URL',
  postgres: 'DATABASE_URL',
  redis: 'REDIS_URL',
} as const

export type ServerName = keyof typeof variables
export type StackEnvironment = Record<(typeof variables)[ServerName], string>

const serverNames: readonly ServerName[] = ['kafka', 'registry', 'postgres', 'redis']

export type StackOptions = {
  /** Names the data folder: one stack runs on it at a time. Default `demo`. */
  readonly name?: string
  /** Where `data/<name>` and `logs/<name>` lie. Default: `.local` in the checkout. */
  readonly root?: string
  /** Begin with empty servers. Default: the data of the last run. */
  readonly fresh?: boolean
  /** Begin with empty servers and delete their data at the end; beside a stack of that name that still runs. */
  readonly temporary?: boolean
  /** Use servers that the environment names instead of starting them. Default true. */
  readonly reuse?: boolean
  /** Which servers. Default: all; the environment holds those of the others as they are given, else an empty string. */
  readonly only?: readonly ServerName[]
  /** Fixed ports. Default: free ones. */
  readonly ports?: Partial<Record<ServerName, number>>
  /** Where the broker's clients are told to find it, if not on its own port: a proxy's port. */
  readonly kafkaAdvertisedPort?: number
  readonly onProgress?: (line: string) => void
}

export type Stack = {
  /** For the environment of the workers. */
  readonly env: StackEnvironment
  /** Those that this stack started. */
  readonly servers: Partial<Record<ServerName, ServerHandle>>
  /** Stops every server in order and waits; a second call changes nothing. */
  stop(): Promise<void>
}

/**
 * Starts the servers side by side and waits until each of them answers. They end with the process that started them, in whatever
 * way that ends.
 * @throws one error that names the server and the reason, after the others were stopped.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { name = 'demo', root = localFolder, only = serverNames, onProgress = () => undefined } = options
  const env = environmentOf(options.reuse ?? true)
  const wanted = serverNames.filter((server) => only.includes(server) && env[variables[server]] === '')
  const folders = options.temporary ? claimAnyFolders(root, name) : claimFolders(root, name)
  const pidFile = (server: ServerName) => join(folders.data, `${server}.pid`)
  try {
    // When the process before us was killed, its servers may still be ending.
    await Promise.all(serverNames.map((server) => markedProcessGone(pidFile(server), 20_000)))
    if (options.fresh || options.temporary) folders.wipe()
  } catch (error) {
    folders.release()
    throw error
  }
  const servers: Partial<Record<ServerName, ServerHandle>> = {}
  const startOne = async (server: ServerName) => {
    const since = performance.now()
    const plan = await planOf(server, join(folders.data, server), onProgress, options)
    servers[server] = await startServer(plan, { log: join(folders.logs, `${server}.log`), pid: pidFile(server) })
    env[variables[server]] = plan.address
    onProgress(`${server} answers on port ${plan.ports[0]} after ${((performance.now() - since) / 1000).toFixed(1)} s`)
  }
  let stopping: Promise<void> | undefined
  const stop = () =>
    (stopping ??= (async () => {
      // None of them needs another one to end.
      await Promise.all(Object.values(servers).map((server) => server.stop()))
      if (options.temporary) folders.wipe()
      folders.release()
    })())
  const failed = (await Promise.allSettled(wanted.map(startOne))).find((result) => result.status === 'rejected')
  if (failed) {
    await stop()
    throw failed.reason
  }
  return { env, servers, stop }
}

function environmentOf(reuse: boolean): StackEnvironment {
  const given = (variable: keyof StackEnvironment) => (reuse ? (process.env[variable] ?? '') : '')
  return {
    KAFKA_BROKERS: given('KAFKA_BROKERS'),
    SCHEMA_REGISTRY_URL: given('SCHEMA_REGISTRY_URL'),
    DATABASE_URL: given('DATABASE_URL'),
    REDIS_URL: given('REDIS_URL'),
  }
}

function planOf(
  name: ServerName,
  folder: string,
  onProgress: (line: string) => void,
  { ports, kafkaAdvertisedPort }: StackOptions,
): Promise<ServerPlan> {
  const port = ports?.[name]
  switch (name) {
    case 'kafka':
      return planKafka(folder, port, kafkaAdvertisedPort)
    case 'registry':
      return planRegistry(folder, port)
    case 'postgres':
      return planPostgres(folder, onProgress, port)
    case 'redis':
      return planRedis(folder, port)
  }
}
