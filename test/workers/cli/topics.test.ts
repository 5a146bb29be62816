import kafkajs, { type Admin } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { eventually, freshPrefix, servers } from '../../support/servers.ts'
import { command, failure, type Env } from './harness.ts'

const namespace = `${freshPrefix()}topics`
const name = (topic: string): string => `${namespace}.${topic}`
const count = Object.keys(topics).length
let env: Env = {}
let admin: Admin

beforeAll(async () => {
  const { brokers, registryUrl } = await servers()
  env = { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, NAMESPACE: namespace }
  admin = new kafkajs.Kafka({ brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING }).admin()
  await admin.connect()
})
afterAll(() => admin?.disconnect())

const configOf = async (topic: string, ...names: string[]): Promise<Record<string, string>> => {
  const resource = { type: kafkajs.ConfigResourceTypes.TOPIC, name: name(topic), configNames: names }
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] })
  return Object.fromEntries(
    resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]) ?? [],
  )
}
const alter = (topic: string, entries: Record<string, string>) =>
  admin.alterConfigs({
    validateOnly: false,
    resources: [
      {
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name: name(topic),
        configEntries: Object.entries(entries).map(([key, value]) => ({ name: key, value })),
      },
    ],
  })

describe('topics', () => {
  it('are all missed at once before they are there', async () => {
    const said = await failure(['offsets', 'show', 'evaluate-alerts'], {
      env: { ...env, REDIS_URL: 'redis://127.0.0.1:1' },
    })
    expect(said).toBe(
      `Looking for the topics: 4 faults\n${['patterns.matches', 'risk.markets', 'risk.wallets', 'signals.trades']
        .map((topic) => `  ${name(topic)}.v1 is missing\n`)
        .join('')}run: npm start -- topics apply`,
    )
    const list = await command(['topics', 'list'], { env })
    expect(list.filter((line) => line.endsWith('missing'))).toHaveLength(count)
  })

  it('are only named in a dry run', async () => {
    const lines = await command(['topics', 'apply', '--dry-run'], { env })
    expect(lines).toHaveLength(count + 1)
    expect(lines.at(-1)).toBe(`${count} topics: ${count} created, 0 changed, 0 as they should be, were this no dry run`)
    expect((await admin.listTopics()).filter((topic) => topic.startsWith(namespace))).toEqual([])
  })

  it('are created with their partitions and settings', async () => {
    const lines = await command(['topics', 'apply'], { env })
    expect(lines).toContain(`create ${name('market.trades.v1')}, partitions: 4`)
    const settings = [
      'cleanup.policy',
      'retention.ms',
      'message.timestamp.type',
      'max.message.bytes',
      'compression.type',
    ]
    expect(await configOf('chain.blocks.v1', ...settings)).toEqual({
      'cleanup.policy': 'delete',
      'retention.ms': String(7 * 86_400_000),
      'message.timestamp.type': 'LogAppendTime',
      'max.message.bytes': String(16 * 1024 * 1024),
      'compression.type': 'producer',
    })
    expect(await configOf('feeds.cursors.v1', 'cleanup.policy')).toEqual({ 'cleanup.policy': 'compact' })
  })

  it('are left alone where they are as they should be', async () => {
    expect(await command(['topics', 'apply'], { env })).toEqual([
      `${count} topics: 0 created, 0 changed, ${count} as they should be`,
    ])
  })

  it('get their settings back, and keep those that are not ours', async () => {
    await alter('market.trades.v1', { 'retention.ms': '1000', 'segment.ms': '3600000', 'cleanup.policy': 'delete' })
    await eventually(async () =>
      expect(await configOf('market.trades.v1', 'retention.ms')).toEqual({ 'retention.ms': '1000' }),
    )
    const lines = await command(['topics', 'apply'], { env })
    expect(lines).toEqual([
      `change ${name('market.trades.v1')}, retention.ms: 1000 → 604800000`,
      `${count} topics: 0 created, 1 changed, ${count - 1} as they should be`,
    ])
    await eventually(async () =>
      expect(await configOf('market.trades.v1', 'retention.ms', 'segment.ms', 'message.timestamp.type')).toEqual({
        'retention.ms': '604800000',
        'segment.ms': '3600000',
        'message.timestamp.type': 'LogAppendTime',
      }),
    )
  })

  it('keep their partition count: another one is refused', async () => {
    await admin.createPartitions({ topicPartitions: [{ topic: name('dlq.v1'), count: 3 }] })
    const fault = `${name('dlq.v1')} has 3 partitions, expected 1: a partition count is fixed at creation`
    await eventually(async () => expect(await failure(['topics', 'apply'], { env })).toContain(fault))
    expect(await failure(['dlq', 'list'], { env })).toContain(fault)
  })
})

describe('schemas register', () => {
  it('gives every subject its id, the same each time', async () => {
    const ids = async () => JSON.parse((await command(['schemas', 'register', '--json'], { env })).join(''))
    const first: unknown = await ids()
    expect(Object.keys(first ?? {})).toHaveLength(count)
    expect(await ids()).toEqual(first)
  })

  it('names the schema that breaks compatibility', async () => {
    const other = { ...env, NAMESPACE: `${namespace}-b` }
    const subject = `${other.NAMESPACE}.market.quotes.v1-value`
    const schema = JSON.stringify({
      type: 'record',
      name: 'MarketQuote',
      namespace: 'cryptointel',
      fields: [{ name: 'was', type: 'string' }],
    })
    const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' }
    const url = `${env['SCHEMA_REGISTRY_URL']}`
    await fetch(`${url}/subjects/${subject}/versions`, { method: 'POST', headers, body: JSON.stringify({ schema }) })
    await fetch(`${url}/config/${subject}`, {
      method: 'PUT',
      headers,
      body: JSON.stringify({ compatibility: 'FULL_TRANSITIVE' }),
    })
    expect(await failure(['schemas', 'register'], { env: other })).toMatch(
      /Registering schemas\/market.quotes.v1.avsc .* breaks compatibility with an earlier version.*give a new field a default/,
    )
  })
})
