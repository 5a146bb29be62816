/** Histories of a made-up chain: blocks that come, are orphaned, and come back, as its journal tells them. */
import { seeded, type Random } from '../../ops/local/chain/random.ts'
import type { ChainBlock } from '../../schemas/types.ts'
import { sequencePosition, type Placed } from '../../workers/runtime/position.ts'
import { MadeUpChain } from './made-up-chain.ts'

export interface Entry {
  readonly record: ChainBlock
  readonly place: Placed
}

export interface History {
  readonly entries: readonly Entry[]
  /** What stands at the end, as it was added last, but as if never removed. */
  readonly canonical: readonly Entry[]
  readonly deepest: number
}

export interface HistoryOptions {
  readonly seed: number
  /** How many blocks behind the head are not final; 0: finality never moves. */
  readonly finality: number
  /** Deepest reorganisation. */
  readonly depth: number
  readonly forks: number
}

/** @returns a history that ends with as many empty blocks as make everything before them final, where finality moves. */
export function makeHistory({ seed, finality, depth, forks }: HistoryOptions): History {
  const random = seeded(`history ${seed}`)
  const journal = new Journal(String(seed), finality)
  let deepest = 0
  journal.extend(depth + random.int(1, 4))
  for (let fork = 0; fork < forks; fork++) {
    const deep = Math.min(journal.removable, fork === 0 ? depth : Math.round(random.logBetween(1, depth)))
    deepest = Math.max(deepest, deep)
    const orphans = journal.remove(deep)
    journal.extend(random.int(1, Math.max(1, Math.min(deep + 2, 12))))
    if (random.next() < 0.4) flipBack(journal, orphans, random)
    else journal.extend(random.int(0, 3))
  }
  return { entries: journal.entries, canonical: journal.canonical(), deepest }
}

/** The branch that was left becomes the chain again, whole or in part. */
function flipBack(journal: Journal, orphans: readonly ChainBlock[], random: Random): void {
  const former = orphans.toReversed()
  const parent = former[0]?.parentHash
  const above = journal.standing.length - 1 - journal.standing.findIndex(({ blockHash }) => blockHash === parent)
  if (parent === undefined || above > journal.removable) return
  journal.remove(above)
  for (const block of former.slice(0, random.int(1, former.length))) journal.add(block)
  journal.extend(random.int(0, 2))
}

export class Journal {
  readonly entries: Entry[] = []
  readonly standing: ChainBlock[] = []
  readonly #chain: MadeUpChain
  readonly #finality: number
  readonly #removals = new Map<string, number>()
  #finalized = 0

  constructor(seed: string, finality: number) {
    this.#chain = new MadeUpChain(seed)
    this.#finality = finality
  }

  /** Blocks that may be removed; the first stays, as in any log that begins somewhere. */
  get removable(): number {
    return Math.max(0, this.standing.filter(({ block }) => block > Math.max(1, this.#finalized)).length)
  }

  extend(count: number): void {
    for (let each = 0; each < count; each++) this.add(this.#chain.next(this.standing.at(-1), 0))
  }

  /** Adds a block that follows the tip, with the finality and revision that it has now. */
  add(block: ChainBlock): void {
    if (this.#finality > 0) this.#finalized = Math.max(this.#finalized, block.block - this.#finality)
    const revision = this.#removals.get(block.blockHash) ?? 0
    const record = { ...block, finalized: this.#finalized, revision }
    this.standing.push(record)
    this.#append(record, block.parentHash, block.blockHash)
  }

  /** @returns the blocks that were removed, newest first */
  remove(count: number): ChainBlock[] {
    return Array.from({ length: count }).flatMap(() => {
      const block = this.standing.pop()
      if (block === undefined) return []
      this.#removals.set(block.blockHash, block.revision + 1)
      this.#append({ ...block, finalized: this.#finalized, removed: true }, block.blockHash, block.parentHash)
      return [block]
    })
  }

  canonical(): Entry[] {
    return this.standing.map((block, index) => ({
      record: { ...block, revision: 0 },
      place: placeOf(index, block.parentHash, block.blockHash),
    }))
  }

  #append(record: ChainBlock, extended: string, tip: string): void {
    this.entries.push({ record, place: placeOf(this.entries.length, extended, tip) })
  }
}

const placeOf = (index: number, extended: string, tip: string): Placed => ({
  origin: 'evm:1',
  position: sequencePosition(index + 1),
  link: { extends: extended, tip },
})

/** Blocks in which nothing happens, after the last entry: so many that all before them are final. */
export function closing(entries: readonly Entry[], finality: number, sequence: number): Entry[] {
  const more: Entry[] = []
  let last = entries.findLast(({ record }) => !record.removed)?.record
  for (let each = 0; last !== undefined && each < finality + 40; each++) {
    const block: ChainBlock = MadeUpChain.empty(last, Math.max(last.finalized, last.block + 1 - finality))
    more.push({ record: block, place: placeOf(sequence + each, last.blockHash, block.blockHash) })
    last = block
  }
  return more
}
