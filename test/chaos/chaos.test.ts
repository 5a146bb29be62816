/** A short seeded run on servers of its own; `npm run chaos` runs longer ones. */
import { expect, it } from 'vitest'
import { runChaos } from './chaos.ts'

it('loses nothing and counts nothing twice while workers and servers fail', { timeout: 480_000 }, async () => {
  const report = await runChaos({
    seed: 5,
    minutes: 0.5,
    tradesPerSecond: 200,
    pauseMs: [0, 1_500],
    // What takes long is left to longer runs; zombies.test.ts freezes workers.
    only: ({ fault, on }) =>
      fault === 'kill' ||
      fault === 'cut' ||
      fault === 'throw' ||
      fault === 'hide' ||
      on === 'redis' ||
      on === 'postgres',
    delivered: false,
    dirty: { pauseMs: [20, 200], oneIn: 150, bugMs: 8_000 },
    onProgress: () => {},
  })
  expect(report.differences).toEqual([])
  expect(report.injections.length).toBeGreaterThan(5)
  expect(report.reorganisations).toBeGreaterThan(2)
  expect(report.compared).toBeGreaterThan(1_000)
  expect(Object.keys(report.foreign).length).toBeGreaterThan(5)
  expect(report.redriven).toBeGreaterThan(10)
})
