/** Sends dead letters back to where they came from, for the step that left them out, or tells it that they are given up. */
import { CompressionTypes, type IHeaders, type KafkaMessage } from 'kafkajs'
import { topics as knownTopics } from '../../schemas/topics.ts'
import type { DeadLetter } from '../../schemas/types.ts'
import type { Topic } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import { redriveHeaders } from '../runtime/headers.ts'
import type { Installation } from '../runtime/installation.ts'
import { append } from '../runtime/kafka/make-topics.ts'
import { readStretch } from '../runtime/kafka/read.ts'
import type { FiledLetter } from './dead-letter-log.ts'

/** 'skip': the record is given up, and its step strikes it off. */
export type Redriving = 'process' | 'skip'

type Copied = Pick<KafkaMessage, 'key' | 'value' | 'headers'>

/**
 * Appends copies of the records to their partitions, and waits for the acknowledgement of each. A copy counts only while its step
 * still remembers that it left the record out: sending it twice changes nothing.
 * @throws FatalError where a letter was cut and the record is not in its topic any more
 */
export async function redrive(
  filed: readonly FiledLetter[],
  servers: Installation,
  what: Redriving = 'process',
): Promise<void> {
  const producer = await servers.producer()
  for (const { letter } of filed) {
    const { topic, partition, step, offset } = letter
    const { key, value, headers } = letter.cut && what === 'process' ? await original(letter, servers) : copyOf(letter)
    const sent: IHeaders = { ...headers, ...redriveHeadersOf({ step, offset, skip: what === 'skip' }) }
    const message = { key, value: what === 'skip' ? null : value, partition, headers: sent }
    const compression = isLarge(topic) ? CompressionTypes.GZIP : CompressionTypes.None
    await append(producer, { topic: servers.names.topic(topic), messages: [message], compression })
  }
}

const redriveHeadersOf = (redrive: Parameters<typeof redriveHeaders>[0]): IHeaders =>
  Object.fromEntries(Object.entries(redriveHeaders(redrive)))

const copyOf = ({ key, value, headers }: DeadLetter): Copied => ({
  key: bytes(key),
  value: bytes(value),
  headers: Object.fromEntries(Object.entries(headers).map(([name, one]) => [name, Buffer.from(one)])),
})

/** Of a letter that was cut the record is still whole where it stands, as long as its topic keeps it. */
async function original({ id, topic, partition, offset }: DeadLetter, servers: Installation): Promise<Copied> {
  const { kafka, names } = servers
  const reading = { kafka, names, admin: await servers.admin() }
  const name = names.topic(topic)
  const { low } = await servers.ends.of(name, partition)
  const [message] =
    low > offset ? [] : await readStretch(reading, { topic: name, partition, from: offset, to: offset + 1 })
  if (message !== undefined) return message
  const hint = 'skip it: npm start -- dlq skip'
  throw new FatalError('usage', `${id} was cut, and ${topic}:${partition} does not hold offset ${offset} any more`, {
    hint,
  })
}

const bytes = (value: DeadLetter['key']): Buffer | null => (value === null ? null : Buffer.from(value))

const isLarge = (name: string): boolean =>
  Object.values<Topic>(knownTopics).some((topic) => topic.name === name && topic.maxMessageBytes !== undefined)
