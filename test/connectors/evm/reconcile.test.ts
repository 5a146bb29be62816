/** What follows from a node's block, over chains whose forks are made from recorded headers by hashing them anew. */
import { describe, expect, it } from 'vitest'
import { linkedPrefix, reconcile } from '../../../connectors/evm/reconcile.ts'
import type { Link, WholeBlock } from '../../../connectors/evm/rpc-types.ts'
import { haveRecordings, recordedChain } from './recordings.ts'
import { bareBlock, branch, linksOf } from './synthetic-chain.ts'

/** The recorded chain, or bare blocks where it is not there, and 86 more hashed upon it. */
const recorded: WholeBlock[] = haveRecordings
  ? recordedChain().map(({ block }) => ({ block: { ...block, transactions: [] }, receipts: [] }))
  : branch(bareBlock, 14, 'main', { from: 18090205 })
const body = recorded[13] ?? bareBlock
const chain = [...recorded, ...branch(body, 86, 'main', body)]

/** A node that holds these blocks, and the chain. */
const holding =
  (...branches: readonly WholeBlock[][]) =>
  async (hash: string): Promise<Link> => {
    const link = linksOf([...chain, ...branches.flat()]).find((one) => one.hash === hash)
    if (link === undefined) throw new Error(`the node does not have ${hash}`)
    return link
  }
const none = holding()

/** The chain's links from one place to another, which a log holds. */
function log(from: number, to: number, of: readonly WholeBlock[] = chain): [Link, ...Link[]] {
  const [first, ...rest] = linksOf(of.slice(from, to))
  if (first === undefined) throw new Error('an empty log')
  return [first, ...rest]
}
const at = (place: number, of: readonly WholeBlock[] = chain): WholeBlock => {
  const whole = of.at(place)
  if (whole === undefined) throw new Error(`no block at ${place}`)
  return whole
}
const link = (place: number, of: readonly WholeBlock[] = chain): Link => log(place, place + 1, of)[0]

describe('a block that continues the chain', () => {
  it('extends it', async () => {
    expect(await reconcile(log(0, 20), link(20), none)).toEqual({ kind: 'extends' })
  })

  it('beyond the next height leaves a gap, whatever its branch', async () => {
    expect(await reconcile(log(0, 20), link(21), none)).toEqual({ kind: 'gap', from: link(20).number })
    expect(await reconcile(log(0, 20), link(69), none)).toEqual({ kind: 'gap', from: link(20).number })
  })
})

describe('a node that lags', () => {
  it('causes no reorganisation while its head is a block of the log', async () => {
    for (const place of [19, 18, 5, 0]) {
      expect(await reconcile(log(0, 20), link(place), none)).toEqual({ kind: 'known' })
    }
  })

  it('causes none when its head is below what is final', async () => {
    expect(await reconcile(log(5, 20), link(2), none)).toEqual({ kind: 'behind' })
    const [other] = branch(body, 1, 'other', at(4))
    expect(await reconcile(log(5, 20), link(0, [other ?? body]), none)).toEqual({ kind: 'behind' })
  })
})

describe('a reorganisation', () => {
  it.each([1, 7, 64])('of depth %i removes newest first down to the common ancestor', async (depth) => {
    const fork = branch(body, depth + 1, 'fork', at(79 - depth))
    const removed = log(80 - depth, 80).toReversed()
    const above = await reconcile(log(0, 80), link(depth, fork), holding(fork))
    expect(above).toEqual({ kind: 'reorganisation', removed, branch: log(0, depth + 1, fork) })
    const sameHeight = await reconcile(log(0, 80), link(depth - 1, fork), holding(fork))
    expect(sameHeight).toEqual({ kind: 'reorganisation', removed, branch: log(0, depth, fork) })
  })

  it('shows in the next block only, as a node that was polled tells it', async () => {
    const fork = branch(body, 2, 'fork', at(18))
    const verdict = await reconcile(log(0, 20), link(1, fork), holding(fork))
    expect(verdict).toEqual({ kind: 'reorganisation', removed: [link(19)], branch: log(0, 2, fork) })
  })

  it('to a shorter branch removes what is above it, too', async () => {
    const fork = branch(body, 1, 'fork', at(16))
    const verdict = await reconcile(log(0, 20), link(0, fork), holding(fork))
    expect(verdict).toEqual({ kind: 'reorganisation', removed: log(17, 20).toReversed(), branch: log(0, 1, fork) })
  })

  it('nested in another, and the flip back, are told from where the log then stands', async () => {
    const first = branch(body, 7, 'first', at(12))
    const second = branch(body, 6, 'second', at(2, first))
    const onFirst = [...chain.slice(0, 13), ...first]
    const onSecond = [...chain.slice(0, 13), ...first.slice(0, 3), ...second]
    const nested = await reconcile(log(0, 20, onFirst), link(3, second), holding(first, second))
    expect(nested).toEqual({
      kind: 'reorganisation',
      removed: log(3, 7, first).toReversed(),
      branch: log(0, 4, second),
    })
    const back = await reconcile(log(0, 20, onSecond), link(19), holding(first, second))
    expect(back).toEqual({
      kind: 'reorganisation',
      removed: log(13, 20, onSecond).toReversed(),
      branch: log(13, 20),
    })
  })

  it('that leaves what is final is told apart', async () => {
    const fork = branch(body, 10, 'fork', at(9))
    const verdict = await reconcile(log(12, 20), link(9, fork), holding(fork))
    expect(verdict).toEqual({ kind: 'beyond-final', branch: log(3, 10, fork) })
  })

  it('passes on that the node cannot serve the branch', async () => {
    const fork = branch(body, 3, 'fork', at(16))
    await expect(reconcile(log(0, 20), link(2, fork), none)).rejects.toThrow(/the node does not have/)
  })
})

describe('blocks fetched by height', () => {
  it('count as far as they are linked', () => {
    const fork = branch(body, 3, 'fork', at(5))
    expect(linkedPrefix(log(0, 6), (one) => one)).toHaveLength(6)
    expect(linkedPrefix([...log(0, 5), ...linksOf(fork)], (one) => one)).toHaveLength(5)
    expect(linkedPrefix([], (one: Link) => one)).toEqual([])
  })
})
