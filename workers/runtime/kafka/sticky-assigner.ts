/**
 * Shares a group's partitions evenly and leaves them where they are: kafkajs brings only a round robin, which moves nearly
 * all of them at each rebalance, and each move costs a read of the store and a feed its connection.
 */
import { AssignerProtocol, type Assigner, type GroupMember } from 'kafkajs'
import { z } from 'zod'

const { MemberAssignment, MemberMetadata } = AssignerProtocol

/** Partitions by topic, as the servers call it. */
export type Assignment = Readonly<Record<string, readonly number[]>>

/** What a member held when it joined, and since which generation of the group: of two that claim the same the later is right. */
export interface Claim {
  readonly generation: number
  /** Of the state that it can read, which is no newer one; 0 where it is not given. */
  readonly version?: number | undefined
  readonly partitions: Assignment
}

export interface Claimant {
  readonly id: string
  /** What it subscribes to; undefined: whatever there is. */
  readonly topics: readonly string[] | undefined
  readonly claim: Claim
}

/** What it asks of kafkajs's cluster. */
interface Topics {
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number }[]
}

interface Place {
  readonly topic: string
  readonly partition: number
}

interface Share {
  readonly claimant: Claimant
  kept: Place[]
}

const nothing: Claim = { generation: 0, partitions: {} }
const ClaimSchema = z.object({
  generation: z.int().min(0),
  version: z.int().min(0).optional(),
  partitions: z.record(z.string(), z.array(z.int().min(0))),
})

/**
 * The assigner in kafkajs's terms. Members tell what they hold in the user data of their subscription
 * (https://kafka.apache.org/protocol#The_Messages_JoinGroup). A group of members that do not all know this protocol takes
 * another that they share: offer the former one beside it.
 * @param claim asked at each join
 */
export function stickyAssigner(claim: () => Claim): (config: { readonly cluster: Topics }) => Assigner {
  const [name, version] = ['crypto-intel-sticky', 0]
  return ({ cluster }) => ({
    name,
    version,
    async assign({ members, topics }) {
      const partitions = topics.map((topic): [string, number[]] => [
        topic,
        cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId),
      ])
      const shares = distribute(Object.fromEntries(partitions), members.map(claimantOf))
      return [...shares].map(([memberId, share]) => {
        const assignment = Object.fromEntries(Object.entries(share).map(([topic, numbers]) => [topic, [...numbers]]))
        return {
          memberId,
          memberAssignment: MemberAssignment.encode({ version, assignment, userData: Buffer.alloc(0) }),
        }
      })
    },
    protocol({ topics }) {
      const userData = Buffer.from(JSON.stringify(claim()))
      return { name, metadata: MemberMetadata.encode({ version, topics, userData }) }
    },
  })
}

/** What a member says of itself; whoever cannot be understood claims nothing. */
function claimantOf({ memberId: id, memberMetadata }: GroupMember): Claimant {
  let topics: readonly string[] | undefined
  try {
    const metadata = MemberMetadata.decode(memberMetadata)
    topics = metadata?.topics
    return { id, topics, claim: ClaimSchema.parse(JSON.parse(metadata?.userData.toString() ?? '')) }
  } catch {
    return { id, topics, claim: nothing }
  }
}

/**
 * Gives each partition to one of the members that subscribe to its topic. Where all subscribe to the same, no two members
 * differ by more than one partition, and no more partitions move than that takes. While members of several versions are there,
 * as in a rolling deploy, those of the newest alone are given what moves: they may have written what older ones cannot read.
 * @returns each member's share, by its id; the same for the same input in any order
 */
export function distribute(partitions: Assignment, claimants: readonly Claimant[]): Map<string, Assignment> {
  const places = Object.entries(partitions).flatMap(([topic, numbers]) =>
    numbers.map((partition): Place => ({ topic, partition })),
  )
  places.sort((a, b) => compare(a.topic, b.topic) || a.partition - b.partition)
  const shares = claimed(places, claimants)
  const newest = Math.max(0, ...shares.map(versionOf))
  const [older, takers] = [shares.filter((s) => versionOf(s) < newest), shares.filter((s) => versionOf(s) === newest)]
  level(older, places.length, shares.length)
  level(takers, places.length - older.reduce((sum, { kept }) => sum + kept.length, 0), takers.length)
  const taken = new Set(shares.flatMap(({ kept }) => kept))
  for (const place of places)
    if (!taken.has(place)) (poorest(takers, place) ?? poorest(shares, place))?.kept.push(place)
  return new Map(shares.map(({ claimant, kept }) => [claimant.id, byTopic(kept)]))
}

/** What each rightly claims: it is there, the member reads it, and nobody held it later. */
function claimed(places: readonly Place[], claimants: readonly Claimant[]): Share[] {
  const sorted = claimants.toSorted((a, b) => compare(a.id, b.id))
  const shares = sorted.map((claimant): Share => ({ claimant, kept: [] }))
  for (const place of places) {
    let owner: Share | undefined
    for (const share of shares) {
      const { claim } = share.claimant
      if (!reads(share, place) || claim.partitions[place.topic]?.includes(place.partition) !== true) continue
      if (owner === undefined || claim.generation > owner.claimant.claim.generation) owner = share
    }
    owner?.kept.push(place)
  }
  return shares
}

const versionOf = ({ claimant }: Share): number => claimant.claim.version ?? 0

/** Has each give up what is more than its part of so many places among so many members. */
function level(shares: readonly Share[], places: number, members: number): void {
  const floor = Math.floor(places / Math.max(1, members))
  // Those that hold most keep one more, where it does not divide.
  const fullest = shares.toSorted((a, b) => b.kept.length - a.kept.length || compare(a.claimant.id, b.claimant.id))
  fullest.forEach((share, rank) => shrink(share, rank < places - floor * members ? floor + 1 : floor))
}

/** Gives up what is too much, of the topic of which it holds most. */
function shrink(share: Share, most: number): void {
  while (share.kept.length > most) {
    const counts = Object.entries(byTopic(share.kept)).map(([topic, { length }]) => ({ topic, length }))
    const [fullest] = counts.toSorted((a, b) => b.length - a.length || compare(a.topic, b.topic))
    const last = share.kept.findLastIndex(({ topic }) => topic === fullest?.topic)
    share.kept = share.kept.toSpliced(last, 1)
  }
}

/** Who reads the place's topic and holds least, of everything and then of that topic. */
function poorest(shares: readonly Share[], place: Place): Share | undefined {
  const ofTopic = ({ kept }: Share): number => kept.filter(({ topic }) => topic === place.topic).length
  const [first] = shares
    .filter((share) => reads(share, place))
    .toSorted(
      (a, b) => a.kept.length - b.kept.length || ofTopic(a) - ofTopic(b) || compare(a.claimant.id, b.claimant.id),
    )
  return first
}

const reads = ({ claimant }: Share, { topic }: Place): boolean => claimant.topics?.includes(topic) ?? true

function byTopic(places: readonly Place[]): Record<string, number[]> {
  const topics: Record<string, number[]> = {}
  for (const { topic, partition } of places) (topics[topic] ??= []).push(partition)
  return topics
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
