/** The only place that creates Kafka clients: security, logging, names with their namespace, and what kafkajs needs mended. */
import { readFileSync } from 'node:fs'
import { Kafka, Partitioners, logLevel, type KafkaConfig, type LogEntry, type SASLOptions } from 'kafkajs'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Topic } from '../definitions.ts'
import { mendKafkajs } from './mend-kafkajs.ts'
import { mendRecords } from './record-format.ts'

mendKafkajs()
mendRecords()

/** @returns a client; connections are made when a producer, consumer or admin is. */
export function createKafka(config: Config, log: Logger): Kafka {
  return new Kafka({
    clientId: 'crypto-intel',
    brokers: [...config.kafkaBrokers],
    connectionTimeout: 3_000,
    // Who is silent for so long is asked again on another connection: see mend-kafkajs.ts.
    requestTimeout: Math.min(30_000, (config.stallMs * 2) / 3),
    retry: { initialRetryTime: 100, maxRetryTime: 5_000, retries: 8 },
    ...security(config),
    logLevel: logLevel.WARN,
    logCreator: () => passingOn(log),
  })
}

const sameWordsMs = 5_000
const mostWords = 100

/**
 * What kafkajs calls an error it mostly mends by itself: a refusal that it answers by trying again is no news, a lost
 * connection is a warning. Our own code says when a person should act. While the brokers are away each of some dozen connections says so several
 * times a second: the same words are said once in a while, with how often more they were meant.
 */
function passingOn(log: Logger): (entry: LogEntry) => void {
  const told = new Map<string, { atMs: number; unsaid: number }>()
  return ({ level, log: { message, error, groupId, broker } }) => {
    const news = level <= logLevel.ERROR && !message.startsWith('Response ')
    if (!news) return log.debug({ kafka: message, error, groupId, broker }, 'kafka client')
    const [now, last] = [Date.now(), told.get(message)]
    if (last !== undefined && now - last.atMs < sameWordsMs) return void last.unsaid++
    const more = last === undefined || last.unsaid === 0 ? undefined : last.unsaid
    if (told.size >= mostWords) told.clear()
    told.set(message, { atMs: now, unsaid: 0 })
    log.warn({ kafka: message, error, groupId, broker, more }, 'kafka client')
  }
}

function security(config: Config): Pick<KafkaConfig, 'ssl' | 'sasl'> {
  const { kafkaSaslMechanism: mechanism, kafkaSaslUsername: username = '', kafkaSaslPassword: password = '' } = config
  const sasl: SASLOptions | undefined = mechanism === undefined ? undefined : saslOptions(mechanism, username, password)
  const ca = config.kafkaCaFile === undefined ? undefined : [readFileSync(config.kafkaCaFile, 'utf8')]
  const ssl = config.kafkaTls ? { ssl: ca === undefined ? true : { ca } } : {}
  return sasl === undefined ? ssl : { ...ssl, sasl }
}

function saslOptions(
  mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512',
  username: string,
  password: string,
): SASLOptions {
  switch (mechanism) {
    case 'plain':
      return { mechanism, username, password }
    case 'scram-sha-256':
      return { mechanism, username, password }
    case 'scram-sha-512':
      return { mechanism, username, password }
  }
}

/** Names as the servers know them: installations that share servers differ by their namespace. */
export interface Names {
  topic(topic: Topic | string): string
  group(step: string): string
  subject(topic: Topic): string
}

export function createNames(namespace: string): Names {
  const prefix = namespace === '' ? '' : `${namespace}.`
  const topic = (name: Topic | string): string => prefix + (typeof name === 'string' ? name : name.name)
  return {
    topic,
    group: (step) => `${prefix}crypto-intel.${step}`,
    // TopicNameStrategy
    subject: (name) => `${topic(name)}-value`,
  }
}

const partitioner = Partitioners.DefaultPartitioner()
const cachedKeys = 50_000

/** Partition of a key, as every Kafka client computes it (murmur2); remembers recent keys. */
export class Partitioner {
  readonly #topic: string
  readonly #metadata
  #known = new Map<string, number>()

  constructor(topic: Topic) {
    this.#topic = topic.name
    this.#metadata = Array.from({ length: topic.partitions }, (_, partitionId) => ({
      partitionErrorCode: 0,
      partitionId,
      leader: 0,
      replicas: [],
      isr: [],
    }))
  }

  of(key: string): number {
    let partition = this.#known.get(key)
    if (partition === undefined) {
      partition = partitioner({ topic: this.#topic, partitionMetadata: this.#metadata, message: { key, value: null } })
      if (this.#known.size >= cachedKeys) this.#known = new Map()
      this.#known.set(key, partition)
    }
    return partition
  }
}
