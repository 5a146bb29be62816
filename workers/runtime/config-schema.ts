/** The table of environment variables: what each is for, what it must be, and how it is read. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { z } from 'zod'

/** A server that a command may need; its variable is then required. */
export type Server = 'kafka' | 'registry' | 'database' | 'redis'

export interface About {
  readonly description: string
  /** What a value must be, to follow the word "expected". */
  readonly expected: string
  /** The default as the README shows it. */
  readonly default?: string
  readonly secret?: true
  readonly server?: Server
}

export const abouts = z.registry<About>()

function whole(fallback: number, min: number, max: number, description: string, defaultText = String(fallback)) {
  const expected = `a whole number from ${min} to ${max}`
  const schema = z.string().regex(/^\d+$/).transform(Number).pipe(z.int().min(min).max(max))
  return schema.prefault(String(fallback)).register(abouts, { description, expected, default: defaultText })
}

function choice<const T extends string>(values: readonly T[]) {
  return { schema: z.enum(values), expected: `one of ${values.join(', ')}` }
}

function url(protocols: readonly string[], about: Omit<About, 'expected'>) {
  const expected = `a URL that begins with ${protocols.map((protocol) => `${protocol}://`).join(' or ')}`
  const schema = z.string().refine((text) => text === '' || isUrl(text, protocols))
  return schema.prefault(about.default ?? '').register(abouts, { expected, ...about })
}

function file(description: string) {
  const schema = z.string().refine(isReadable)
  return schema.optional().register(abouts, { description, expected: 'the path of a readable file' })
}

const isReadable = (path: string): boolean => {
  try {
    readFileSync(path)
    return true
  } catch {
    return false
  }
}

const isUrl = (text: string, protocols: readonly string[]): boolean =>
  URL.canParse(text) && protocols.includes(new URL(text).protocol.slice(0, -1)) && new URL(text).host !== ''

const list = (text: string): string[] => text.split(',').flatMap((part) => part.trim() || [])

const brokers = z
  .string()
  .transform(list)
  .refine((hosts) => hosts.every((host) => /^[^\s:/@]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/.test(host)))

/** `31337=http://127.0.0.1:8545,http://127.0.0.1:8546;1=https://…` */
const rpcUrls = z.string().transform((text, context) => {
  const chains = new Map<number, readonly string[]>()
  for (const part of text.split(';').flatMap((entry) => entry.trim() || [])) {
    const [, chainId = '', urls = ''] = /^(\d+)\s*=(.*)$/.exec(part) ?? []
    const good = list(urls).length > 0 && list(urls).every((one) => isUrl(one, ['http', 'https', 'ws', 'wss']))
    if (!good || chains.has(Number(chainId))) context.addIssue({ code: 'custom', message: 'not a list of RPC URLs' })
    chains.set(Number(chainId), list(urls))
  }
  return chains
})

const cores = Math.max(1, availableParallelism() - 1)
const levels = choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
const mechanisms = choice(['plain', 'scram-sha-256', 'scram-sha-512'])

