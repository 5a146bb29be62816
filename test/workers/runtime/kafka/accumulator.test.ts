/** What goes out when: messages that are in no hurry wait for others, but not for ever. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { eventually, freshPrefix } from '../../../support/servers.ts'
import { openSending, type Sending } from './sending.ts'

const topic = `${freshPrefix()}accumulator`
const message = { key: 'a', value: Buffer.from('b'), headers: {} }

let sending: Sending
beforeAll(async () => void (sending = await openSending(topic)))
beforeEach(() => void (sending.sends.length = 0))
afterAll(() => sending.close())

it('sends what is in no hurry together, after a while', async () => {
  const { accumulator, sends } = sending
  accumulator.appendPatiently(topic, 0, message)
  await sleep(1)
  accumulator.appendPatiently(topic, 0, message)
  await eventually(() => expect(sends).toEqual([2]), { timeoutMs: 5_000 })
})

it('takes along with it what would wait longer', async () => {
  const { accumulator, sends } = sending
  accumulator.append(topic, 1, message)
  accumulator.appendPatiently(topic, 0, message)
  await eventually(() => expect(sends).toEqual([1, 1]), { timeoutMs: 5_000 })
})

it('sends all where somebody waits for it', async () => {
  const { accumulator, sends } = sending
  accumulator.append(topic, 1, message)
  await accumulator.flushed()
  expect(sends).toEqual([1])
})
