/** Sends dead letters back to where they came from, for the step that failed. */
import { CompressionTypes, type IHeaders } from 'kafkajs'
import { topics as knownTopics } from '../../schemas/topics.ts'
import type { DeadLetter } from '../../schemas/types.ts'
import type { Topic } from '../runtime/definitions.ts'
import { placeHeaders } from '../runtime/headers.ts'
import type { Installation } from '../runtime/installation.ts'
import { redriven, sequencePosition } from '../runtime/position.ts'
import type { FiledLetter } from './dead-letter-log.ts'

/** Its own origin takes the place of these: a redriven record extends no journal. */
const replaced = new Set(['origin', 'position', 'extends', 'tip'])

/**
 * The headers of a redriven letter. Sending it twice changes nothing: origin and position are the same, and readers take
 * what is higher only.
 */
export function redriveHeaders({ letter, partition, offset }: FiledLetter): IHeaders {
  const kept = Object.entries(letter.headers).flatMap(([name, value]): [string, Buffer][] =>
    replaced.has(name) ? [] : [[name, Buffer.from(value)]],
  )
  return {
    ...Object.fromEntries(kept),
    ...placeHeaders({ origin: `${redriven}${partition}:${offset}`, position: sequencePosition(1) }),
    'only-step': letter.step,
  }
}

/** Appends the letters' original bytes to their original partitions, and waits for the acknowledgement of each. */
export async function redrive(filed: readonly FiledLetter[], servers: Installation): Promise<void> {
  const producer = await servers.producer()
  for (const one of filed) {
    const { topic, partition, key, value } = one.letter
    const message = { key: bytes(key), value: bytes(value), partition, headers: redriveHeaders(one) }
    const compression = isLarge(topic) ? CompressionTypes.GZIP : CompressionTypes.None
    await producer.send({ topic: servers.names.topic(topic), messages: [message], acks: -1, compression })
  }
}

const bytes = (value: DeadLetter['key']): Buffer | null => (value === null ? null : Buffer.from(value))

const isLarge = (name: string): boolean =>
  Object.values<Topic>(knownTopics).some((topic) => topic.name === name && topic.maxMessageBytes !== undefined)
