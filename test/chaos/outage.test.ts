/** Each server away for longer than every time-out, which are scaled down; `npm run outage` has the real two minutes. */
import { expect, it } from 'vitest'
import { runOutages } from './outage.ts'

it('keeps its bounds and loses nothing while each server is away', { timeout: 240_000 }, async () => {
  const report = await runOutages({
    absences: [
      { server: 'kafka', how: 'cut', seconds: 6 },
      { server: 'postgres', how: 'cut', seconds: 4 },
      { server: 'redis', how: 'cut', seconds: 4 },
      { server: 'registry', how: 'cut', seconds: 1 },
    ],
    tradesPerSecond: 500,
    queueBytes: 1024 ** 2,
    producerQueueBytes: 512 * 1024,
    env: { SESSION_TIMEOUT_MS: '3000', STALL_MS: '2000' },
    patienceMs: 60_000,
    onProgress: () => {},
  })
  expect(report.faults).toEqual([])
  expect(report.outages).toHaveLength(4)
})
