/** A connector whose run fails saves and sends nothing of that run any more, and is run again from what was saved before. */
import { beforeAll, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { withInstallation } from '../../../workers/cli/servers.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { defineConnector, type ConnectorSession } from '../../../workers/runtime/definitions.ts'
import { FatalError } from '../../../workers/runtime/errors.ts'
import type { Installation } from '../../../workers/runtime/installation.ts'
import { sequencePosition } from '../../../workers/runtime/position.ts'
import { runSteps } from '../../../workers/runtime/run.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'
import { eventually, freshPrefix, servers } from '../../support/servers.ts'
import { command, type Env } from '../cli/harness.ts'
import { noon, trade } from '../records.ts'

const feed = 'made-up:BTC-USDT'
const cursors: (string | undefined)[] = []
let fails = true
let left: ConnectorSession | undefined

/** Saves where it stands and fails; what it leaves behind goes on sending and saving. */
const connector = defineConnector({
  name: 'made-up',
  outputs: [topics.marketTrades],
  feeds: () => [feed],
  async run(session) {
    cursors.push(session.feeds[0]?.cursor)
    const number = cursors.length
    session.send(topics.marketTrades, trade(number, noon + number, 1), { origin: feed, position: sequencePosition(number) }) // prettier-ignore
    session.saveCursor(feed, String(number))
    if (fails) {
      left = session
      throw new FatalError('history', 'the venue has no such symbol any more')
    }
    await session.acknowledged()
    await new Promise<void>((resolve) => session.signal.addEventListener('abort', () => resolve(), { once: true }))
  },
})

let env: Env
beforeAll(async () => {
  const { brokers, registryUrl } = await servers()
  env = { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, NAMESPACE: freshPrefix().replace(/-$/, '') }
  await Promise.all([command(['topics', 'apply'], { env }), command(['schemas', 'register'], { env })])
})

const installed = <T>(work: (to: Installation) => Promise<T>): Promise<T> =>
  withInstallation({ ...loadConfig(env, { require: ['kafka', 'registry'] }), logLevel: 'silent' }, WatchSchema.parse({}), {}, work, 'alone') // prettier-ignore

it('begins again without the cursor of the run that failed', { timeout: 60_000 }, async () => {
  await installed(async (to) => {
    // Another step's unit, so that the process goes on.
    to.units.register({ step: 'another', unit: 'anything' })
    await runSteps([connector], to)
    await eventually(() => expect(cursors.length).toBeGreaterThan(1), { timeoutMs: 30_000 })
    left?.saveCursor(feed, 'too late')
    left?.send(topics.marketTrades, trade(99, noon, 1), { origin: feed, position: sequencePosition(99) })
    fails = false
    await eventually(async () => expect((await to.context.metrics.failedUnits.get()).values.some(({ value }) => value > 0)).toBe(false), { timeoutMs: 40_000 }) // prettier-ignore
  })
  expect(cursors.every((cursor) => cursor === undefined)).toBe(true)
  const lastRun = String(cursors.length)
  await installed(async (to) => {
    await runSteps([connector], to)
    await eventually(() => expect(cursors.at(-1)).toBe(lastRun), { timeoutMs: 30_000 })
  })
  const shown = await command('tail market.trades.v1 --from earliest --no-follow --json'.split(' '), { env })
  expect(shown.some((line) => line.includes('"tradeId":"99"'))).toBe(false)
})
