/** Follows one chain for as long as a session lasts: hears of heads, steps towards them, watches for silence. */
import { setTimeout as sleep } from 'node:timers/promises'
import { topics } from '../../schemas/topics.ts'
import type { ConnectorSession, Micros } from '../../workers/runtime/definitions.ts'
import { classify, oneLine } from '../../workers/runtime/errors.ts'
import type { WatchedChain } from '../../workers/runtime/watch.ts'
import { ChainSync } from './chain-sync.ts'
import { originOf } from './chain-window.ts'
import { Doorbell } from './doorbell.ts'
import { FeedStatusLog } from './feed-status.ts'
import { fetchHead } from './fetch-block.ts'
import { RpcPool } from './rpc-pool.ts'

/** Fewer missing blocks than this are the ordinary catching up of a fast chain. */
const notableGap = 4
/** How long a node that lags is left alone; milliseconds. */
const distrustMs = 5_000
/** Poll intervals in block times: without a doorbell, with one, and when one has rung but the node does not have it yet. */
const poll = { alone: 0.5, beside: 2, leastMs: 200 } as const
/** Silence after which a connection counts as dead, in block times, and at least so long. */
const silence = { blocks: 4, leastMs: 5_000 } as const

export interface FollowerOptions {
  readonly session: ConnectorSession
  readonly chain: WatchedChain
  /** http and https for calls, at least one; ws and wss to hear of heads sooner. */
  readonly urls: readonly string[]
  /** From 0 to 1: jitter and exploration. */
  readonly random: () => number
  /** Aborts with the session, or when another chain fails. */
  readonly signal: AbortSignal
}

/**
 * Follows the chain until the signal aborts.
 * @throws FatalError where finality is broken or a node is of another chain
 */
export async function followChain(options: FollowerOptions): Promise<void> {
  const follower = new ChainFollower(options)
  const ended = new AbortController()
  const watching = follower.watch(AbortSignal.any([options.signal, ended.signal]))
  try {
    await follower.follow()
  } finally {
    ended.abort()
    await watching
  }
}

class ChainFollower {
  readonly #options: FollowerOptions
  readonly #feed: string
  readonly #pool: RpcPool
  readonly #sync: ChainSync
  readonly #doorbell: Doorbell
  readonly #status: FeedStatusLog
  #state: 'starting' | 'connected' | 'gap' | 'stale' | 'behind' = 'starting'
  /** The log has held the head in this session. */
  #wasCurrent = false
  #failing = false
  #head = -1
  /** When the head last moved, and when silence was last acted upon. */
  #movedAt: Micros
  #actedAt: Micros
  /** Since when the next block waits, for it is ahead of time. */
  #behindSince: Micros | undefined

