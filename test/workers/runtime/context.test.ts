import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { createContext, forStep } from '../../../workers/runtime/context.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'

const runtime = fileURLToPath(new URL('../../../workers/runtime', import.meta.url))

it('gives a step the same context with a logger of its own', () => {
  const context = createContext(
    loadConfig({ LOG_LEVEL: 'silent' }, { require: [] }),
    WatchSchema.parse({}),
    'crypto-intel',
  )
  const step = forStep(context, 'build-candles')
  expect(step.metrics).toBe(context.metrics)
  expect(step.log.bindings()).toEqual({ service: 'crypto-intel', step: 'build-candles' })
  expect(Number.isSafeInteger(context.now())).toBe(true)
  expect(context.shutdown.aborted).toBe(false)
})

it('logs one JSON line an event, with the cause of an error', () => {
  const script = `
    import { createLogger } from '${runtime}/logger.ts'
    import { RetryableError } from '${runtime}/errors.ts'
    const log = createLogger({ logLevel: 'info' }, 'sink').child({ step: 'timescale-trades' })
    log.debug('not shown')
    log.warn({ err: new RetryableError('unavailable', 'writing', { cause: new Error('reset') }) }, 'tried again')
  `
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' })
  const lines = output
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line))
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({ level: 'warn', service: 'sink', step: 'timescale-trades', msg: 'tried again' })
  expect(lines[0]).toMatchObject({ err: { code: 'unavailable', class: 'retryable', cause: { message: 'reset' } } })
})
