/** From alert to receiver on a real database: nothing lost, nothing sent that was removed, what was sent taken back. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { startReceivers, type Received, type Receivers } from '../../../ops/local/receivers.ts'
import type { Alert } from '../../../schemas/types.ts'
import { alertOutbox } from '../../../sinks/alert-outbox.ts'
import { dispatchAlerts, openChannels } from '../../../sinks/alerts/dispatch.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { createContext } from '../../../workers/runtime/context.ts'
import { connectDatabase, type Database } from '../../../workers/runtime/database.ts'
import { migrate } from '../../../workers/runtime/migrate.ts'
import { createSinkWriter } from '../../../workers/runtime/sink-writer.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'
import { eventually, freshDatabase, type FreshDatabase } from '../../support/servers.ts'
import { alert } from '../records.ts'

const token = '123456:test-token'
const secret = `whsec_${Buffer.from('a secret of enough bytes').toString('base64')}`

let fresh: FreshDatabase
let database: Database
let receivers: Receivers
let dispatchers: { end(): Promise<void> }[] = []

beforeAll(async () => {
  process.env['TEST_HOOK_SECRET'] = secret
  process.env['TEST_BOT_TOKEN'] = token
  fresh = await freshDatabase()
  await migrate({ url: fresh.url }, 'ops/migrations')
  database = await connectDatabase({ url: fresh.url })
})
beforeEach(async () => {
  await database.query('TRUNCATE alert_outbox, alert_channels, sink_offsets, sink_positions')
  receivers = await startReceivers({ token, secret, chatSpacingMs: 900 })
})
afterEach(async () => {
  await Promise.all(dispatchers.map((dispatcher) => dispatcher.end()))
  dispatchers = []
  expect(receivers.complaints()).toEqual([])
  await receivers.stop()
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

/** Starts a dispatcher, as a replica of the sink does. */
function dispatch(webhookUrl = receivers.webhookUrl) {
  const watch = WatchSchema.parse({
    channels: {
      ops: { kind: 'webhook', url: webhookUrl, secretFrom: 'TEST_HOOK_SECRET' },
      desk: { kind: 'telegram', chatId: '42', tokenFrom: 'TEST_BOT_TOKEN', baseUrl: receivers.telegramUrl },
    },
  })
  const context = createContext(
    loadConfig({ DATABASE_URL: fresh.url, LOG_LEVEL: 'silent' }, { require: ['database'] }),
    watch,
    'test',
  )
  const ending = new AbortController()
  const running = dispatchAlerts({ name: 'alert-outbox', context, signal: ending.signal })
  const dispatcher = { context, end: () => (ending.abort(), running) }
  dispatchers.push(dispatcher)
  return dispatcher
}

/** Writes alerts as the sink's host does. */
async function fire(...alerts: Alert[]): Promise<void> {
  const writer = createSinkWriter(database)
  const slot = { step: alertOutbox.name, topic: alertOutbox.input.name, partition: 0 }
  const { nextOffset: expectedOffset } = await writer.open(slot)
  const batch = { slot, sink: alertOutbox, expectedOffset, nextOffset: (expectedOffset ?? 0) + alerts.length }
  const onRejected = (rejected: readonly { readonly error: unknown }[]): Promise<void> =>
    Promise.reject(rejected[0]?.error)
  await writer.write({ ...batch, appendTime: alert.ts, positions: [], records: alerts, onRejected })
}

const onOps = (id: string): Alert => ({ ...alert, id, channels: ['ops'] })
const onDesk = (id: string): Alert => ({ ...alert, id, channels: ['desk'] })
const got = (channel: Received['channel']) => receivers.received().filter((message) => message.channel === channel)
const statuses = async () => {
  const { rows } = await database.query('SELECT * FROM alert_outbox ORDER BY id')
  return rows.map(({ channel, removed, status }) =>
    [channel, removed === true ? 'retraction' : 'alert', status].join(' '),
  )
}
const eventuallySettled = (...expected: string[]): Promise<void> =>
  eventually(async () => expect(await statuses()).toEqual(expected))

test('an alert reaches every channel, and the outbox knows under which name', async () => {
  const { context } = dispatch()
  await fire(alert)
  await eventuallySettled('ops alert sent', 'desk alert sent')
  expect(got('webhook')).toMatchObject([{ id: 'alert:1:0:fired', alertId: 'alert:1', status: 'fired', repeat: false }])
  const [message] = got('telegram')
  expect(message?.text).toContain(alert.title)
  const { rows } = await database.query(`SELECT provider_id, attempts FROM alert_outbox WHERE channel = 'desk'`)
  expect(rows).toEqual([{ provider_id: message?.id, attempts: 1 }])
  const metric = await context.metrics.alertDeliveries.get()
  expect(metric.values.map(({ labels, value }) => [labels.channel, labels.outcome, value])).toEqual(
    expect.arrayContaining([
      ['ops', 'sent', 1],
      ['desk', 'sent', 1],
    ]),
  )
})

test('an alert that holds NUL is sent without it, and taken back', async () => {
  const odd: Alert = { ...onOps('n\0'), title: 'a\0b \\u0000', text: '\0', labels: { 'x\0': 'y\0' } }
  await fire(odd)
  dispatch()
  await eventuallySettled('ops alert sent')
  await fire({ ...odd, removed: true })
  await eventuallySettled('ops alert sent', 'ops retraction sent')
  const { rows } = await database.query('SELECT DISTINCT alert_id, payload FROM alert_outbox WHERE NOT removed')
  const clean = { id: 'n', title: 'ab \\u0000', text: '', labels: { x: 'y' } }
  expect(rows).toMatchObject([{ alert_id: 'n', payload: clean }])
})

