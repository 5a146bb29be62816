/** Brings a chain's journal one step nearer to a node's head: the next blocks, a gap's, or a reorganisation. */
import type { ChainBlock } from '../../schemas/types.ts'
import type { Context, Journal, Micros } from '../../workers/runtime/definitions.ts'
import { FatalError } from '../../workers/runtime/errors.ts'
import type { WatchedChain } from '../../workers/runtime/watch.ts'
import { addBlock, loadWindow, readStanding, removeTip, type ChainWindow, type Entry } from './chain-window.ts'
import { fetchBlock, fetchLink, hashAt, type BlockId, type Head } from './fetch-block.ts'
import { finalNumber } from './finality.ts'
import { linkedPrefix, reconcile } from './reconcile.ts'
import type { RpcPool } from './rpc-pool.ts'
import { linkOf, type Link, type WholeBlock } from './rpc-types.ts'

/** Most blocks of one append, and how many of them are fetched at a time. */
const step = { blocks: 50, concurrency: 5 } as const
/** A reorganisation up to this depth is believed on one node's word, a deeper one needs another's. */
const plausibleDepth = 3
/** How far ahead of our clock a block may be dated. Who works with a development chain sets its time at will. */
const usualMaxAhead: Micros = 60_000_000
const developmentChain = 31_337

export interface SyncOptions {
  readonly chain: Pick<WatchedChain, 'chainId' | 'name' | 'finalityDepth' | 'maxAhead'>
  readonly journal: Journal<ChainBlock>
  readonly pool: RpcPool
  readonly context: Pick<Context, 'now' | 'log' | 'metrics'>
}

/**
 * What a step came to: the log holds the head; blocks were written; the journal had moved and is read again; the
 * node's head is not to be believed; or the next block is ahead of time and waits.
 */
export type Outcome = 'current' | 'advanced' | 'overtaken' | 'distrusted' | 'behind'

type WindowWithBlocks = ChainWindow & { readonly blocks: readonly [Link, ...Link[]] }

export class ChainSync {
  readonly #options: SyncOptions
  /** Undefined where the journal has to be read (again). */
  #window: ChainWindow | undefined
  #waiting: { readonly number: number; readonly time: Micros } | undefined

  constructor(options: SyncOptions) {
    this.#options = options
  }

  /** The newest block of the log, as far as it has been read. */
  get tip(): Link | undefined {
    return this.#window?.blocks.at(-1)
  }

  /** The block that is ahead of time, where the last step was 'behind', and its time. */
  get waiting(): { readonly number: number; readonly time: Micros } | undefined {
    return this.#waiting
  }

