/** Sharing partitions: evenly, each once, and with no more moves than that takes. */
import fc from 'fast-check'
import { AssignerProtocol, type GroupMember } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import {
  distribute,
  stickyAssigner,
  type Assignment,
  type Claim,
  type Claimant,
} from '../../../../workers/runtime/kafka/sticky-assigner.ts'

const topicNames = ['a', 'b', 'c']
const partitionsOf = fc
  .record({ a: fc.nat(12), b: fc.nat(7), c: fc.nat(3) })
  .map((counts) => Object.fromEntries(Object.entries(counts).map(([topic, count]) => [topic, numbers(count)])))
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
/** Anything: partitions that are not there, that others claim too, of any generation. */
const claim: fc.Arbitrary<Claim> = fc.record({
  generation: fc.nat(3),
  partitions: fc.dictionary(fc.constantFrom(...topicNames, 'gone'), fc.uniqueArray(fc.nat(14))),
})
const claimants = fc
  .array(claim, { minLength: 1, maxLength: 6 })
  .map((claims) => claims.map((one, index): Claimant => ({ id: `m${index}`, topics: topicNames, claim: one })))

const places = (assignment: Assignment): string[] =>
  Object.entries(assignment).flatMap(([topic, held]) => held.map((partition) => `${topic}:${partition}`))
const size = (assignment: Assignment): number => places(assignment).length
const member = (
  id: string,
  partitions: Assignment,
  generation = 1,
  topics: readonly string[] = topicNames,
): Claimant => ({
  id,
  topics,
  claim: { generation, partitions },
})

describe('sharing partitions', () => {
  it('gives each partition to one member, and none more than one partition above another', () => {
    fc.assert(
      fc.property(partitionsOf, claimants, (partitions, members) => {
        const shares = [...distribute(partitions, members).values()]
        expect(shares.flatMap(places).toSorted()).toEqual(places(partitions).toSorted())
        expect(shares).toHaveLength(members.length)
        const sizes = shares.map(size)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('leaves as much as an even share can leave', () => {
    fc.assert(
      fc.property(partitionsOf, claimants, (partitions, members) => {
        const shares = distribute(partitions, members)
        // Whoever claims it last of all is right; of equal claims the first member's.
        const rightful = new Map<string, number>(members.map(({ id }) => [id, 0]))
        let kept = 0
        for (const place of places(partitions)) {
          const owner = members
            .filter(({ claim: { partitions: claimed } }) => places(claimed).includes(place))
            .toSorted((x, y) => y.claim.generation - x.claim.generation || (x.id < y.id ? -1 : 1))[0]
          if (owner === undefined) continue
          rightful.set(owner.id, (rightful.get(owner.id) ?? 0) + 1)
          if (places(shares.get(owner.id) ?? {}).includes(place)) kept++
        }
        const total = size(partitions)
        const floor = Math.floor(total / members.length)
        const above = [...rightful.values()].filter((count) => count > floor).length
        const most = [...rightful.values()].reduce((sum, count) => sum + Math.min(count, floor), 0)
        expect(kept).toBe(most + Math.min(above, total % members.length))
      }),
    )
  })

  it('says the same whatever order members and partitions come in', () => {
    fc.assert(
      fc.property(partitionsOf, claimants, (partitions, members) => {
        const backwards = Object.fromEntries(
          Object.entries(partitions)
            .toReversed()
            .map(([topic, held]) => [topic, held.toReversed()]),
        )
        const other = distribute(backwards, members.toReversed())
        for (const [id, share] of distribute(partitions, members))
          expect(places(other.get(id) ?? {}).toSorted()).toEqual(places(share).toSorted())
      }),
    )
  })

  it('believes the later of two that claim the same', () => {
    const shares = distribute({ a: [0, 1] }, [member('m0', { a: [0, 1] }, 4), member('m1', { a: [1] }, 7)])
    expect(Object.fromEntries(shares)).toEqual({ m0: { a: [0] }, m1: { a: [1] } })
  })

  it('gives a topic only to those that read it', () => {
    const members = [member('old', { a: [0, 1, 2] }, 1, ['a']), member('new', {}, 0, ['a', 'b'])]
    const shares = distribute({ a: [0, 1, 2], b: [0, 1, 2] }, members)
    expect(shares.get('old')).toEqual({ a: [0, 1, 2] })
    expect(shares.get('new')).toEqual({ b: [0, 1, 2] })
  })
})

describe('the assigner', () => {
  const cluster = { findTopicPartitionMetadata: (topic: string) => numbers(topic === 'a' ? 4 : 2).map((partitionId) => ({ partitionId })) } // prettier-ignore
  const assignerOf = (own: Claim) => stickyAssigner(() => own)({ cluster })
  const assign = async (members: GroupMember[]): Promise<Record<string, unknown>> => {
    const assigned = await assignerOf({ generation: 0, partitions: {} }).assign({ members, topics: ['a', 'b'] })
    return Object.fromEntries(
      assigned.map(({ memberId, memberAssignment }) => [
        memberId,
        { ...AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment },
      ]),
    )
  }
  const joining = (memberId: string, partitions: Assignment): GroupMember => ({
    memberId,
    memberMetadata: assignerOf({ generation: 1, partitions }).protocol({ topics: ['a', 'b'] }).metadata,
  })
  const saying = (memberId: string, userData: string): GroupMember => ({
    memberId,
    memberMetadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics: ['a', 'b'], userData: Buffer.from(userData) }), // prettier-ignore
  })

  it('reads what members say that they hold', async () => {
    const members = [joining('m0', { a: [1, 3], b: [0] }), joining('m1', { a: [0, 2], b: [1] })]
    expect(await assign(members)).toEqual({ m0: { a: [1, 3], b: [0] }, m1: { a: [0, 2], b: [1] } })
  })

  it('takes a member that says nothing, or nothing sensible, for one that holds nothing', async () => {
    const silent: GroupMember = { memberId: 'z', memberMetadata: Buffer.from([1]) }
    for (const other of [
      silent,
      saying('z', ''),
      saying('z', 'null'),
      saying('z', '{"generation":9,"partitions":{"a":["x"]}}'),
    ])
      // prettier-ignore
      expect(await assign([joining('m0', { a: [0, 1, 2] }), other])).toMatchObject({ m0: { a: [0, 1, 2] } })
  })
})
