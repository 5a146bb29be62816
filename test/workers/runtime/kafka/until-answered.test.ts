/** Brokers that are not ready yet: of a topic that was just made, or whose leader has moved. */
import { Kafka, type Admin } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FatalError, RetryableError, classify, oneLine } from '../../../../workers/runtime/errors.ts'
import { createNames } from '../../../../workers/runtime/kafka/client.ts'
import { LogEnds } from '../../../../workers/runtime/kafka/log-ends.ts'
import { append, makeTopics } from '../../../../workers/runtime/kafka/make-topics.ts'
import { readStretch } from '../../../../workers/runtime/kafka/read.ts'
import { untilAnswered, within } from '../../../../workers/runtime/kafka/until-answered.ts'
import { freshPrefix, servers } from '../../../support/servers.ts'
import { RefusingBroker, refusals } from './refusing-broker.ts'

describe('untilAnswered', () => {
  it('asks again while that may help, and gives the answer', async () => {
    let asked = 0
    const ask = async (): Promise<number> => {
      if (++asked < 4) throw new RetryableError('unavailable', 'not yet')
      return asked
    }
    expect(await untilAnswered('Asking', ask)).toBe(4)
  })

  it('throws what does not pass by itself at once', async () => {
    let asked = 0
    const ask = async (): Promise<never> => {
      asked++
      throw new FatalError('topic', 'not allowed')
    }
    await expect(untilAnswered('Asking', ask)).rejects.toThrow(/^not allowed$/)
    expect(asked).toBe(1)
  })

  it('says what was done, and for how long, when the time is up', async () => {
    const ask = (): Promise<never> => Promise.reject(new RetryableError('unavailable', 'no leader'))
    const error: unknown = await untilAnswered('Asking where a ends', ask, 60).catch((thrown: unknown) => thrown)
    expect(oneLine(error)).toBe(
      'Asking where a ends: no leader: tried for 0 s: are all brokers up, and has every partition a leader?',
    )
    expect(classify(error)).toBe('retryable')
  })

  it('does not wait for ever for what tries for ever', async () => {
    expect(await within('Writing', Promise.resolve(1), 60)).toBe(1)
    await expect(within('Writing', new Promise(() => {}), 60)).rejects.toThrow(RetryableError)
    await expect(within('Writing', Promise.reject(new Error('broken')), 60)).rejects.toThrow('broken')
  })
})

describe('a broker that is not ready yet', () => {
  const topic = `${freshPrefix()}refused`
  let broker: RefusingBroker
  let kafka: Kafka
  let admin: Admin

  beforeAll(async () => {
    const { brokers } = await servers()
    broker = await RefusingBroker.start(brokers)
    kafka = new Kafka({ brokers: [brokers], logLevel: 0, ...broker.client })
    admin = kafka.admin()
    await admin.connect()
  })
  afterAll(async () => {
    await admin?.disconnect()
    await broker?.close()
  })

  it('has a topic made only when the leaders answer', async () => {
    broker.refuse('list offsets', refusals.notLeader, 3)
    await makeTopics(admin, [{ topic, numPartitions: 2 }])
    expect(broker.asked.filter((what) => what === 'list offsets').length).toBeGreaterThan(3)
  })

  it('is asked again where a log ends', async () => {
    broker.refuse('list offsets', refusals.notLeader, 3)
    const ends = new LogEnds(async () => admin, { patienceMs: 10_000 })
    expect(await ends.of(topic, 1)).toEqual({ low: 0, high: 0 })
    broker.refuse('list offsets', refusals.notLeader, 3)
    expect(await ends.since(topic, 1, Date.now())).toBe(0)
  })

  it('is asked once by steps, which try again themselves', async () => {
    broker.refuse('list offsets', refusals.notLeader, 1)
    const error: unknown = await new LogEnds(async () => admin).of(topic, 0).catch((thrown: unknown) => thrown)
    expect(classify(error)).toBe('retryable')
    expect(oneLine(error)).toMatch(new RegExp(`^Asking where ${topic} ends: This server is not the leader`))
  })

  it('is given up with a line that says what for', async () => {
    broker.refuse('list offsets', refusals.notLeader, Infinity)
    const ends = new LogEnds(async () => admin, { patienceMs: 200 })
    const error: unknown = await ends.of(topic, 0).catch((thrown: unknown) => thrown)
    broker.refuse('list offsets', refusals.notLeader, 0)
    expect(oneLine(error)).toMatch(
      new RegExp(`^Asking where ${topic} ends: This server is not the leader.*: tried for`),
    )
  })

  it('that refuses metadata is an error that passes', async () => {
    // The client asks twice, and tries the first question again itself.
    broker.refuse('metadata', refusals.leaderNotAvailable, 1, 1)
    const error: unknown = await admin.listTopics().catch((thrown: unknown) => thrown)
    expect(classify(error)).toBe('retryable')
  })

  it('is read from once it is, and every message comes once', async () => {
    const producer = kafka.producer()
    await producer.connect()
    const values = ['a', 'b', 'c']
    await append(producer, { topic, messages: values.map((value) => ({ partition: 0, value })) })
    await producer.disconnect()
    broker.refuse('join group', refusals.loading, 2)
    const stretch = { topic, partition: 0, from: 0, to: 3 }
    const messages = await readStretch({ kafka, admin, names: createNames('') }, stretch)
    expect(messages.map(({ value }) => value?.toString())).toEqual(values)
  })
})
