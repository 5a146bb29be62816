import { afterEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { FatalError, oneLine } from '../../../workers/runtime/errors.ts'
import { startHealth, type Health } from '../../../workers/runtime/health.ts'
import { createMetrics } from '../../../workers/runtime/metrics.ts'

const open: Health[] = []
afterEach(() => Promise.all(open.splice(0).map((health) => health.close())))

async function start(port = 0): Promise<Health> {
  const config = loadConfig({ METRICS_PORT: String(port), METRICS_HOST: '127.0.0.1' }, { require: [] })
  const health = await startHealth({ config, metrics: createMetrics() })
  open.push(health)
  return health
}

async function get(health: Health, path: string): Promise<[number, string]> {
  const response = await fetch(`http://127.0.0.1:${health.port}${path}`)
  return [response.status, (await response.text()).trim()]
}

describe('health', () => {
  it('serves the metrics in the Prometheus format', async () => {
    const response = await fetch(`http://127.0.0.1:${(await start()).port}/metrics`)
    expect(response.headers.get('content-type')).toContain('version=0.0.4')
    expect(await response.text()).toContain('# TYPE crypto_intel_latency_seconds histogram')
  })

  it('is alive but not ready before anything runs', async () => {
    const health = await start()
    expect(await get(health, '/livez')).toEqual([200, 'ok'])
    expect((await get(health, '/readyz'))[0]).toBe(503)
  })

  it('names what is not ready and what is not alive', async () => {
    const health = await start()
    health.register('binance-spot', () => ({ ready: true, live: true, detail: '' }))
    const remove = health.register('build-candles', () => ({ ready: false, live: true, detail: 'no partition yet' }))
    expect(await get(health, '/readyz')).toEqual([503, 'build-candles: no partition yet'])
    expect(await get(health, '/livez')).toEqual([200, 'ok'])
    remove()
    expect(await get(health, '/readyz')).toEqual([200, 'ok'])
    health.register('decode-block', () => {
      throw new Error('broken check')
    })
    expect(await get(health, '/livez')).toEqual([503, 'decode-block: broken check'])
  })

  it('answers anything else with 404', async () => {
    expect((await get(await start(), '/'))[0]).toBe(404)
  })

  it('says clearly that its port is taken', async () => {
    const { port } = await start()
    const error: unknown = await start(port).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(FatalError)
    expect(oneLine(error)).toMatch(new RegExp(`METRICS_PORT 127.0.0.1:${port}: .*EADDRINUSE.*: set METRICS_PORT to`))
  })

  it('gives its port back when closed', async () => {
    const first = await start()
    await first.close()
    open.length = 0
    expect((await start(first.port)).port).toBe(first.port)
  })
})
