/** What fails alone is reported and tried again; the process ends only when nothing of it is left. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { createContext } from '../../../workers/runtime/context.ts'
import type { Context } from '../../../workers/runtime/definitions.ts'
import { FatalError } from '../../../workers/runtime/errors.ts'
import { startHealth, type Health } from '../../../workers/runtime/health.ts'
import { Units } from '../../../workers/runtime/units.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'

let context: Context
let health: Health
let ended: unknown[]
beforeEach(async () => {
  const config = loadConfig({ METRICS_HOST: '127.0.0.1', METRICS_PORT: '0', LOG_LEVEL: 'silent' }, { require: [] })
  context = createContext(config, WatchSchema.parse({}), 'test')
  health = await startHealth(context)
  health.register('step', () => ({ ready: true, live: true, detail: '' }))
  ended = []
})
afterEach(() => health.close())

const units = (alone = true): Units => new Units({ context, health, alone, fatal: (error) => ended.push(error) })
const readiness = async (): Promise<[number, string]> => {
  const answer = await fetch(`http://127.0.0.1:${health.port}/readyz`)
  return [answer.status, (await answer.text()).trim()]
}
const failed = async (): Promise<number | undefined> =>
  (await context.metrics.failedUnits.get()).values.find(({ labels }) => labels.step === 'sink')?.value

const error = new FatalError('database', 'no rights on trades', { hint: 'grant them' })

describe('a unit that fails', () => {
  it('rests twice as long each time, up to five minutes, and from the beginning once it has recovered', () => {
    const all = units()
    all.register({ step: 'sink', unit: 'trades:1' })
    const unit = all.register({ step: 'sink', unit: 'trades:0' })
    const pauses = Array.from({ length: 10 }, () => unit.fail(error))
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300].map((seconds) => seconds * 1_000))
    unit.recovered()
    expect(unit.fail(error)).toBe(1_000)
  })

  it('keeps the process from being ready until it recovers, and says why', async () => {
    const all = units()
    all.register({ step: 'sink', unit: 'trades:1' })
    const unit = all.register({ step: 'sink', unit: 'trades:0' })
    expect(await readiness()).toEqual([200, 'ok'])
    unit.fail(error)
    expect(await readiness()).toEqual([503, 'sink trades:0: no rights on trades: grant them'])
    expect(await failed()).toBe(1)
    unit.recovered()
    expect(await readiness()).toEqual([200, 'ok'])
    expect(await failed()).toBe(0)
    expect(ended).toEqual([])
  })

  it('ends the process where nothing else of it is left', () => {
    const all = units()
    all.register({ step: 'sink', unit: 'group', whole: true })
    const [one, other] = ['trades:0', 'trades:1'].map((unit) => all.register({ step: 'sink', unit }))
    const processor = all.register({ step: 'processor', unit: 'trades:0' })
    one?.fail(error)
    other?.fail(error)
    expect(ended).toEqual([])
    processor.fail(new FatalError('state', 'no state'))
    expect(ended).toMatchObject([{ code: 'failed', details: expect.arrayContaining(['processor trades:0: no state']) }])
  })

  it('counts for its whole step where the step can do nothing without it', () => {
    const all = units()
    const group = all.register({ step: 'sink', unit: 'group', whole: true })
    all.register({ step: 'sink', unit: 'trades:0' })
    group.fail(error)
    expect(ended).toHaveLength(1)
  })

  it('does not count any more once it is gone', () => {
    const all = units()
    const [one, other] = ['trades:0', 'trades:1'].map((unit) => all.register({ step: 'sink', unit }))
    one?.fail(error)
    one?.remove()
    expect(ended).toEqual([])
    other?.fail(error)
    expect(ended).toHaveLength(1)
  })

  it('ends a command at once', () => {
    const all = units(false)
    all.register({ step: 'sink', unit: 'trades:1' })
    all.register({ step: 'sink', unit: 'trades:0' }).fail(error)
    expect(ended).toEqual([error])
  })
})