  /**
   * Takes one step towards the head. An empty journal begins with the newest final block, below which no
   * reorganisation can reach.
   * @throws FatalError where the node's chain has left what is final; RetryableError where nodes fail
   */
  async advance(head: Head): Promise<Outcome> {
    const { journal, chain, pool } = this.#options
    const window = (this.#window ??= await loadWindow(journal, chain.chainId))
    if (!hasBlocks(window)) return this.#add(window, head, await this.#fetch([{ number: this.#final(head) }]))
    const verdict = await reconcile(window.blocks, head.link, (hash) => fetchLink(pool, hash))
    switch (verdict.kind) {
      case 'known':
        // A node whose head is behind the log's lags, or has gone backwards.
        return head.link.hash === window.blocks.at(-1)?.hash ? 'current' : 'distrusted'
      case 'behind':
        return 'distrusted'
      case 'extends':
        return this.#add(window, head, await this.#fetch([{ hash: head.link.hash }]))
      case 'gap':
        return this.#fillGap(window, head, verdict.from)
      case 'reorganisation':
        return this.#reorganise(window, head, verdict.removed, verdict.branch)
      case 'beyond-final':
        return this.#beyondFinal(window, head, verdict.branch)
    }
  }

  async #fillGap(window: WindowWithBlocks, head: Head, from: number): Promise<Outcome> {
    const count = Math.min(step.blocks, head.link.number - from + 1)
    const fetched = await this.#fetch(Array.from({ length: count }, (_, at) => ({ number: from + at })))
    // Heights that a fork changed while they were fetched are fetched again from the next tip on.
    const blocks = linkedPrefix(fetched, ({ block }) => linkOf(block))
    const first = blocks[0]
    if (first === undefined) return 'distrusted'
    const remote = linkOf(first.block)
    const verdict = await reconcile(window.blocks, remote, (hash) => fetchLink(this.#options.pool, hash))
    switch (verdict.kind) {
      case 'extends':
        return this.#add(window, head, blocks)
      case 'reorganisation':
        return this.#reorganise(window, head, verdict.removed, verdict.branch)
      case 'beyond-final':
        return this.#beyondFinal(window, head, verdict.branch)
      default:
        return 'distrusted'
    }
  }

  /** Writes the removed blocks, newest first, and the new branch's first blocks in one append. */
  async #reorganise(
    window: ChainWindow,
    head: Head,
    removed: readonly Link[],
    branch: readonly Link[],
  ): Promise<Outcome> {
    const { chain, journal, context } = this.#options
    const shorter = branch.length < removed.length
    if ((removed.length > plausibleDepth || shorter) && !(await this.#agreed(head, branch))) return 'distrusted'
    const blocks = await this.#fetch(branch.slice(0, step.blocks).map(({ hash }) => ({ hash })))
    // What is to be replaced stays for as long as its successor waits.
    if (this.#notAhead(blocks).length === 0) return 'behind'
    const records = await readStanding(journal, window, removed.length)
    if (records === undefined) return this.#reread()
    const entries: Entry[] = []
    let next = window
    for (const record of records) {
      const step = removeTip(next, record)
      entries.push(step.entry)
      next = step.window
    }
    context.metrics.reorgDepth.observe({ chain: chain.name }, removed.length)
    const level = removed.length > plausibleDepth ? 'warn' : 'info'
    context.log[level]({ chain: chain.name, depth: removed.length, block: branch[0]?.number }, 'reorganisation')
    return this.#add(next, head, blocks, entries)
  }

  async #add(window: ChainWindow, head: Head, fetched: readonly WholeBlock[], entries: Entry[] = []): Promise<Outcome> {
    const final = this.#final(head)
    const blocks = this.#notAhead(fetched)
    if (blocks.length === 0) return 'behind'
    let next = window
    for (const whole of blocks) {
      const step = addBlock(next, whole, final, this.#options.context.now())
      entries.push(step.entry)
      next = step.window
    }
    // Should the append fail half-way, only the journal itself knows what it holds.
    this.#window = undefined
    if ((await this.#options.journal.append(entries)) === 'overtaken') return this.#reread()
    this.#window = next
    return 'advanced'
  }

  /** The blocks before the first that is ahead of time. */
  #notAhead(blocks: readonly WholeBlock[]): readonly WholeBlock[] {
    const { chain, context } = this.#options
    const maxAhead = chain.maxAhead ?? (chain.chainId === developmentChain ? Infinity : usualMaxAhead)
    const latest = context.now() + maxAhead
    const timeOf = ({ block }: WholeBlock): Micros => Number(block.timestamp) * 1_000_000
    const at = blocks.findIndex((whole) => timeOf(whole) > latest)
    const first = blocks[at]
    this.#waiting = first === undefined ? undefined : { number: Number(first.block.number), time: timeOf(first) }
    return first === undefined ? blocks : blocks.slice(0, at)
  }

  #reread(): Outcome {
    this.#options.context.log.warn({ chain: this.#options.chain.name }, 'another writer went ahead in the journal')
    this.#window = undefined
    return 'overtaken'
  }

  /** Whether another node holds the branch too; with no other that answers, whether this one is in step by its own word. */
  async #agreed(head: Head, branch: readonly Link[]): Promise<boolean> {
    const [first] = branch
    if (first === undefined) return false
    if ((await head.provider.request('eth_syncing', []).catch(() => false)) !== false) return false
    const answers = await this.#options.pool.askOthers(head.provider, (provider) => hashAt(provider, first.number))
    if (answers.includes(first.hash)) return true
    const { log } = this.#options.context
    const facts = { provider: head.provider.label, block: first.number, hash: first.hash }
    if (answers.length > 0) log.warn(facts, 'no other node knows the reorganisation')
    return answers.length === 0
  }

  async #beyondFinal(window: WindowWithBlocks, head: Head, branch: readonly Link[]): Promise<Outcome> {
    if (!(await this.#agreed(head, branch))) return 'distrusted'
    const [final] = window.blocks
    const { chain } = this.#options
    throw new FatalError(
      'reorganisation',
      `chain ${chain.chainId}: the node's chain does not contain the final block ${final.number} (${final.hash})`,
      {
        details: [`the node has ${branch[0]?.parentHash ?? 'another'} there, its head is block ${head.link.number}`],
        hint: 'point EVM_RPC_URLS at the chain that the journal was written from, or start with a new namespace',
      },
    )
  }

  #final(head: Head): number {
    return finalNumber({ head: head.link.number, depth: this.#options.chain.finalityDepth, tag: head.finalTag })
  }

  /** Fetches blocks in their order, a few at a time. */
  async #fetch(ids: readonly BlockId[]): Promise<WholeBlock[]> {
    const blocks: WholeBlock[] = []
    for (let at = 0; at < ids.length; at += step.concurrency) {
      const some = ids.slice(at, at + step.concurrency)
      blocks.push(
        ...(await Promise.all(some.map((id) => fetchBlock(this.#options.pool, this.#options.chain.chainId, id)))),
      )
    }
    return blocks
  }
}

const hasBlocks = (window: ChainWindow): window is WindowWithBlocks => window.blocks.length > 0
