/** The journal follows a node over HTTP: through gaps, reorganisations, restarts, other writers and nodes that lie. */
import { afterEach, describe, expect, it } from 'vitest'
import { ChainSync, type Outcome } from '../../../connectors/evm/chain-sync.ts'
import { fetchHead } from '../../../connectors/evm/fetch-block.ts'
import { RpcPool } from '../../../connectors/evm/rpc-pool.ts'
import type { WholeBlock } from '../../../connectors/evm/rpc-types.ts'
import { FatalError } from '../../../workers/runtime/errors.ts'
import { chainContext, MemoryLog } from './memory-journal.ts'
import { ethereumBlock, haveRecordings } from './recordings.ts'
import { RpcNode } from './rpc-node.ts'
import { bareBlock, branch, rebased } from './synthetic-chain.ts'

/** Two transactions with their logs, where the recordings are there. */
const body = haveRecordings ? ethereumBlock(1000000) : bareBlock
const long = branch(body, 700, 'main', { from: 0 })

const nodes: RpcNode[] = []
const controllers: AbortController[] = []
afterEach(async () => {
  for (const controller of controllers.splice(0)) controller.abort()
  for (const node of nodes.splice(0)) await node.close()
})

async function startNode(blocks: readonly WholeBlock[]): Promise<RpcNode> {
  const node = await RpcNode.start(blocks)
  nodes.push(node)
  return node
}

/** A connector's process: it knows nothing but the log and its nodes. */
function startSync(log: MemoryLog, urls: readonly string[], finalityDepth = 64, clock = { now: 0 }) {
  const usual = chainContext({ finalityDepth })
  const context = clock.now === 0 ? usual : { ...usual, now: () => clock.now }
  const controller = new AbortController()
  controllers.push(controller)
  const pool = new RpcPool(urls, { chainId: 1, context, random: () => 0.5, signal: controller.signal, rate: 500 })
  const chain = { chainId: 1, name: 'chain-1', finalityDepth }
  const sync = new ChainSync({ chain, journal: log.journal(), pool, context })
  const once = async (): Promise<Outcome> => sync.advance(await fetchHead(pool))
  return {
    context,
    pool,
    once,
    /** Steps until the log holds the head, at most `steps` times. */
    follow: async (steps = 100): Promise<Outcome> => {
      let outcome: Outcome = 'advanced'
      for (let step = 0; step < steps && outcome === 'advanced'; step += 1) outcome = await once()
      return outcome
    },
  }
}

const hashes = (blocks: readonly WholeBlock[]): string[] => blocks.map(({ block }) => block.hash)
const standing = (log: MemoryLog): string[] => log.standing().map(({ blockHash }) => blockHash)