  constructor(options: FollowerOptions) {
    const { session, chain, urls, random, signal } = options
    const { context } = session
    this.#options = options
    this.#feed = originOf(chain.chainId)
    const nodes = urls.filter((url) => url.startsWith('http'))
    this.#pool = new RpcPool(nodes, { chainId: chain.chainId, context, random, signal })
    const journal = session.journal(topics.chainBlocks, String(chain.chainId))
    this.#sync = new ChainSync({ chain, journal, pool: this.#pool, context })
    this.#status = new FeedStatusLog(session, this.#feed)
    this.#movedAt = this.#actedAt = context.now()
    this.#doorbell = new Doorbell({
      urls: urls.filter((url) => url.startsWith('ws')),
      signal,
      onReconnect: () => context.metrics.reconnects.inc({ connector: 'evm' }),
    })
  }

  /** Reads heads and steps towards them. */
  async follow(): Promise<void> {
    const { signal, session } = this.#options
    while (!signal.aborted) {
      try {
        await this.#pursue()
        this.#failing = false
      } catch (error) {
        if (signal.aborted) return
        if (classify(error) !== 'retryable') {
          this.#status.say('lost', oneLine(error))
          throw error
        }
        if (!this.#failing) session.context.log.warn({ feed: this.#feed, reason: oneLine(error) }, 'retrying')
        this.#failing = true
      }
      await this.#doorbell.wait(this.#pollMs())
    }
  }

  /** Measures staleness, and opens connections anew where no head has come for a few block times. */
  async watch(signal: AbortSignal): Promise<void> {
    const { context } = this.#options.session
    const limit = Math.max(silence.leastMs * 1_000, silence.blocks * this.#options.chain.blockTime)
    while (!signal.aborted) {
      const now = context.now()
      const since = Math.min(this.#movedAt, this.#behindSince ?? now)
      context.metrics.feedStaleness.set({ feed: this.#feed }, (now - since) / 1_000_000)
      if (now - Math.max(this.#movedAt, this.#actedAt) > limit) {
        this.#actedAt = now
        this.#silent(now)
      }
      await sleep(Math.min(1_000, limit / 4_000), undefined, { signal }).catch(() => undefined)
    }
  }

  /** Reads the head and steps until the log holds it. */
  async #pursue(): Promise<void> {
    const head = await fetchHead(this.#pool)
    this.#heard(head.link.number)
    this.#noteGap(head.link.number)
    for (;;) {
      this.#options.signal.throwIfAborted()
      switch (await this.#sync.advance(head)) {
        case 'current':
          this.#wasCurrent = true
          this.#behindSince = undefined
          if (this.#state === 'gap' || this.#state === 'behind')
            this.#say('connected', 'resynced', `the log holds block ${head.link.number}`)
          return
        case 'distrusted':
          this.#pool.distrust(head.provider, distrustMs)
          return
        case 'behind':
          this.#wait()
          // Another node may have a block that is not.
          this.#pool.distrust(head.provider, distrustMs)
          return
        case 'advanced':
          this.#behindSince = undefined
          break
        case 'overtaken':
          return
      }
    }
  }

  #heard(number: number): void {
    if (number <= this.#head) return
    this.#head = number
    this.#movedAt = this.#options.session.context.now()
    if (this.#state === 'starting') this.#say('connected', 'connected', `the head is block ${number}`)
    if (this.#state === 'stale') this.#say('connected', 'resynced', `the head is block ${number} again`)
  }

  /** What a session finds missing when it begins is no gap: it begins where the log ends. */
  #noteGap(head: number): void {
    const tip = this.#sync.tip?.number ?? head
    if (!this.#wasCurrent || this.#state !== 'connected' || head - tip < notableGap) return
    this.#options.session.context.metrics.gaps.inc({ feed: this.#feed })
    this.#say('gap', 'gap', 'blocks were missed and are being fetched', { from: tip + 1, to: head })
  }

  #wait(): void {
    const { context } = this.#options.session
    const now = context.now()
    this.#behindSince ??= now
    const { number, time } = this.#sync.waiting ?? { number: this.#head, time: now }
    if (this.#state === 'behind') return
    const detail = `block ${number} is dated ${Math.ceil((time - now) / 1_000_000)} s ahead of our clock and waits`
    context.log.warn({ feed: this.#feed, block: number }, detail)
    this.#say('behind', 'behind', detail)
  }

  #silent(now: Micros): void {
    const seconds = Math.round((now - this.#movedAt) / 1_000_000)
    if (this.#state !== 'stale' && this.#state !== 'behind') this.#say('stale', 'stale', `no new head for ${seconds} s`)
    this.#doorbell.reconnect()
    const silentNode = this.#pool.preferred
    if (silentNode !== undefined) this.#pool.distrust(silentNode, distrustMs)
  }

  #say(state: 'connected' | 'gap' | 'stale' | 'behind', ...status: Parameters<FeedStatusLog['say']>): void {
    this.#state = state
    this.#status.say(...status)
  }

  #pollMs(): number {
    const blockMs = this.#options.chain.blockTime / 1_000
    if (this.#doorbell.announced > (this.#sync.tip?.number ?? 0)) return poll.leastMs
    return Math.max(poll.leastMs, blockMs * (this.#doorbell.live ? poll.beside : poll.alone))
  }
}
