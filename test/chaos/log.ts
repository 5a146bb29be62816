/** The topics as a run left them: every message once, in order, with the verdict of the position rule. */
import type { Admin, Kafka, KafkaMessage } from 'kafkajs'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { isRedriven, markOf, placeOf } from '../../workers/runtime/headers.ts'
import type { Names } from '../../workers/runtime/kafka/client.ts'
import { followTopic } from '../../workers/runtime/kafka/read.ts'
import { Positions, type Placed } from '../../workers/runtime/position.ts'
import type { Mark } from '../../workers/runtime/state/engine.ts'
import { endsOf } from '../support/topics.ts'

/** One message, and what a reader makes of it. */
export interface Entry {
  readonly topic: Topic
  readonly partition: number
  readonly offset: number
  readonly message: KafkaMessage
  readonly place: Placed | undefined
  readonly mark: Mark | undefined
  /** False where the position rule drops it, and where it is meant for one step alone. */
  readonly accepted: boolean
  /** What the run's own foreign producer says of a message that it wrote. */
  readonly foreign: string | undefined
}

/** By this header the messages of the run's own foreign producer are known. */
export const foreignHeader = 'foreign'

/** Where the log of each partition ends. */
export type Ends = ReadonlyMap<number, number>

export interface LogOptions {
  readonly kafka: Kafka
  readonly admin: Admin
  readonly names: Names
}

/** Calls `each` with every message of a topic, each partition's in order. */
export async function readTopic(
  options: LogOptions,
  topic: Topic,
  each: (entry: Entry) => Promise<void> | void,
): Promise<Ends> {
  const name = options.names.topic(topic)
  const ends = await endsOf(options.admin, name)
  const stretches = ends.map(({ partition, low, high }) => ({ partition, from: low, to: high }))
  const positions = new Map(stretches.map(({ partition }) => [partition, new Positions()]))
  await followTopic(options, name, stretches, (message, partition) => {
    const place = placeOf(message.headers)
    const isNew =
      place === undefined || isRedriven(message.headers) || (positions.get(partition)?.accept(place) ?? false)
    const accepted = isNew && !isRedriven(message.headers)
    const offset = Number(message.offset)
    return each({
      topic,
      partition,
      offset,
      message,
      place,
      mark: markOf(message.headers),
      accepted,
      foreign: message.headers?.[foreignHeader]?.toString(),
    })
  })
  return new Map(stretches.map(({ partition, to }) => [partition, to]))
}