describe('the journal of a chain', () => {
  it('begins with the newest final block and goes on to the head, every height once and linked', async () => {
    const node = await startNode(long.slice(0, 200))
    const log = new MemoryLog()
    expect(await startSync(log, [node.url]).follow()).toBe('current')
    expect(log.numbers()).toEqual(Array.from({ length: 65 }, (_, at) => 135 + at))
    expect(standing(log)).toEqual(hashes(long.slice(135, 200)))
    expect(log.written.at(-1)?.record.finalized).toBe(135)
    expect(log.written[0]?.stamp).toMatchObject({ origin: 'evm:1', position: '0000000000000001' })
    expect(log.standing().every(({ transactions }) => transactions.length === body.block.transactions.length)).toBe(
      true,
    )
  })

  it.each([1, 49, 51, 500])('is the same after %i heads were missed', async (missed) => {
    const node = await startNode(long.slice(0, 100))
    const log = new MemoryLog()
    const sync = startSync(log, [node.url])
    await sync.follow()
    node.hold(long.slice(0, 100 + missed))
    expect(await sync.follow()).toBe('current')
    expect(standing(log)).toEqual(hashes(long.slice(35, 100 + missed)))
    expect(Math.max(...log.appends)).toBeLessThanOrEqual(50)
  })

  it('meets heads that arrive while it fills the gap', async () => {
    const node = await startNode(long.slice(0, 70))
    const log = new MemoryLog()
    const sync = startSync(log, [node.url])
    for (let head = 70; head <= 300; head += 23) {
      node.hold(long.slice(0, head))
      await sync.once()
    }
    expect(await sync.follow()).toBe('current')
    expect(standing(log)).toEqual(hashes(long.slice(5, 300)))
  })

  it('is bounded by the tag where the node finalizes later, by 128 blocks, and never goes back', async () => {
    const node = await startNode(long.slice(0, 300))
    const log = new MemoryLog()
    node.finalTag = 220
    const sync = startSync(log, [node.url])
    await sync.follow()
    expect(log.written.at(-1)?.record.finalized).toBe(220)
    node.hold(long.slice(0, 450))
    await sync.follow()
    expect(log.written.at(-1)?.record.finalized).toBe(449 - 128)
    node.finalTag = 0
    node.hold(long.slice(0, 460))
    await sync.follow()
    expect(log.written.at(-1)?.record.finalized).toBe(459 - 128)
    log.standing()
  })
})

