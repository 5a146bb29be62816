import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { RestClient, retryAfter, VenueRefusal, type RestOptions } from '../../../connectors/market/rest.ts'
import { RetryableError } from '../../../workers/runtime/errors.ts'

const closers: (() => void)[] = []
afterEach(() => closers.splice(0).forEach((close) => close()))

async function client(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  options: Partial<RestOptions> = {},
): Promise<RestClient> {
  const server = createServer(handle).listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return new RestClient({
    baseUrl: `http://127.0.0.1:${port}/`,
    weightPerMinute: 1_000,
    now: () => Date.now() * 1000,
    signal: new AbortController().signal,
    ...options,
  })
}

const answers = (...responses: { status: number; body?: string; headers?: Record<string, string> }[]) => {
  const seen: string[] = []
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const next = responses[Math.min(seen.push(request.url ?? ''), responses.length) - 1]
    response.writeHead(next?.status ?? 500, next?.headers).end(next?.body ?? '{}')
  }
  return { seen, handle }
}

describe('a REST client', () => {
  it('reads JSON', async () => {
    const { seen, handle } = answers({ status: 200, body: '[{"id":1}]' })
    const rest = await client(handle)
    expect(await rest.get('/api/v3/trades?symbol=BTCUSDT', 25)).toEqual([{ id: 1 }])
    expect(seen).toEqual(['/api/v3/trades?symbol=BTCUSDT'])
  })

  it('sends nothing before a Retry-After has passed, whoever asks', async () => {
    const arrivals: number[] = []
    let refused = false
    const rest = await client((_, response) => {
      arrivals.push(Date.now())
      if (refused) return void response.end('1')
      refused = true
      response.writeHead(429, { 'retry-after': '1' }).end('{"code":-1003}')
    })
    const error: unknown = await rest.get('/a', 1).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RetryableError)
    expect(error).toMatchObject({ code: 'rate-limited', retryAfterMs: 1_000 })
    await Promise.all([rest.get('/b', 1), rest.get('/c', 1)])
    expect((arrivals[1] ?? 0) - (arrivals[0] ?? 0)).toBeGreaterThanOrEqual(999)
  })

  it('waits for the next minute where its weight would exceed the limit', async () => {
    let time = 59_990_000
    const { seen, handle } = answers({ status: 200 })
    const rest = await client(handle, { weightPerMinute: 50, now: () => (time += 1_000) })
    await rest.get('/a', 25)
    await rest.get('/b', 25)
    const third = rest.get('/c', 25)
    expect(time).toBeLessThan(60_000_000)
    await third
    expect(time).toBeGreaterThanOrEqual(60_000_000)
    expect(seen).toEqual(['/a', '/b', '/c'])
  })

  it('believes the venue where others behind the address have used weight', async () => {
    let time = 59_990_000
    const { handle } = answers({ status: 200, headers: { 'x-used': '990' } })
    const rest = await client(handle, { usedWeightHeader: 'x-used', now: () => (time += 1_000) })
    await rest.get('/a', 25)
    await rest.get('/b', 25)
    expect(time).toBeGreaterThanOrEqual(60_000_000)
  })

  it.each([500, 503, 408])('calls %s a failure that passes', async (status) => {
    const rest = await client(answers({ status }).handle)
    await expect(rest.get('/a', 1)).rejects.toMatchObject({ class: 'retryable', code: 'unavailable' })
  })

  it.each([400, 401, 404, 451])('calls %s a refusal', async (status) => {
    const rest = await client(answers({ status, body: '{"code":-1121,"msg":"Invalid symbol."}' }).handle)
    const error: unknown = await rest.get('/a?symbol=X', 1).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(VenueRefusal)
    expect(error).toMatchObject({ status, message: expect.stringContaining('Invalid symbol.') })
  })

  it('calls silence, a broken connection and nonsense failures that pass', async () => {
    const silent = await client(() => undefined, { timeoutMs: 50 })
    await expect(silent.get('/a', 1)).rejects.toMatchObject({ class: 'retryable' })
    const broken = await client((request) => request.socket.destroy())
    await expect(broken.get('/a', 1)).rejects.toMatchObject({ class: 'retryable' })
    const nonsense = await client(answers({ status: 200, body: '<html>' }).handle)
    await expect(nonsense.get('/a', 1)).rejects.toMatchObject({ code: 'inconsistent-upstream' })
  })

  it('ends its waits when the work is called off', async () => {
    const off = new AbortController()
    const rest = await client(() => off.abort(), { signal: off.signal })
    await expect(rest.get('/a', 1)).rejects.toThrow()
    await expect(rest.get('/b', 1)).rejects.toThrow()
  })
})

describe('retryAfter', () => {
  it('reads seconds and dates', () => {
    expect(retryAfter('120', 0)).toBe(120_000)
    expect(retryAfter('Thu, 08 Aug 2024 00:00:10 GMT', Date.UTC(2024, 7, 8) * 1000)).toBe(10_000)
    expect(retryAfter('Thu, 08 Aug 2024 00:00:00 GMT', Date.UTC(2025, 1, 1) * 1000)).toBe(0)
    expect(retryAfter(null, 0)).toBeUndefined()
    expect(retryAfter('soon', 0)).toBeUndefined()
  })
})
