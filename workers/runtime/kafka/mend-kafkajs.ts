/** Defects of kafkajs 2.2.4 in its network and fetch loops, mended where its classes allow it; loaded by client.ts. */
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import { RetryableError } from '../errors.ts'

const require = createRequire(import.meta.url)

/** How often a connection that is throttled looks whether it may go on; without a bound kafkajs looks each millisecond for ever. */
const throttleCheckMs = 50
/** How often a connection looks for requests without an answer; kafkajs does ten times a second for each connection. */
const timeoutCheckMs = 1_000
/** How long a fetch may wait for data while a partition is paused. */
const pausedWaitMs = 50

interface RequestQueue {
  readonly enforceRequestTimeout: boolean
  readonly requestTimeout: number
  readonly inflight: ReadonlyMap<number, { sentAt: number; requestTimeout: number; timeoutRequest(): void }>
  readonly pending: readonly unknown[]
  throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  requestTimeoutIntervalId: NodeJS.Timeout | undefined
  isConnected(): boolean
  checkPendingRequests(): void
  destroy(): void
}

interface Connection {
  readonly socket: Socket | undefined
  chunks: Buffer[]
  bytesBuffered: number
  bytesNeeded: number
}

interface BrokerPool {
  readonly metadata: unknown
}

interface ConsumerGroup {
  maxWaitTime: number
  paused(): readonly { readonly partitions: readonly number[] }[]
}

/**
 * Bounds the 1 ms timer that each idle connection runs (kafkajs issue 1751), which costs some 4 % of a core a connection: a
 * check is due only where something waits or the broker asked for a pause.
 */
function boundTimers(): void {
  replace('network/requestQueue', 'scheduleCheckPendingRequests', function schedule(this: RequestQueue) {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
    const wait = Math.max(this.throttledUntil - Date.now(), throttleCheckMs)
    this.throttleCheckTimeoutId = setTimeout(() => {
      this.throttleCheckTimeoutId = null
      this.checkPendingRequests()
    }, wait)
  })
  replace('network/requestQueue', 'scheduleRequestTimeoutCheck', function schedule(this: RequestQueue) {
    if (!this.enforceRequestTimeout) return
    this.destroy()
    this.requestTimeoutIntervalId = setInterval(
      () => {
        const now = Date.now()
        for (const request of this.inflight.values())
          if (now - request.sentAt > request.requestTimeout) request.timeoutRequest()
        if (!this.isConnected()) this.destroy()
      },
      Math.min(this.requestTimeout, timeoutCheckMs),
    )
  })
}

/**
 * A request that got no answer in time condemns its connection. kafkajs keeps it and sends the next request into the same
 * silence, until the system gives the connection up after a quarter of an hour.
 */
function dropSilentConnections(): void {
  wrap<Connection>('network/connection', 'send', async (connection, send) => {
    try {
      return await send()
    } catch (error) {
      if (error instanceof Error && error.name === 'KafkaJSRequestTimeoutError') {
        // Half an answer must not be taken for the beginning of the next connection's first.
        connection.chunks = []
        connection.bytesBuffered = 0
        connection.bytesNeeded = 4
        connection.socket?.destroy(new Error('no answer in time'))
      }
      throw error
    }
  })
}

/** A partition that is resumed waits for the fetch under way, which waits for data of the others: so that waits less meanwhile. */
function hastenResumption(): void {
  const usual = new WeakMap<ConsumerGroup, number>()
  wrap<ConsumerGroup>('consumer/consumerGroup', 'fetch', (group, fetch) => {
    const wait = usual.get(group) ?? group.maxWaitTime
    usual.set(group, wait)
    const paused = group.paused().some(({ partitions }) => partitions.length > 0)
    group.maxWaitTime = paused ? Math.min(pausedWaitMs, wait) : wait
    return fetch()
  })
}

/** A client that disconnects while it asks for metadata stumbles over their absence, which is no fault of the program's. */
function forgiveLateMetadata(): void {
  wrap<BrokerPool>('cluster/brokerPool', 'refreshMetadata', async (pool, refresh) => {
    try {
      return await refresh()
    } catch (cause) {
      if (!(cause instanceof TypeError) || pool.metadata !== null) throw cause
      throw new RetryableError('unavailable', 'The client was disconnected while it asked for metadata', { cause })
    }
  })
}

/**
 * What no broker has answered is given as nothing, over which the callers stumble: where a topic ends that the metadata do not
 * tell of, and all topics while one of them has no leader.
 */
function refuseMissingAnswers(): void {
  wrap('cluster', 'fetchTopicsOffset', async (_cluster, ask) => {
    const answer = await ask()
    if (!Array.isArray(answer) || answer.length > 0) return answer
    throw new RetryableError('unavailable', 'The client does not know the topic yet')
  })
  wrap('cluster', 'metadata', async (_cluster, ask) => {
    const answer = await ask()
    if (answer !== null) return answer
    throw new RetryableError('unavailable', 'No broker told of its topics')
  })
}

/** Has kafkajs use these. @throws Error where a class is not what it was. */
export function mendKafkajs(): void {
  boundTimers()
  dropSilentConnections()
  hastenResumption()
  forgiveLateMetadata()
  refuseMissingAnswers()
}

function prototypeOf(path: string, method: string): Record<string, unknown> {
  const loaded: unknown = require(`kafkajs/src/${path}`)
  if (typeof loaded === 'function' && method in loaded.prototype) return loaded.prototype
  throw new Error(`kafkajs has changed: src/${path} is no class with the method ${method}`)
}

function replace<This>(path: string, method: string, value: (this: This) => void): void {
  Object.defineProperty(prototypeOf(path, method), method, { value })
}

function wrap<This>(
  path: string,
  method: string,
  value: (self: This, original: () => Promise<unknown>) => unknown,
): void {
  const prototype = prototypeOf(path, method)
  const original = prototype[method]
  if (typeof original !== 'function') throw new Error(`kafkajs has changed: ${method} of src/${path} is no method`)
  Object.defineProperty(prototype, method, {
    value: function wrapped(this: This, ...values: unknown[]) {
      return value(this, () => original.apply(this, values))
    },
  })
}