describe('a reorganisation', () => {
  it.each([1, 7, 64])('of depth %i takes back whole blocks, newest first, before the new branch', async (depth) => {
    const node = await startNode(long.slice(0, 120))
    const log = new MemoryLog()
    const sync = startSync(log, [node.url], 100)
    await sync.follow()
    const before = log.written.length
    const fork = [...long.slice(0, 120 - depth), ...branch(body, depth + 2, 'fork', long[119 - depth] ?? body)]
    node.hold(fork)
    expect(await sync.follow()).toBe('current')
    const removed = Array.from({ length: depth }, (_, at) => -(119 - at))
    const added = Array.from({ length: depth + 2 }, (_, at) => 120 - depth + at)
    expect(log.numbers().slice(before)).toEqual([...removed, ...added])
    expect(standing(log)).toEqual(hashes(fork.slice(19)))
    const { values } = await sync.context.metrics.reorgDepth.get()
    expect(values.find(({ metricName }) => metricName?.endsWith('_sum'))?.value).toBe(depth)
  })

  it('nested, flipped back and again counts how often each block was removed', async () => {
    const node = await startNode(long.slice(0, 50))
    const log = new MemoryLog()
    const sync = startSync(log, [node.url])
    await sync.follow()
    const first = [...long.slice(0, 43), ...branch(body, 8, 'first', long[42] ?? body)]
    const second = [...first.slice(0, 46), ...branch(body, 6, 'second', first[45] ?? body)]
    for (const chain of [first, second, long.slice(0, 53), second, long.slice(0, 54)]) {
      node.hold(chain)
      expect(await sync.follow()).toBe('current')
      expect(standing(log)).toEqual(hashes(chain))
    }
    const { hash } = long[49]?.block ?? {}
    const seen = log.written.flatMap(({ record }) => (record.blockHash === hash ? [record] : []))
    expect(seen.map(({ removed, revision }) => [removed, revision])).toEqual([
      [false, 0],
      [true, 0],
      [false, 1],
      [true, 1],
      [false, 2],
    ])
  })

  it('during the filling of a gap is followed, too', async () => {
    const node = await startNode(long.slice(0, 100))
    const log = new MemoryLog()
    const sync = startSync(log, [node.url])
    await sync.follow()
    node.hold(long.slice(0, 180))
    await sync.once()
    expect(standing(log).at(-1)).toBe(long[149]?.block.hash)
    const fork = [...long.slice(0, 140), ...branch(body, 100, 'fork', long[139] ?? body)]
    node.hold(fork)
    expect(await sync.follow()).toBe('current')
    expect(standing(log)).toEqual(hashes(fork.slice(35)))
    expect(log.numbers().filter((number) => number < 0)).toEqual(Array.from({ length: 10 }, (_, at) => at - 149))
  })

  it('below what is final ends the connector with one clear sentence', async () => {
    const node = await startNode(long.slice(0, 100))
    const log = new MemoryLog()
    const sync = startSync(log, [node.url], 10)
    await sync.follow()
    node.hold([...long.slice(0, 80), ...branch(body, 30, 'fork', long[79] ?? body)])
    await expect(sync.follow()).rejects.toThrow(FatalError)
    await expect(sync.follow()).rejects.toThrow(/^chain 1: the node's chain does not contain the final block 89 /)
    expect(log.numbers().every((number) => number > 0)).toBe(true)
  })
})

describe('a restart', () => {
  it('at any point, inside a reorganisation too, goes on from the log alone', async () => {
    const fork = [...long.slice(0, 90), ...branch(body, 12, 'fork', long[89] ?? body)]
    const node = await startNode(long.slice(0, 100))
    const whole = new MemoryLog()
    const sync = startSync(whole, [node.url])
    await sync.follow()
    node.hold(fork)
    await sync.follow()
    // A broker keeps a whole append or the beginning of one: cut the log anywhere since the reorganisation began.
    const began = whole.numbers().findIndex((number) => number < 0)
    for (let end = began; end <= whole.written.length; end += 1) {
      const log = new MemoryLog()
      log.written.push(...whole.written.slice(0, end))
      expect(await startSync(log, [node.url]).follow()).toBe('current')
      expect(standing(log)).toEqual(hashes(fork.slice(35)))
      expect(log.numbers()).toEqual(whole.numbers())
    }
  })

  it('after a reorganisation that flips back finds the ancestor and the right revisions', async () => {
    const node = await startNode(long.slice(0, 100))
    const log = new MemoryLog()
    await startSync(log, [node.url]).follow()
    const fork = [...long.slice(0, 90), ...branch(body, 12, 'fork', long[89] ?? body)]
    for (const chain of [fork, long.slice(0, 103), fork, long.slice(0, 104)]) {
      node.hold(chain)
      await startSync(log, [node.url]).follow()
      expect(standing(log)).toEqual(hashes(chain.slice(35)))
    }
    expect(Math.max(...log.written.map(({ record }) => record.revision))).toBe(2)
  })

  it('beside a writer that went ahead reads the log again, and readers accept nothing twice', async () => {
    const node = await startNode(long.slice(0, 100))
    const log = new MemoryLog()
    const [one, other] = [startSync(log, [node.url]), startSync(log, [node.url])]
    await one.follow()
    await other.follow()
    node.hold(long.slice(0, 103))
    expect(await one.follow()).toBe('current')
    expect(await other.once()).toBe('overtaken')
    expect(await other.follow()).toBe('current')
    const fork = [...long.slice(0, 101), ...branch(body, 4, 'fork', long[100] ?? body)]
    node.hold(fork)
    expect(await other.follow()).toBe('current')
    expect(await one.once()).toBe('overtaken')
    expect(await one.follow()).toBe('current')
    expect(standing(log)).toEqual(hashes(fork.slice(35)))
  })
})

describe('nodes that are not in step', () => {
  it('that lag or go backwards cause no reorganisation', async () => {
    const node = await startNode(long.slice(0, 100))
    const log = new MemoryLog()
    const sync = startSync(log, [node.url])
    await sync.follow()
    const before = log.written.length
    for (const head of [99, 95, 40, 20]) {
      node.hold(long.slice(0, head))
      expect(await sync.once()).toBe('distrusted')
    }
    expect(log.written).toHaveLength(before)
  })

  it('with a deep reorganisation of their own are not believed, one that others confirm is', async () => {
    const [honest, lost] = [await startNode(long.slice(0, 100)), await startNode(long.slice(0, 100))]
    const log = new MemoryLog()
    honest.delayMs = 30
    const sync = startSync(log, [lost.url, honest.url])
    await sync.follow()
    expect(sync.pool.preferred?.label).toBe(new URL(lost.url).host)
    const fork = [...long.slice(0, 90), ...branch(body, 12, 'fork', long[89] ?? body)]
    lost.hold(fork)
    expect(await sync.once()).toBe('distrusted')
    expect(standing(log)).toEqual(hashes(long.slice(35, 100)))
    honest.hold(fork)
    expect(await sync.follow()).toBe('current')
    expect(standing(log)).toEqual(hashes(fork.slice(35)))
  })

  it('that say they are syncing are left alone', async () => {
    const [syncing, well] = [await startNode(long.slice(0, 40)), await startNode(long.slice(0, 100))]
    syncing.syncing = true
    const log = new MemoryLog()
    const sync = startSync(log, [syncing.url, well.url])
    expect(await sync.follow()).toBe('current')
    expect(standing(log)).toEqual(hashes(long.slice(35, 100)))
    expect(syncing.calls).not.toContain('eth_getBlockByNumber')
  })

  it('of another chain end the connector', async () => {
    const node = await startNode(long.slice(0, 100))
    node.chainId = 5
    await expect(startSync(new MemoryLog(), [node.url]).once()).rejects.toThrow(/is a node of chain 5, not of chain 1/)
  })
})

describe('a block that is dated ahead of time', () => {
  const second = 1_000_000
  const timeOf = ({ block }: WholeBlock): number => Number(block.timestamp) * second
  const base = branch(bareBlock, 30, 'main', { from: 0 })
  const tip = base[29] ?? bareBlock
  /** Blocks that follow one, so many seconds ahead of the tip. */
  const following = (parent: WholeBlock, fork: string, ...aheadS: number[]): WholeBlock[] =>
    aheadS.reduce<WholeBlock[]>((blocks, ahead) => {
      const last = blocks.at(-1) ?? parent
      const timestamp = timeOf(tip) / second + ahead
      return [...blocks, rebased(bareBlock, Number(last.block.number) + 1, last.block.hash, fork, timestamp)]
    }, [])

  it('waits with all that follow until its time is a minute away, and no longer', async () => {
    const next = following(tip, 'ahead', 12, 3_600, 3_612)
    const node = await startNode([...base, ...next])
    const [log, clock] = [new MemoryLog(), { now: timeOf(tip) + 13 * second }]
    const sync = startSync(log, [node.url], 20, clock)
    expect(await sync.follow()).toBe('behind')
    expect(standing(log).at(-1)).toBe(next[0]?.block.hash)
    expect(await sync.once()).toBe('behind')
    clock.now = timeOf(tip) + 3_540 * second - 1
    expect(await sync.follow()).toBe('behind')
    clock.now += 1
    expect(await sync.follow()).toBe('behind')
    expect(standing(log).at(-1)).toBe(next[1]?.block.hash)
    clock.now += 12 * second
    expect(await sync.follow()).toBe('current')
    expect(standing(log)).toEqual(hashes([...base.slice(-log.standing().length + 3), ...next]))
  })

  it('replaces none before it goes out itself', async () => {
    const node = await startNode(base)
    const [log, clock] = [new MemoryLog(), { now: timeOf(tip) + second }]
    const sync = startSync(log, [node.url], 20, clock)
    expect(await sync.follow()).toBe('current')
    const parent = base[28] ?? bareBlock
    const branched = following(parent, 'fork', 86_400, 86_401)
    node.hold([...base.slice(0, 29), ...branched])
    const written = log.written.length
    expect(await sync.follow()).toBe('behind')
    expect(log.written).toHaveLength(written)
    clock.now += 86_400 * second
    expect(await sync.follow()).toBe('current')
    expect(standing(log).slice(-2)).toEqual(hashes(branched))
  })
})
