/** Good messages of every topic, in the order of a partition: what simulators, steps and recordings have written. */
import { readFileSync, writeFileSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import { topics } from '../../schemas/topics.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { haveRecordings, partitions, recordedInputs, syntheticInputs } from '../replay/inputs.ts'
import * as records from '../sinks/records.ts'
import type { Message } from '../support/driver-slot.ts'
import type { Driver } from '../support/driver.ts'
import { allTopics, encoded, loosened, schemaOf, wirePrefix, type Loose } from './system/messages.ts'

/** A stretch of a partition. */
export interface Log {
  readonly topic: string
  readonly messages: readonly Loose[]
}

export interface Corpus {
  readonly logs: readonly Log[]
}

/** Messages of a log: every run of its topic begins with none of them and takes them all. */
const longestLog = 64
const logsPerTopic = 4
/** Two logs of each: as it came, and thinned out, or no minute would close in it. */
const thinned = new Set([topics.marketTrades.name, topics.marketCandles.name])
/** A recorded block has hundreds of transactions. */
const mostBlockBytes = 6_000
/** The broker appends a message so many milliseconds after its time. */
const onItsWay = 50

/**
 * Makes the corpus; takes some seconds.
 * @param recordings whether recorded markets and blocks are among it, where they are there
 */
export async function makeCorpus(recordings: boolean): Promise<Corpus> {
  const drivers = [syntheticInputs(), ...(recordings && haveRecordings ? [await recordedInputs()] : [])]
  const logs = allTopics.flatMap((topic) => {
    const made = madeUp.get(topic.name)
    const stretches =
      made === undefined
        ? drivers.flatMap((driver) => spread(stretchesOf(driver, topic), logsPerTopic / 2))
        : [made.map((record, index) => messageOf(topic, record, index))]
    return stretches.map((messages): Log => ({ topic: topic.name, messages: stamped(topic, messages) }))
  })
  return { logs }
}

/** So that processes of a run need not make it again. */
export const saveCorpus = (file: string, corpus: Corpus): void => writeFileSync(file, serialize(corpus))

export function loadCorpus(file: string): Corpus {
  const corpus: Corpus = deserialize(readFileSync(file))
  return corpus
}

/** Stretches of every partition of a topic that hold a record. */
function stretchesOf(driver: Driver, topic: Topic): Message[][] {
  return Array.from({ length: partitions }, (_, partition) => driver.messages(topic, partition)).flatMap((log) => {
    const every = thinned.has(topic.name) ? [1, Math.ceil(log.length / longestLog)] : [1]
    const stretches = every.flatMap((step) => cut(log.filter((_, index) => index % step === 0)))
    return stretches.filter((messages) => messages.some(({ value }) => value !== null))
  })
}

/** The beginning and the middle of a log. */
const cut = (log: readonly Message[]): Message[][] =>
  [0, Math.floor(log.length / 2)].map((from) => log.slice(from, from + longestLog))

function spread<T>(items: readonly T[], most: number): T[] {
  const step = Math.max(1, items.length / most)
  return Array.from({ length: Math.min(most, items.length) }, (_, index) => items[Math.floor(index * step)]).flatMap(
    (item) => (item === undefined ? [] : [item]),
  )
}

/** The messages at places of their own, with the times at which a broker would have appended them. */
function stamped(topic: Topic, messages: readonly Message[]): Loose[] {
  let appended = 0
  return messages.map((message, index) => {
    const value = message.value === null ? null : shortened(topic, message.value)
    const time = message.mark?.time ?? (value === null ? 0 : timeOf(topic, value))
    appended = Math.max(appended, Math.ceil(time / 1_000) + onItsWay)
    return loosened({ ...message, value }, index, appended)
  })
}

function recordOf(topic: Topic, value: Buffer): object {
  const record: object = schemaOf(topic.name).fromBuffer(value.subarray(wirePrefix))
  return record
}

function timeOf(topic: Topic, value: Buffer): number {
  const record = recordOf(topic, value)
  return 'ts' in record && typeof record.ts === 'number' ? record.ts : 0
}

/** A block with its first transactions. */
function shortened(topic: Topic, value: Buffer): Buffer {
  if (topic.name !== topics.chainBlocks.name) return value
  const block = recordOf(topic, value)
  if (!('transactions' in block) || !Array.isArray(block.transactions)) return value
  for (let count = block.transactions.length; ; count = Math.floor(count / 2)) {
    const shorter = encoded(topic, { ...block, transactions: block.transactions.slice(0, count) })
    if (shorter.length <= mostBlockBytes || count === 0) return shorter
  }
}

const second = 1_000_000
const made = <T extends object>(count: number, make: (index: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, index) => make(index))

/** Of topics that no processor of the driver writes. */
const madeUp: ReadonlyMap<string, readonly object[]> = new Map<string, readonly object[]>([
  [
    topics.marketQuotes.name,
    made(80, (index) => {
      const [symbol, updateId] = [index % 3 === 0 ? 'ETH-USDT' : 'BTC-USDT', 1_000 + index]
      const times = { ts: records.at + index * second, receivedAt: records.at + index * second + 5_000 }
      return { ...records.quote, ...times, symbol, updateId, id: `binance-spot:${symbol}:${updateId}` }
    }),
  ],
  [
    topics.feedsStatus.name,
    made(30, (index) => {
      const ts = records.at + index * second
      const status = index % 2 === 0 ? 'gap' : 'connected'
      return { ...records.feedStatus, id: `${records.feedStatus.feed}:${index}`, ts, receivedAt: ts, status }
    }),
  ],
  [
    topics.feedsCursors.name,
    made(20, (index) => {
      const feed = `binance-spot:${index % 2 === 0 ? 'BTC' : 'ETH'}-USDT:trades`
      return { id: `${feed}:${index}`, feed, ts: records.at + index * second, cursor: String(3_735_683_259 + index) }
    }),
  ],
  [
    topics.stateSnapshots.name,
    made(20, (index) => {
      const [slot, token] = ['build-candles:market.trades.v1:0', 'token']
      const place = { number: 1, offset: 500, appendTime: 1_723_075_200_000, chunk: index, chunks: 19 }
      const bytes = Buffer.from(JSON.stringify({ field: 'k:a', text: 'x'.repeat(40 + index) }))
      return { id: `${slot}/${token}/1/${index}`, ts: records.at, slot, token, ...place, checksum: index * 77, bytes }
    }),
  ],
  [
    topics.deadLetters.name,
    made(20, (index) => {
      const [step, topic, error] = ['build-candles', 'market.trades.v1', 'the value does not decode']
      const place = { topic, partition: 1, offset: index, origin: index % 2 === 0 ? 'a:b' : null, position: null }
      const content = { key: Buffer.from('a:b'), value: index % 3 === 0 ? null : Buffer.from([0, 0, 0, 0, 1, index]) }
      const what = { id: `${step}:${topic}:1:${index}:poison`, ts: records.at + index, step, reason: 'poison' }
      return { ...what, code: 'undecodable', error, ...place, schemaId: 1, ...content, headers: { origin: Buffer.from('a') } } // prettier-ignore
    }),
  ],
])

function messageOf(topic: Topic, record: object, index: number): Message {
  const place = { origin: `${topic.name}:made-up`, position: `${'0'.repeat(16)}.${String(index).padStart(16, '0')}` }
  return { key: topic.key(record), value: encoded(topic, record), place, mark: undefined, appended: records.at }
}
