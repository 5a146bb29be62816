/** Where logs begin and end. One question at a time: kafkajs's admin stumbles over its own metadata when asked several at once. */
import type { Admin } from 'kafkajs'
import { FatalError } from '../errors.ts'
import type { Resumption } from './slot.ts'

/** Brokers' clocks differ, and a new leader may date what it appends before what the old one did. */
const clockSlackMs = 5_000

interface End {
  readonly partition: number
  readonly low: number
  readonly high: number
}

export class LogEnds {
  readonly #admin: () => Promise<Admin>
  #last: Promise<unknown> = Promise.resolve()
  /** Questions that wait for their turn, so that many about one topic are asked once. */
  readonly #waiting = new Map<string, Promise<readonly End[]>>()

  constructor(admin: () => Promise<Admin>) {
    this.#admin = admin
  }

  /** @returns first offset and the offset behind the last of a partition. */
  async of(topic: string, partition: number): Promise<{ low: number; high: number }> {
    let answer = this.#waiting.get(topic)
    if (answer === undefined) {
      answer = this.#inTurn(async () => {
        this.#waiting.delete(topic)
        const ends = await (await this.#admin()).fetchTopicOffsets(topic)
        return ends.map((end) => ({ partition: end.partition, low: Number(end.low), high: Number(end.high) }))
      })
      this.#waiting.set(topic, answer)
    }
    return (await answer).find((end) => end.partition === partition) ?? { low: 0, high: 0 }
  }

  /** @returns the first offset that was appended at `timeMs` or later, or the log's end. */
  async since(topic: string, partition: number, timeMs: number): Promise<number> {
    const ends = await this.#inTurn(async () => (await this.#admin()).fetchTopicOffsetsByTimestamp(topic, timeMs))
    return Number(ends.find((end) => end.partition === partition)?.offset ?? 0)
  }

  #inTurn<T>(question: () => Promise<T>): Promise<T> {
    const answer = this.#last.then(question)
    this.#last = answer.catch(() => {})
    return answer
  }
}

/**
 * @returns the offset at which a slot begins to read
 * @throws FatalError where what is stored is not of this log: kafkajs would silently jump
 */
export async function startOf(
  ends: LogEnds,
  step: string,
  topic: string,
  partition: number,
  stored: Resumption,
): Promise<number> {
  const { offset, appendTime } = stored
  const { low, high } = await ends.of(topic, partition)
  if (offset === undefined) return low
  const hint = `look with \`offsets show ${step}\` and \`state show ${step}\`, and choose with \`offsets reset\` or \`state reset\``
  if (offset < low || offset > high) {
    const message = `${step} stands at offset ${offset} of ${topic}:${partition}, whose log holds ${low} to ${high}`
    throw new FatalError('offset', message, { hint })
  }
  if (appendTime === undefined) return offset
  const later = await ends.since(topic, partition, appendTime + clockSlackMs)
  if (later < offset) {
    const message = `${topic} is not the topic that ${step} has read: offset ${later} of partition ${partition} was appended after what it read at ${offset - 1}`
    throw new FatalError('topic', message, { hint })
  }
  return offset
}