test('an alert that is written again is not sent again', async () => {
  await fire(onOps('a'), onOps('a'))
  await fire(onOps('a'))
  dispatch()
  await eventuallySettled('ops alert sent')
  expect(got('webhook')).toHaveLength(1)
})

test('an alert removed before it was sent is never sent', async () => {
  await fire(onOps('a'), onOps('b'), { ...onOps('a'), removed: true })
  dispatch()
  await eventuallySettled('ops alert cancelled', 'ops alert sent')
  expect(got('webhook').map(({ alertId }) => alertId)).toEqual(['b'])
})

test('an alert removed after it was sent is taken back where it went, and may come again', async () => {
  dispatch()
  await fire(alert)
  await eventuallySettled('ops alert sent', 'desk alert sent')
  await fire({ ...alert, removed: true }, { ...alert, revision: 1, channels: ['ops'] })
  const settled = ['ops alert sent', 'desk alert sent', 'ops retraction sent', 'desk retraction sent', 'ops alert sent']
  await eventuallySettled(...settled)
  expect(got('webhook').map(({ id }) => id)).toEqual(['alert:1:0:fired', 'alert:1:0:retracted', 'alert:1:1:fired'])
  expect(got('telegram')[1]).toMatchObject({ status: 'retracted', replyTo: got('telegram')[0]?.id })
})

test('an alert removed while it is being sent is taken back after it', async () => {
  receivers.fail('webhook', { kind: 'slow', ms: 300 })
  dispatch()
  await fire(onOps('a'))
  await eventuallySettled('ops alert sending')
  await fire({ ...onOps('a'), removed: true })
  await eventuallySettled('ops alert sent', 'ops retraction sent')
  expect(got('webhook').map(({ status }) => status)).toEqual(['fired', 'retracted'])
})

test('an alert removed while an attempt fails is neither sent nor taken back', async () => {
  receivers.fail('webhook', { kind: 'rate-limit', retryAfterS: 1 })
  dispatch()
  await fire(onOps('a'))
  await eventuallySettled('ops alert failed')
  await fire({ ...onOps('a'), removed: true })
  await eventuallySettled('ops alert cancelled')
  expect(got('webhook')).toEqual([])
})

test('a receiver that is busy gets everything, in order, and nothing before the time it asked for', async () => {
  receivers.fail('webhook', { kind: 'rate-limit', retryAfterS: 1 })
  receivers.fail('telegram', { kind: 'rate-limit', retryAfterS: 2 })
  dispatch()
  await fire(onOps('a'), onDesk('b'), onOps('c'), onOps('d'), onDesk('e'))
  await eventuallySettled('ops alert sent', 'desk alert sent', 'ops alert sent', 'ops alert sent', 'desk alert sent')
  expect(got('webhook').map(({ alertId }) => alertId)).toEqual(['a', 'c', 'd'])
  expect(got('telegram')).toHaveLength(2)
})

test('after an attempt without an answer the webhook keeps its id, and Telegram says that it may be a repeat', async () => {
  receivers.fail('webhook', { kind: 'lost-answer' })
  receivers.fail('telegram', { kind: 'lost-answer' })
  dispatch()
  await fire(alert)
  await eventuallySettled('ops alert sent', 'desk alert sent')
  expect(got('webhook').map(({ id, repeat }) => [id, repeat])).toEqual([
    ['alert:1:0:fired', false],
    ['alert:1:0:fired', true],
  ])
  expect(got('telegram').map(({ text }) => text.includes('may be a repeat'))).toEqual([false, true])
})

test('a message that a dispatcher held when it died is sent by another, marked as a possible repeat', async () => {
  await fire(onDesk('a'))
  await database.query(
    `UPDATE alert_outbox SET status = 'sending', attempts = 1, claimed_by = 'the dead', claimed_until = now() - interval '1 second'`,
  )
  dispatch()
  await eventuallySettled('desk alert sent')
  expect(got('telegram')[0]?.text).toContain('may be a repeat')
})

test('several dispatchers send each message once', async () => {
  for (let replica = 0; replica < 3; replica++) dispatch()
  const ids = Array.from({ length: 40 }, (_, n) => `alert-${n}`)
  await fire(...ids.map(onOps))
  await eventuallySettled(...ids.map(() => 'ops alert sent'))
  const arrived = got('webhook').map(({ alertId }) => alertId)
  expect(arrived).toHaveLength(ids.length)
  expect(new Set(arrived)).toEqual(new Set(ids))
})

test('a receiver that is gone is left alone until its address changes, and no alert is lost', async () => {
  receivers.fail('webhook', { kind: 'status', status: 410 })
  const first = dispatch()
  await fire(onOps('a'), onOps('b'))
  await eventuallySettled('ops alert failed', 'ops alert pending')
  await first.end()
  dispatch()
  await fire(onOps('c'), onDesk('d'))
  await eventuallySettled('ops alert failed', 'ops alert pending', 'ops alert pending', 'desk alert sent')
  dispatch(receivers.webhookUrl.replace('127.0.0.1', 'localhost'))
  await eventually(() => expect(got('webhook').map(({ alertId }) => alertId)).toEqual(['a', 'b', 'c']))
})

test('a missing secret is named before anything is sent', () => {
  const { channels } = WatchSchema.parse({
    channels: { ops: { kind: 'webhook', url: 'https://hooks.example.com', secretFrom: 'NOT_SET' } },
  })
  expect(() => openChannels(channels, {}, () => 0)).toThrow(
    expect.objectContaining({ class: 'fatal', message: expect.stringMatching(/NOT_SET/) }),
  )
})
