/** Which messages a reader may drop without a word: those that their headers say were there before, or are for somebody else. */
import type { KafkaMessage } from 'kafkajs'

const form = /^(\d{16}|\d{16}\.\d{16}|\d{4}\.\d{16}\.\d{8})$/

/** @returns the offsets of messages that may be dropped; told from the headers alone, in the order of the log */
export function mayDrop(messages: readonly KafkaMessage[]): ReadonlySet<number> {
  const newest = new Map<string, string>()
  const dropped = new Set<number>()
  for (const { headers, offset } of messages) {
    const [origin, position] = [textOf(headers?.['origin']), textOf(headers?.['position'])]
    const isElsewhere = textOf(headers?.['only-step']) !== undefined
    // What does not extend the tip of a journal is a stale writer's.
    const isLinked = textOf(headers?.['extends']) !== undefined || textOf(headers?.['tip']) !== undefined
    if (isElsewhere || isLinked) dropped.add(Number(offset))
    if (origin === undefined || position === undefined || !form.test(position)) continue
    const last = newest.get(origin)
    if (last !== undefined && last.length === position.length && position <= last) dropped.add(Number(offset))
    else if (last === undefined || last.length === position.length) newest.set(origin, position)
  }
  return dropped
}

type Header = Buffer | string | null | undefined | readonly (Buffer | string | null)[]

function textOf(header: Header): string | undefined {
  const first = Array.isArray(header) ? header[0] : header
  return first === undefined || first === null ? undefined : first.toString()
}
