/** What goes out when: messages that are in no hurry wait for others, but not for ever. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
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

describe('what the brokers refuse for good', () => {
  /** More than the brokers take. */
  const large = { key: 'a', value: randomBytes(17 * 1024 * 1024), headers: {} }

  it('fails those who produced it, and nothing of theirs is sent any more; others do not notice', async () => {
    const { accumulator, sends } = sending
    const failures: unknown[] = []
    const failing = accumulator.sender((error) => failures.push(error))
    const other = accumulator.sender((error) => failures.push(error))
    failing.append(topic, 0, message)
    other.append(topic, 1, message)
    failing.append(topic, 0, large)
    other.append(topic, 1, message)
    const refused = failing.flushed()
    await Promise.all([expect(refused).rejects.toMatchObject({ code: 'produce' }), other.flushed()])
    expect(failures).toMatchObject([{ code: 'produce', message: expect.stringContaining(`${topic}:0`) }])
    await expect(failing.flushed()).rejects.toMatchObject({ code: 'produce' })
    sends.length = 0
    failing.append(topic, 1, message)
    other.append(topic, 1, message)
    await other.flushed()
    expect(sends).toEqual([1])
    expect(accumulator.queuedBytes).toBe(0)
  })
})
