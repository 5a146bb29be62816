/** The messages that a client sends on a stream connection, and their answers. */
import { z } from 'zod'

/** What a connection lets its client change. */
export interface Subscriber {
  readonly streams: ReadonlySet<string>
  combined: boolean
  subscribe(streams: readonly string[]): void
  unsubscribe(streams: readonly string[]): void
}

/** Streams a connection may listen to. */
export const MAX_STREAMS = 1_024

const METHODS = ['SUBSCRIBE', 'UNSUBSCRIBE', 'LIST_SUBSCRIPTIONS', 'SET_PROPERTY', 'GET_PROPERTY'] as const
const Message = z.object({
  method: z.string(),
  params: z.array(z.unknown()).default([]),
  id: z.union([z.int(), z.string().regex(/^[A-Za-z0-9-]{1,36}$/), z.null()]).optional(),
})

type Reply = Readonly<Record<string, unknown>>

/**
 * Carries out a request such as `{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}` and gives the answer.
 * @see https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#live-subscribingunsubscribing-to-streams
 */
export function answerRequest(text: string, subscriber: Subscriber): Reply {
  const json = parse(text)
  if (json === undefined) return { code: 3, msg: 'Invalid JSON: expected value at line 1 column 1' }
  const message = Message.safeParse(json)
  if (!message.success) return invalid(messageFault(json))
  const { method, params, id = null } = message.data
  const known = METHODS.find((name) => name === method)
  if (!known) {
    const names = METHODS.map((name) => `\`${name}\``).join(', ')
    return invalid(`unknown variant \`${method}\`, expected one of ${names} at line 1 column ${text.length}`)
  }
  switch (known) {
    case 'SUBSCRIBE':
    case 'UNSUBSCRIBE':
      return changeStreams(known, params, id, subscriber)
    case 'LIST_SUBSCRIPTIONS':
      return { result: [...subscriber.streams], id }
    case 'SET_PROPERTY':
    case 'GET_PROPERTY':
      return property(known, params, id, subscriber)
  }
}

function changeStreams(
  method: 'SUBSCRIBE' | 'UNSUBSCRIBE',
  params: readonly unknown[],
  id: string | number | null,
  subscriber: Subscriber,
): Reply {
  const streams = params.filter((stream) => typeof stream === 'string')
  if (streams.length < params.length) return invalid('invalid type: expected a string')
  if (method === 'UNSUBSCRIBE') subscriber.unsubscribe(streams)
  else if (new Set([...subscriber.streams, ...streams]).size > MAX_STREAMS) return invalid('too many parameters')
  else subscriber.subscribe(streams)
  return { result: null, id }
}

function property(
  method: 'SET_PROPERTY' | 'GET_PROPERTY',
  params: readonly unknown[],
  id: string | number | null,
  subscriber: Subscriber,
): Reply {
  const [name, value] = params
  if (typeof name !== 'string') return invalid('property name must be a string')
  if (name !== 'combined') return { code: 0, msg: 'Unknown property', id }
  if (method === 'GET_PROPERTY') return { result: subscriber.combined, id }
  if (typeof value !== 'boolean') return { code: 1, msg: 'Invalid value type: expected Boolean' }
  subscriber.combined = value
  return { result: null, id }
}

function messageFault(json: unknown): string {
  const isObject = typeof json === 'object' && json !== null
  if (isObject && 'method' in json) return 'request ID must be an unsigned integer'
  return 'missing field `method` at line 1 column 1'
}

const invalid = (fault: string): Reply => ({ code: 2, msg: `Invalid request: ${fault}` })

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
