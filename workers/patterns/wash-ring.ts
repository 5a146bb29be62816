/** Finds tokens that go round among a few wallets, so that their volume looks larger than it is. */
import type { Micros } from '../runtime/definitions.ts'

/** A transfer as the search needs it; plain data. */
export interface Hop {
  readonly from: string
  readonly to: string
  /** In the token's smallest unit: likeness needs no exact digits. */
  readonly amount: number
  /** Of a collectible, which only goes round if it is the same. */
  readonly tokenId: string | null
  readonly ts: Micros
  readonly txHash: string
  readonly id: string
}

export interface Ring {
  /** In the order in which the tokens go round. */
  readonly members: readonly string[]
  /** Oldest first. */
  readonly hops: readonly Hop[]
}

export interface RingSearch {
  readonly rounds: number
  /** How far the smallest amount of a round may be below the largest, as a part of the largest. */
  readonly tolerance: number
  /** Wallets that cannot be members, such as contracts. */
  excludes(wallet: string): boolean
}

/** Rings are of two to five wallets. */
const largestRing = 5
/** The share of a member's transfers, while the ring turns, that must be with other members. */
const exclusivity = 0.75
/**
 * Hops that one search may try. A ring is found at once, since its hops are the newest of their kind; what takes longer is a
 * crowd that sends like amounts in all directions, which is no ring.
 */
const mostTries = 50
/** Wallets that deal with more others than this are pools, routers or exchanges. */
const mostCounterparties = 10

/**
 * Finds the ring that the newest transfer completes: `rounds` times in a row each member has sent about the amount of the
 * round to the next, each hop after the one before and in a transaction of its own (a contract passes tokens on in the
 * transaction in which it gets them), by members who hardly deal with anybody else meanwhile (pools do).
 * @param hops in the order of the chain
 */
export function findRing(hops: readonly Hop[], search: RingSearch): Ring | undefined {
  const newest = hops.at(-1)
  if (newest === undefined || !repeats(hops, newest, search.rounds)) return undefined
  if (search.excludes(newest.from) || search.excludes(newest.to)) return undefined
  for (const round of lastRounds(hops, search, [hops.length - 1], { left: mostTries })) {
    const path = earlierRounds(hops, round, search)
    if (path === undefined) continue
    const found = path.toReversed().flatMap((index) => hops[index] ?? [])
    const members = found.slice(0, round.length).map((hop) => hop.from)
    if (isExclusive(hops.slice(path.at(-1)), members)) return { members, hops: found }
  }
  return undefined
}

/** Every wallet of the list that deals with too many others to be a member. */
export function hubsOf(hops: readonly Hop[]): Set<string> {
  const counterparties = new Map<string, Set<string>>()
  for (const { from, to } of hops) {
    for (const [wallet, other] of [[from, to] as const, [to, from] as const]) {
      const others = counterparties.get(wallet)
      if (others === undefined) counterparties.set(wallet, new Set([other]))
      else others.add(other)
    }
  }
  return new Set([...counterparties].filter(([, others]) => others.size > mostCounterparties).map(([wallet]) => wallet))
}

/** Sum of what wallets of a set sent each other. */
export const volumeAmong = (hops: readonly Hop[], wallets: readonly string[]): number =>
  hops.reduce((sum, hop) => (wallets.includes(hop.from) && wallets.includes(hop.to) ? sum + hop.amount : sum), 0)

/**
 * Every way, newest hops first, in which the transfers may close a round, read backwards.
 * @param path indexes of the hops of the round so far, newest first
 */
function* lastRounds(
  hops: readonly Hop[],
  search: RingSearch,
  path: readonly number[],
  tries: { left: number },
): Generator<readonly number[]> {
  const [end, head] = [hops[path[0] ?? 0]?.to, hops[path.at(-1) ?? 0]]
  if (head === undefined) return
  if (head.from === end) {
    yield path
    return
  }
  if (path.length === largestRing) return
  const tried = new Set<string>()
  for (let index = (path.at(-1) ?? 0) - 1; index >= 0 && tries.left > 0; index -= 1) {
    const hop = hops[index]
    if (hop === undefined || hop.to !== head.from || hop.txHash === head.txHash || tried.has(hop.from)) continue
    const visited = path.some((other) => hops[other]?.from === hop.from)
    if (visited || !alike(hops, [...path, index], search.tolerance)) continue
    tried.add(hop.from)
    tries.left -= 1
    if (search.excludes(hop.from) || !repeats(hops, hop, search.rounds)) continue
    yield* lastRounds(hops, search, [...path, index], tries)
  }
}

/** Goes on backwards over the same members until all rounds are found; undefined where they are not there. */
function earlierRounds(
  hops: readonly Hop[],
  last: readonly number[],
  search: RingSearch,
): readonly number[] | undefined {
  const size = last.length
  const path = [...last]
  while (path.length < size * search.rounds) {
    const pattern = hops[last[path.length % size] ?? 0]
    const previous = path.at(-1) ?? 0
    const round = path.slice(path.length - (path.length % size))
    let index = previous - 1
    for (; index >= 0; index -= 1) {
      const hop = hops[index]
      if (hop?.from !== pattern?.from || hop?.to !== pattern?.to || hop?.txHash === hops[previous]?.txHash) continue
      if (alike(hops, [...round, index], search.tolerance)) break
    }
    if (index < 0) return undefined
    path.push(index)
  }
  return path
}

/** Whether a wallet has sent another anything as often as the tokens must go round; what spares most searches. */
function repeats(hops: readonly Hop[], { from, to }: Hop, rounds: number): boolean {
  let count = 0
  for (const hop of hops) if (hop.to === to && hop.from === from) count += 1
  return count >= rounds
}

function alike(hops: readonly Hop[], indexes: readonly number[], tolerance: number): boolean {
  const round = indexes.flatMap((index) => hops[index] ?? [])
  const amounts = round.map((hop) => hop.amount)
  const largest = Math.max(...amounts)
  const isSameToken = round.every((hop) => hop.tokenId === round[0]?.tokenId)
  return isSameToken && largest - Math.min(...amounts) <= tolerance * largest
}

function isExclusive(hops: readonly Hop[], members: readonly string[]): boolean {
  return members.every((member) => {
    const own = hops.filter((hop) => hop.from === member || hop.to === member)
    const inside = own.filter((hop) => members.includes(hop.from) && members.includes(hop.to))
    return inside.length >= exclusivity * own.length
  })
}
