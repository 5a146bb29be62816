/** Publishing what follows from tasks. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { DeadLetters } from '../../../workers/runtime/dead-letters.ts'
import { createNames } from '../../../workers/runtime/kafka/client.ts'
import { Publisher } from '../../../workers/runtime/publisher.ts'
import { measureMarketRisk } from '../../../workers/measure-market-risk.ts'
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
