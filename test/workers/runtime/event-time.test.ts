import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import type { Topic } from '../../../workers/runtime/definitions.ts'
import { aheadOf, appendTimeOf, latestTime } from '../../../workers/runtime/event-time.ts'
import { noon, second } from '../records.ts'

const judged: readonly Topic[] = [topics.marketTrades, topics.marketQuotes, topics.feedsStatus]
const timestamp = String(noon / 1_000)

describe('the append time of a message', () => {
  it("is the log's", () => {
    expect(appendTimeOf({ timestamp })).toBe(noon)
    expect(appendTimeOf({ timestamp, headers: {} })).toBe(noon)
  })

  it('is that of its header where a copy names one before', () => {
    const appended = (value: string | Buffer | (string | Buffer)[]) => appendTimeOf({ timestamp, headers: { appended: value } }) // prettier-ignore
    expect(appended(Buffer.from('1723118399999'))).toBe(noon - 1_000)
    expect(appended([Buffer.from('1723118399999'), 'x'])).toBe(noon - 1_000)
    for (const other of ['1723118400001', '', 'x', '-1', '1e3', ' 1', '1.5', '99999999999999999999', 'NaN'])
      expect(appended(other)).toBe(noon)
  })
})

describe('a record', () => {
  it.each(judged.map((topic) => [topic.name, topic] as const))('of %s is ahead beyond a minute', (_, topic) => {
    const { maxAhead = NaN } = topic
    expect(maxAhead).toBe(60 * second)
    expect(aheadOf(topic, { ts: noon + maxAhead }, noon)).toBeUndefined()
    expect(aheadOf(topic, { ts: noon + maxAhead + 1 }, noon)).toBe(
      `its time ${noon + maxAhead + 1} is 61 s after its append time, more than 60 s`,
    )
    expect(aheadOf(topic, { ts: Number.MAX_SAFE_INTEGER, removed: true }, noon)).toBeUndefined()
    expect(aheadOf(topic, {}, noon)).toBeUndefined()
    expect(latestTime(topic, noon)).toBe(noon)
  })

  it('of another topic is not judged: blocks have their own times, and derived records those of their inputs', () => {
    for (const topic of Object.values<Topic>(topics)) {
      if (judged.includes(topic)) continue
      expect(aheadOf(topic, { ts: Number.MAX_SAFE_INTEGER }, noon)).toBeUndefined()
      expect(latestTime(topic, noon)).toBe(Infinity)
    }
  })

  it('is never ahead in the past, and always where it is ahead of all that is allowed', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.integer({ min: 0, max: 2 ** 52 }), (ts, appended) => {
        const ahead = aheadOf(topics.marketTrades, { ts }, appended)
        expect(ahead !== undefined).toBe(ts - appended > 60 * second)
      }),
    )
  })
})
