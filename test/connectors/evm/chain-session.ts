/** A session of the evm connector over a log in memory, which holds the connector to the contract. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { evm } from '../../../connectors/evm.ts'
import { topics } from '../../../schemas/topics.ts'
import type { FeedStatus } from '../../../schemas/types.ts'
import type { Context, Journal, Topic } from '../../../workers/runtime/definitions.ts'
import { chainContext, MemoryLog } from './memory-journal.ts'

export interface SessionOptions {
  readonly chain?: Parameters<typeof chainContext>[0]
  readonly urls: readonly string[]
  readonly log?: MemoryLog
  readonly cursor?: string
}

export class ChainSession {
  readonly log: MemoryLog
  readonly statuses: FeedStatus[] = []
  readonly cursors = new Map<string, string>()
  readonly context: Context
  readonly #stop = new AbortController()
  readonly #done: Promise<void>

  constructor({ chain, urls, log = new MemoryLog(), cursor }: SessionOptions) {
    this.log = log
    this.context = chainContext(chain, urls)
    const feeds = evm.feeds(this.context.watch).map((feed) => ({ feed, cursor }))
    const positions = new Map<string, string>()
    const journal = log.journal()
    this.#done = evm.run({
      feeds,
      context: this.context,
      signal: this.#stop.signal,
      congested: () => false,
      acknowledged: () => Promise.resolve(),
      saveCursor: (feed, saved) => this.cursors.set(feed, saved),
      mark: () => {
        throw new Error('blocks carry their own time')
      },
      lane: () => {
        throw new Error('blocks are a journal')
      },
      journal: <T extends object>(topic: Topic<T>, key: string) => {
        if (!isBlocks(topic, journal)) throw new Error(`${topic.name} is no journal`)
        expect(key).toBe(feeds[0]?.feed.slice('evm:'.length))
        return journal
      },
      send: (topic, record, { origin, position }) => {
        expect(position > (positions.get(origin) ?? ''), `${origin} ${position} is out of order`).toBe(true)
        positions.set(origin, position)
        if (isStatus(topic.name, record)) this.statuses.push(record)
      },
    })
    // Whoever awaits `stop` or `ended` sees the error.
    this.#done.catch(() => undefined)
  }

  /** Ends when the connector does. */
  get ended(): Promise<void> {
    return this.#done
  }

  get said(): string[] {
    return this.statuses.map(({ status }) => status)
  }

  /** Hash of the newest block that stands. */
  get tip(): string | undefined {
    return this.log.standing().at(-1)?.blockHash
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#done
  }
}

const isBlocks = <T extends object>(topic: Topic<T>, _journal: unknown): _journal is Journal<T> =>
  topic.name === topics.chainBlocks.name
const isStatus = (topic: string, _record: object): _record is FeedStatus => topic === topics.feedsStatus.name

/** Waits until `holds`; the test's time-out is the limit. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(20)
}
