/** What a connector sends becomes messages: the same by a lane as one by one, each with a trace of its own. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { GrowingNumber } from '../../../workers/runtime/growing-number.ts'
import { createNames } from '../../../workers/runtime/kafka/client.ts'
import { encodeRecord } from '../../../workers/runtime/kafka/record-format.ts'
import {
  sequencePosition,
  sequencePositions,
  sessionPosition,
  sessionPositions,
} from '../../../workers/runtime/position.ts'
import { RecordSender, type Append } from '../../../workers/runtime/record-sender.ts'
import { newTraceparent } from '../../../workers/runtime/trace.ts'
import { trade } from '../../../ops/bench/records.ts'

describe('a lane', () => {
  it('sends what `send` sends', () => {
    const sent: Parameters<Append>[] = []
    const sender = new RecordSender({
      step: 'test',
      topics: [topics.marketTrades],
      names: createNames('other'),
      schemaIds: new Map([[topics.marketTrades.name, 3]]),
      append: (...parameters) => sent.push(parameters),
    })
    const record = trade(5)
    const key = topics.marketTrades.key(record)
    const stamp = { origin: `${key}:trades`, position: sequencePosition(5) }
    sender.send(topics.marketTrades, record, stamp)
    sender.lane(topics.marketTrades, key, stamp.origin).send(record, stamp.position)
    const [one, other] = sent.map(([topic, partition, { key: keyOf, value, headers, time }, compressed]) => {
      const bytes = encodeRecord({ key: keyOf, value, headers: { ...headers, traceparent: 'same' } }).buffer.toString('hex') // prettier-ignore
      return { topic, partition, bytes, names: Object.keys(headers), time, compressed }
    })
    expect(other).toEqual(one)
    expect(one).toMatchObject({ topic: 'other.market.trades.v1', names: ['origin', 'position', 'traceparent'] })
    expect(() => sender.lane(topics.marketQuotes, key, key)).toThrow('none of its outputs')
  })
})

describe('traceparents', () => {
  it('are valid and differ in both of their ids', () => {
    const made = Array.from({ length: 3_000 }, newTraceparent)
    for (const one of made) expect(one).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/)
    expect(new Set(made.map((one) => one.slice(3, 35))).size).toBe(made.length)
    expect(new Set(made.map((one) => one.slice(36, 52))).size).toBe(made.length)
  })
})

describe('a growing number', () => {
  it('has the text of any number, whichever came before', () => {
    const numbers = fc.array(fc.oneof(fc.nat(3_000), fc.maxSafeNat()), { minLength: 1 })
    fc.assert(
      fc.property(numbers, (list) => {
        const [ids, sequence, session] = [new GrowingNumber('id:'), sequencePositions(), sessionPositions(77)]
        for (const number of list.flatMap((first) => [first, Math.min(first + 1, Number.MAX_SAFE_INTEGER)])) {
          expect(ids.text(number)).toBe(`id:${number}`)
          expect(ids.whole(number)).toBe(`id:${number}`)
          expect(sequence.text(number)).toBe(sequencePosition(number))
          expect(session.text(number)).toBe(sessionPosition(77, number))
        }
      }),
    )
  })
})