/** One line a variable: kafkaBrokers is KAFKA_BROKERS. */
export const ConfigSchema = z.object({
  kafkaBrokers: brokers.prefault('').register(abouts, {
    description: 'Kafka or Redpanda brokers',
    expected: 'host:port, several separated by commas',
    server: 'kafka',
  }),
  kafkaTls: z
    .stringbool({ truthy: ['true'], falsy: ['false'] })
    .prefault('false')
    .register(abouts, { description: 'TLS to the brokers', expected: 'true or false', default: 'false' }),
  kafkaCaFile: file("Certificate authority of the brokers (PEM), where it is not one of the system's"),
  kafkaSaslMechanism: mechanisms.schema
    .optional()
    .register(abouts, { description: 'SASL mechanism; with username and password', expected: mechanisms.expected }),
  kafkaSaslUsername: z.string().optional().register(abouts, { description: 'SASL user', expected: 'a name' }),
  kafkaSaslPassword: z
    .string()
    .optional()
    .register(abouts, { description: 'SASL password', expected: 'a password', secret: true }),
  schemaRegistryUrl: url(['http', 'https'], {
    description: 'Schema registry, with user:password@ where it asks for them',
    secret: true,
    server: 'registry',
  }),
  databaseUrl: url(['postgres', 'postgresql'], {
    description: 'TimescaleDB or PostgreSQL',
    secret: true,
    server: 'database',
  }),
  databaseCaFile: file("Certificate authority of the database (PEM), where it is not one of the system's"),
  databasePool: whole(8, 1, 1000, 'Database connections of a process'),
  redisUrl: url(['redis', 'rediss'], {
    description: 'Redis, rediss:// for TLS',
    secret: true,
    server: 'redis',
  }),
  watchFile: z
    .string()
    .prefault('watch.yaml')
    .register(abouts, { description: 'The watch file', expected: 'a path', default: 'watch.yaml' }),
  namespace: z
    .string()
    .regex(/^[a-z0-9-]*$/)
    .prefault('')
    .register(abouts, {
      description: 'Prefix of topics, consumer groups and state keys, so that installations can share servers',
      expected: 'lower-case letters, digits and dashes',
      default: '',
    }),
  metricsPort: whole(9464, 0, 65_535, 'Port of /metrics, /livez and /readyz; 0 takes any that is free'),
  metricsHost: z.string().prefault('127.0.0.1').register(abouts, {
    description: 'Address that they listen on; 0.0.0.0 is all of the machine, as in the image',
    expected: 'an address',
    default: '127.0.0.1',
  }),
  logLevel: levels.schema
    .prefault('info')
    .register(abouts, { description: 'What is logged', expected: levels.expected, default: 'info' }),
  threads: whole(cores, 1, 256, 'Threads that run processors', 'cores − 1, at least 1'),
  threadMemoryMb: z
    .string()
    .regex(/^\d+$/)
    .transform(Number)
    .pipe(z.int().min(16).max(1_048_576))
    .optional()
    .register(abouts, {
      description:
        "Memory of a thread for its steps' state, in MiB; without it Node's own limit (4 GiB on a large machine, less on a small one). A thread that runs out is replaced, and the record it died of is left out",
      expected: 'a whole number from 16 to 1048576',
    }),
  recordTimeoutMs: whole(
    10_000,
    100,
    3_600_000,
    'Processor time on one record after which its thread is ended and the record left out, in milliseconds',
  ),
  replicationFactor: whole(1, 1, 15, 'Replicas of the topics that are created'),
  checkpointMs: whole(1_000, 10, 60_000, 'A processor checkpoints at most this many milliseconds after a record'),
  checkpointRecords: whole(10_000, 1, 1_000_000, 'A processor checkpoints after at most this many records'),
  snapshotMs: whole(
    600_000,
    100,
    86_400_000,
    'A processor writes a changed slot to `state.snapshots.v1` once in so many milliseconds',
  ),
  batchRecords: whole(2_000, 1, 100_000, 'Most records of one task'),
  queueBytes: whole(32 * 1024 ** 2, 1024, 8 * 1024 ** 3, 'Bytes that a step queues between fetch and work'),
  producerLingerMs: whole(5, 0, 10_000, 'A connector sends what it has after this many milliseconds'),
  producerBatchBytes: whole(262_144, 1, 1024 ** 3, 'A connector sends as soon as this many bytes wait'),
  producerQueueBytes: whole(
    64 * 1024 ** 2,
    1024,
    8 * 1024 ** 3,
    'Bytes waiting for the brokers above which a connector is congested and a processor waits',
  ),
  sessionTimeoutMs: whole(10_000, 1_000, 300_000, 'Silence after which a group gives up a member, in milliseconds'),
  stallMs: whole(
    15_000,
    1_000,
    3_600_000,
    'Time without progress after which a partition is reported and opened again, in milliseconds; time-outs follow from it',
  ),
  shutdownMs: whole(10_000, 100, 600_000, 'Time to stop in, in milliseconds'),
  binanceSpotRestUrl: url(['http', 'https'], {
    description: 'Binance spot REST API',
    default: 'https://api.binance.com',
  }),
  binanceSpotWsUrl: url(['ws', 'wss'], {
    description: 'Binance spot streams',
    default: 'wss://stream.binance.com:9443',
  }),
  evmRpcUrls: rpcUrls.prefault('').register(abouts, {
    description: 'RPC nodes of each chain',
    expected: 'chainId=url,url;chainId=url: each chain once, URLs of http, https, ws or wss',
    default: '',
    secret: true,
  }),
})
