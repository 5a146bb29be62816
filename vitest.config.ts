/** One run of all tests: unit tests first come, first served; the servers start when the first test asks for them. */
import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/global-setup.ts',
    pool: 'forks',
    // Most of their time the tests wait for servers: on two cores one file at a time would take nearly twice as long.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // kafkajs sets timers in the past, and Node 24 warns of each first one.
    execArgv: ['--disable-warning=TimeoutNegativeWarning'],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    // The stack stops in it, and writes class archives when it has run for the first time.
    teardownTimeout: 60_000,
    reporters: ['default', './test/support/closing-line-reporter.ts'],
  },
})
