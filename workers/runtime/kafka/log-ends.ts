/** Where logs begin and end. One question at a time: kafkajs's admin stumbles over its own metadata when asked several at once. */
import type { Admin } from 'kafkajs'
import { FatalError } from '../errors.ts'
import type { Resumption } from './slot.ts'
import { untilAnswered } from './until-answered.ts'

/** Brokers' clocks differ, and a new leader may date what it appends before what the old one did. */
const clockSlackMs = 5_000

/** First offset of a partition, and the offset behind its last. */
export interface End {
  readonly partition: number
  readonly low: number
  readonly high: number
}

/** Where a log ends for a reader that is to stop before the end: topic and partition as `topic:0` → offset. */
export type Bounds = ReadonlyMap<string, number>

/** Reads when the message at an offset was appended, in milliseconds; undefined where there is none. */
export type ReadTime = (topic: string, partition: number, offset: number) => Promise<number | undefined>

export interface LogEndsOptions {
  readonly bounds?: Bounds
  readonly read?: ReadTime
  /** How long a question that is refused is asked again, in milliseconds; not at all where steps try again themselves. */
  readonly patienceMs?: number
}

export class LogEnds {
  readonly #admin: () => Promise<Admin>
  readonly #bounds: Bounds
  readonly #read: ReadTime
  readonly #patienceMs: number
  #last: Promise<unknown> = Promise.resolve()
  /** Questions that wait for their turn, so that many about one topic are asked once. */
  readonly #waiting = new Map<string, Promise<readonly End[]>>()

  constructor(admin: () => Promise<Admin>, options: LogEndsOptions = {}) {
    const { bounds = new Map(), read = async () => undefined, patienceMs = 0 } = options
    this.#admin = admin
    this.#bounds = bounds
    this.#read = read
    this.#patienceMs = patienceMs
  }

  /** @returns the offset at which readers stop; Infinity where they go on for ever. */
  boundOf(topic: string, partition: number): number {
    return this.#bounds.get(`${topic}:${partition}`) ?? Infinity
  }

  /** @returns first offset and the offset behind the last of a partition. */
  async of(topic: string, partition: number): Promise<{ low: number; high: number }> {
    const { low, high } = (await this.all(topic)).find((end) => end.partition === partition) ?? { low: 0, high: 0 }
    return { low, high }
  }

  /** @returns the ends of all partitions of a topic. */
  async all(topic: string): Promise<readonly End[]> {
    const ends = await untilAnswered(`Asking where ${topic} ends`, () => this.#ends(topic), this.#patienceMs)
    return ends.map((end) => ({ ...end, high: Math.min(end.high, this.boundOf(topic, end.partition)) }))
  }

  /** @returns the first offset that was appended at `timeMs` or later, or the log's end. */
  async since(topic: string, partition: number, timeMs: number): Promise<number> {
    const ask = (): Promise<readonly { partition: number; offset: string }[]> =>
      this.#inTurn(async () => (await this.#admin()).fetchTopicOffsetsByTimestamp(topic, timeMs))
    const ends = await untilAnswered(`Asking what was appended to ${topic} when`, ask, this.#patienceMs)
    return Number(ends.find((end) => end.partition === partition)?.offset ?? 0)
  }

  /** @returns when the message at an offset was appended, in milliseconds; undefined where it is gone. */
  timeOf(topic: string, partition: number, offset: number): Promise<number | undefined> {
    return this.#read(topic, partition, offset)
  }

  #ends(topic: string): Promise<readonly End[]> {
    let answer = this.#waiting.get(topic)
    if (answer === undefined) {
      answer = this.#inTurn(async () => {
        this.#waiting.delete(topic)
        const ends = await (await this.#admin()).fetchTopicOffsets(topic)
        return ends.map((end) => ({ partition: end.partition, low: Number(end.low), high: Number(end.high) }))
      })
      this.#waiting.set(topic, answer)
    }
    return answer
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
  const hint = wayOut(step)
  if (offset < low || offset > high) {
    const message = `${step} stands at offset ${offset} of ${topic}:${partition}, whose log holds ${low} to ${high}`
    throw new FatalError('offset', message, { hint })
  }
  if (appendTime === undefined) return offset
  const later = await ends.since(topic, partition, appendTime + 1)
  if (later >= offset) return offset
  // Either the clocks of brokers differ, or this is another log; what stood last before the offset tells.
  const time = offset > low ? await ends.timeOf(topic, partition, offset - 1) : undefined
  if (time === appendTime) return offset
  if (time === undefined && (await ends.since(topic, partition, appendTime + clockSlackMs)) >= offset) return offset
  const message = `${topic} is not the topic that ${step} has read up to offset ${offset} of partition ${partition}: what it holds from offset ${later} on was appended later`
  throw new FatalError('topic', message, { hint })
}

/** What a person can do where the log of a step is not the one that it has read. */
export const wayOut = (step: string): string =>
  `look with \`offsets show ${step}\`, stop the step and begin anew: a sink with \`offsets reset ${step} --to earliest --yes\`, a processor with \`state reset ${step} --yes\`, and where the topic was made anew --new-generation besides`
