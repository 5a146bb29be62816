/** A step's membership in its group: what stalls is found and goes on by itself, and a rebalance moves no more than it must. */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { PartitionAssigners, type KafkaConfig } from 'kafkajs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../../../support/servers.ts'
import { Proxy } from '../../../chaos/proxy.ts'
import { Membership, type TestMember } from './membership.ts'

let membership: Membership
const begin = async (stallMs: number): Promise<void> => void (membership = await Membership.create(stallMs))
afterEach(() => membership.close())

const everything = [0, 1, 2, 3, 4, 5]
const taken = ({ slots }: TestMember): number => slots.reduce((sum, slot) => sum + slot.taken.length, 0)
const counted = async ({ context: { metrics } }: TestMember, name: 'restarts' | 'stalls'): Promise<number> =>
  (await metrics[name].get()).values.reduce((sum, { value }) => sum + value, 0)
const reading = async (member: TestMember): Promise<void> => {
  await Promise.all(everything.map((partition) => membership.append(partition)))
  await eventually(() => expect(taken(member)).toBe(everything.length))
}

describe('a partition that makes no progress', () => {
  beforeEach(() => begin(4_000))

  it('is found and read again where kafkajs holds it and does not fetch it', async () => {
    const member = await membership.join()
    await reading(member)
    member.consumers[0]?.pause([{ topic: membership.topic, partitions: [3] }])
    await membership.append(3)
    await eventually(() => expect(taken(member)).toBe(7))
    await eventually(() => expect(member.group.stalled).toBe(0))
    expect([await counted(member, 'stalls'), await counted(member, 'restarts')]).toEqual([1, 1])
  })

  it('is none while there is nothing to read', async () => {
    const member = await membership.join()
    await reading(member)
    await sleep(2 * membership.config.stallMs)
    await membership.append(3)
    await eventually(() => expect(taken(member)).toBe(7))
    expect([await counted(member, 'stalls'), await counted(member, 'restarts')]).toEqual([0, 0])
  })
})

describe('a broker that goes silent', () => {
  let proxy: Proxy
  let through: Partial<KafkaConfig>
  const beginBehindProxy = async (stallMs: number): Promise<void> => {
    await begin(stallMs)
    const port = Number(membership.config.kafkaBrokers[0]?.split(':').at(-1))
    proxy = await Proxy.start(port)
    through = { socketFactory: ({ onConnect }) => connect({ host: '127.0.0.1', port: proxy.port }, onConnect) }
  }
  afterEach(() => proxy.close())

  it('is asked again on other connections, without a rebalance', async () => {
    await beginBehindProxy(12_000)
    // So long that on a busy machine a broker that answers is not taken for a silent one.
    const member = await membership.join({ ...through, requestTimeout: 3_000 }, { sessionTimeout: 30_000 })
    await reading(member)
    expect(proxy.silence()).toBeGreaterThan(0)
    await membership.append(3)
    await eventually(() => expect(taken(member)).toBe(7))
    expect(await counted(member, 'restarts')).toBe(0)
    expect(member.slots).toHaveLength(everything.length)
  })

  it('is left by a consumer that does not notice it', async () => {
    await beginBehindProxy(4_000)
    const member = await membership.join({ ...through, requestTimeout: 60_000 })
    await reading(member)
    proxy.silence()
    await membership.append(3)
    await eventually(() => expect(taken(member)).toBe(7))
    expect(await counted(member, 'restarts')).toBe(1)
  })
})

describe('a rebalance', () => {
  beforeEach(() => begin(20_000))

  const shared = (...members: TestMember[]): Promise<void> =>
    eventually(() => {
      expect(members.flatMap((member) => member.held()).toSorted((a, b) => a - b)).toEqual(everything)
      for (const member of members) expect(member.held()).toHaveLength(everything.length / members.length)
    })

  it('opens nothing again that stays where it was', async () => {
    const first = await membership.join()
    await shared(first)
    const second = await membership.join()
    await shared(first, second)
    const third = await membership.join()
    await shared(first, second, third)
    const kept = first.held()
    await third.group.stop()
    await shared(first, second)
    expect(first.held()).toEqual(expect.arrayContaining(kept))
    // Six at first; three went to the second, one each to the third, and its two came back.
    expect(first.slots).toHaveLength(7)
    expect(second.slots).toHaveLength(4)
    // What is held may still be opening.
    await eventually(() => {
      for (const slot of [...first.slots, ...second.slots]) expect(slot.openings).toBe(1)
    })
    await eventually(() => expect([first.group.generation, second.group.generation]).toEqual([4, 4]))
  })

  it('is one with replicas that know the round robin alone', async () => {
    const old = await membership.join({}, { partitionAssigners: [PartitionAssigners.roundRobin] })
    await shared(old)
    const fresh = await membership.join()
    await shared(old, fresh)
    await old.group.stop()
    await shared(fresh)
  })
})

describe('a partition that is resumed', () => {
  beforeEach(() => begin(20_000))

  it('does not wait until the fetch of the others has waited', async () => {
    const member = await membership.join({}, { maxWaitTimeInMs: 20_000, sessionTimeout: 60_000 })
    await reading(member)
    const slot = member.slots.find(({ partition }) => partition === 3)
    // More than it may queue: it is paused at once.
    if (slot !== undefined) slot.queuedBytes = Infinity
    await membership.append(3)
    await eventually(() => expect(taken(member)).toBe(7))
    await membership.append(3)
    await sleep(500)
    expect(taken(member)).toBe(7)
    if (slot !== undefined) slot.queuedBytes = 0
    member.controls.get(3)?.relieved()
    await eventually(() => expect(taken(member)).toBe(8))
  })
})
