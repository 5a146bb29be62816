/** Publishing what follows from tasks. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { DeadLetters } from '../../../workers/runtime/dead-letters.ts'
import { createNames } from '../../../workers/runtime/kafka/client.ts'
import { Decoder, schemaText } from '../../../workers/runtime/codec.ts'
import { Publisher } from '../../../workers/runtime/publisher.ts'
import type { Fault } from '../../../workers/runtime/slot-task.ts'
import { measureMarketRisk } from '../../../workers/measure-market-risk.ts'
import { readTopic } from '../../chaos/log.ts'
import { eventually, freshPrefix } from '../../support/servers.ts'
import { openSending, type Sending } from './kafka/sending.ts'

const names = createNames(freshPrefix().replace(/-$/, ''))

let sending: Sending
beforeAll(async () => void (sending = await openSending(names.topic(topics.deadLetters))))
afterAll(() => sending.close())

it('sends the dead letters of several tasks together where nothing else follows from them', async () => {
  const { accumulator, context, sends } = sending
  const step = measureMarketRisk
  const ids = new Map([[topics.deadLetters.name, 1]])
  const deadLetters = new DeadLetters(context, names, step.name, ids)
  const publisher = new Publisher(step, { context, accumulator, deadLetters, outputs: [] }, topics.marketTrades, 0)
  for (const offset of [4, 5]) {
    const fault = { offset, reason: 'poison', code: 'undecodable', error: 'it is cut off' } as const
    const message = {
      key: null,
      value: Buffer.of(0),
      timestamp: '1',
      attributes: 0,
      offset: String(offset),
      headers: {},
    }
    publisher.publish(accumulator, { outputs: new ArrayBuffer(0), newest: 1, faults: [fault] }, [message])
    await sleep(1)
  }
  await eventually(() => expect(sends).toEqual([2]), { timeoutMs: 5_000 })
})

it('files inputs that were folded again under the message that had it done, each once', async () => {
  const { accumulator, context, kafka } = sending
  const ids = new Map([[topics.deadLetters.name, 1]])
  const deadLetters = new DeadLetters(context, names, 'folder', ids)
  const publisher = new Publisher(measureMarketRisk, { context, accumulator, deadLetters, outputs: [] }, topics.chainTransfers, 3) // prettier-ignore
  const about = { reason: 'poison', code: 'refold', error: 'folded again: too much' } as const
  const faults: Fault[] = ['a', 'b'].map((id, index) => ({ ...about, offset: 9, refold: { key: '1:0x7', id, index } }))
  const message = { key: Buffer.from('of the removal'), value: Buffer.of(0, 0, 0, 0, 2), timestamp: '1', attributes: 0, offset: '9', headers: {} } // prettier-ignore
  // The second time after a crash.
  for (let time = 0; time < 2; time++) publisher.bury(accumulator, faults, [message])
  await accumulator.flushed()
  const decoder = new Decoder(topics.deadLetters)
  decoder.learn(1, schemaText(topics.deadLetters.name))
  const admin = kafka.admin()
  await admin.connect()
  const letters: [accepted: boolean, id: string, key: string, value: boolean][] = []
  await readTopic({ kafka, admin, names }, topics.deadLetters, ({ accepted, message: { value } }) => {
    const letter = decoder.decode(value ?? Buffer.alloc(0))
    if (letter.step === 'folder')
      letters.push([accepted, letter.id, Buffer.from(letter.key ?? []).toString(), letter.value !== null])
  })
  await admin.disconnect()
  const [a, b] = ['a', 'b'].map((id) => `folder:chain.transfers.v1:3:9:refold:1:0x7:${id}`)
  expect(letters).toEqual([
    [true, a, '1:0x7', false],
    [true, b, '1:0x7', false],
    [false, a, '1:0x7', false],
    [false, b, '1:0x7', false],
  ])
})
