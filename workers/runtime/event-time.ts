/**
 * Event time against append time. On topics that connectors and foreign producers write no record may lie further ahead of its
 * append time than the topic allows, and none moves time beyond it: one wrong time harms its own record alone.
 */
import type { KafkaMessage } from 'kafkajs'
import type { Micros, Topic } from './definitions.ts'

/** The header of a message that was copied or is replayed: when it was first appended, in milliseconds since the epoch. */
export const appendedHeader = 'appended'

/** What decides whether a record is ahead. */
export interface Timed {
  readonly ts?: Micros
  readonly removed?: boolean
}

/** When a message was first appended: what its log says, or its header where that names a time before. */
export function appendTimeOf({ timestamp, headers }: Pick<KafkaMessage, 'timestamp' | 'headers'>): Micros {
  const logged = Number(timestamp)
  const header = headers?.[appendedHeader]
  if (header === undefined) return logged * 1_000
  const text = String(Array.isArray(header) ? header[0] : header)
  const first = /^\d{1,16}$/.test(text) ? Number(text) : logged
  return Math.min(first, logged) * 1_000
}

/**
 * Whether a record lies too far ahead of its append time; a removal never does.
 * @param appended when its message was first appended
 * @returns what is wrong, for people; undefined where nothing is
 */
export function aheadOf({ maxAhead }: Topic, { ts, removed }: Timed, appended: Micros): string | undefined {
  if (maxAhead === undefined || ts === undefined || ts <= appended + maxAhead || removed === true) return undefined
  return `its time ${ts} is ${seconds(ts - appended)} s after its append time, more than ${seconds(maxAhead)} s`
}

/** How far a message of a topic may move time. */
export const latestTime = ({ maxAhead }: Topic, appended: Micros): Micros =>
  maxAhead === undefined ? Infinity : appended

const seconds = (time: Micros): string => String(Math.ceil(time / 1_000_000))
