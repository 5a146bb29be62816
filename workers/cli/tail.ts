/** `tail`: the records of a topic, decoded, one line each. */
import type { Command } from 'commander'
import type { KafkaMessage } from 'kafkajs'
import { topics as knownTopics } from '../../schemas/topics.ts'
import type { Topic } from '../runtime/definitions.ts'
import type { Installation } from '../runtime/installation.ts'
import { Partitioner } from '../runtime/kafka/client.ts'
import { followTopic, type Stretch } from '../runtime/kafka/read.ts'
import { find, isoTime, textOf, toJson, type App } from './app.ts'
import { MessageReader, type Content } from './message-reader.ts'
import { readingStart, wholeNumber, type From } from './options.ts'
import { withServers } from './servers.ts'
import { assertTopics } from './topics-plan.ts'

interface Options {
  readonly from: From
  readonly limit?: number
  readonly key?: string
  readonly follow: boolean
  readonly headers?: true
  readonly json?: true
}

export function addTail(program: Command, app: App): void {
  program
    .command('tail')
    .description('Print the records of a topic, decoded, until Ctrl-C; lines with ~ are time marks.')
    .argument('<topic>', 'for example market.trades.v1')
    .option('--from <place>', 'earliest, latest, or -N: the newest N of each partition', readingStart, 'latest')
    .option('--limit <n>', 'end after so many records', wholeNumber)
    .option('--no-follow', 'end where the topic ends now')
    .option('--key <key>', 'only records of this key')
    .option('--headers', 'print the headers too')
    .option('--json', 'print JSON, one line each')
    .addHelpText('after', '\nExample:\n  npm start -- tail market.trades.v1 --from -10 --key binance-spot:BTC-USDT')
    .action((name: string, options: Options) => tail(app, name, options))
}

async function tail(app: App, name: string, options: Options): Promise<void> {
  const topic: Topic = find<Topic>(Object.values(knownTopics), name, 'topic')
  const { key, limit = Infinity } = options
  const stopped = app.untilStopped()
  await withServers(app, ['kafka', 'registry'], async (servers) => {
    const admin = await servers.admin()
    await assertTopics(admin, servers.names, [topic])
    const stretches = await stretchesOf(topic, options, servers)
    const reader = new MessageReader(topic, servers.registry)
    const enough = new AbortController()
    let count = 0
    const each = async (message: KafkaMessage, partition: number): Promise<void> => {
      if (count >= limit || (key !== undefined && message.key?.toString() !== key)) return
      const content = await reader.read(message)
      app.print(options.json ? jsonLine(partition, message, content) : textLine(partition, message, content, options))
      // Marks tell of time and are no records.
      if (content.kind !== 'mark' && ++count >= limit) enough.abort()
    }
    if (limit > 0) {
      const { kafka, names } = servers
      const signal = AbortSignal.any([stopped, enough.signal])
      await followTopic({ kafka, admin, names }, names.topic(topic), stretches, each, signal)
    }
  })
}

async function stretchesOf(
  topic: Topic,
  { from, follow, key }: Options,
  servers: Installation,
): Promise<Omit<Stretch, 'topic'>[]> {
  const only = key === undefined ? undefined : new Partitioner(topic).of(key)
  const ends = await servers.ends.all(servers.names.topic(topic))
  return ends
    .filter(({ partition }) => only === undefined || partition === only)
    .map(({ partition, low, high }) => {
      const first = from === 'earliest' ? low : from === 'latest' ? high : Math.max(low, high - from.last)
      return { partition, from: first, to: follow ? Infinity : high }
    })
}

function jsonLine(partition: number, message: KafkaMessage, content: Content<object>): string {
  return toJson({
    partition,
    offset: Number(message.offset),
    appended: isoTime(Number(message.timestamp) * 1_000),
    key: message.key === null ? null : textOf(message.key),
    headers: headersOf(message),
    ...content,
  })
}

function textLine(partition: number, message: KafkaMessage, content: Content<object>, { headers }: Options): string {
  const place = `${partition}:${message.offset}`
  const key = message.key === null || message.key.length === 0 ? '-' : textOf(message.key)
  const more = headers ? `  ${toJson(headersOf(message))}` : ''
  return `${place}  ${key}  ${describe(content)}${more}`
}

function describe(content: Content<object>): string {
  switch (content.kind) {
    case 'record':
      return toJson(content.record)
    case 'mark': {
      const { origin, time, block, finalized, removed } = content.mark
      const height = block === null ? '' : ` block ${block}, finalized ${finalized ?? '-'}`
      return `~ ${origin} has come to ${isoTime(time)}${height}${removed ? ', later blocks removed' : ''}`
    }
    case 'unreadable':
      return `! ${content.error}: 0x${content.bytes.toString('hex')}`
  }
}

function headersOf({ headers = {} }: KafkaMessage): Record<string, string> {
  const texts = Object.entries(headers).flatMap(([name, value]): [string, string][] => {
    const first = Array.isArray(value) ? value[0] : value
    return first === undefined ? [] : [[name, typeof first === 'string' ? first : textOf(first)]]
  })
  return Object.fromEntries(texts)
}
