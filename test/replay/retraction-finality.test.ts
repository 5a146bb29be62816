/** Forks leave what the canonical chain alone leaves while finality moves, and a second connector changes nothing. */
import { describe, expect, it } from 'vitest'
import type { ChainBlock } from '../../schemas/types.ts'
import { topics } from '../../schemas/topics.ts'
import { compare, expectSame, feed, open } from './compare-histories.ts'
import { makeHistory, type Entry } from './history.ts'

const seeds = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index)

describe('a history of forks leaves what the canonical chain alone leaves', () => {
  it('while finality moves (80 histories)', () => {
    for (const seed of seeds(1_001, 80)) {
      const deep = seed % 5 === 0 ? 64 : 8
      compare({ seed, finality: deep, depth: deep })
    }
  }, 120_000)
})

describe('a second connector that writes the same chain at the same time', () => {
  /** What an overtaken connector would write of a branch that nobody else has seen, from the sequence on that it knows. */
  const conflicting = ({ record, place }: Entry): Entry => {
    const blockHash = `${record.blockHash.slice(0, -4)}beef`
    const other: ChainBlock = { ...record, id: `${record.chainId}:${blockHash}`, blockHash, removed: false }
    return { record: other, place: { ...place, link: { extends: `0x${'9'.repeat(64)}`, tip: blockHash } } }
  }

  it('changes nothing: what was written again or extends another tip is dropped (10 histories)', () => {
    for (const seed of seeds(5_001, 10)) {
      const { entries } = makeHistory({ seed, finality: 10, depth: 10, forks: 4 })
      const doubled = entries.flatMap((entry, index) => [
        conflicting(entry),
        entry,
        ...(index % 2 === 0 ? [entry] : []),
        ...entries.slice(Math.max(0, index - (index % 5)), index + 1),
        conflicting(entry),
      ])
      // The log's first message is what the reader begins with.
      const [one, two] = [feed(open(), entries), feed(open(), doubled.slice(1))]
      expectSame(two, one, `seed ${seed}`, true)
      expect(two.read(topics.alertsFired)).toEqual(one.read(topics.alertsFired))
    }
  })
})
