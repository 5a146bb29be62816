/** Whatever is sent to the port of /metrics gets an answer or a closed connection, and the server goes on. */
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Gauge } from 'prom-client'
import { afterEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { startHealth, type Health, type HealthLimits } from '../../../workers/runtime/health.ts'
import { createMetrics, type Metrics } from '../../../workers/runtime/metrics.ts'
import { RawClient, statusesOf, type Reply } from './raw-request.ts'

const open: Health[] = []
const clients: RawClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await Promise.all(open.splice(0).map((health) => health.close()))
})

/** Times that a test can wait for. */
const short: Partial<HealthLimits> = { headersMs: 300, requestMs: 600 }

async function start(limits: Partial<HealthLimits> = {}, metrics: Metrics = createMetrics()): Promise<Health> {
  const config = loadConfig({ METRICS_PORT: '0' }, { require: [] })
  const health = await startHealth({ config, metrics }, limits)
  open.push(health)
  return health
}

async function connect({ port }: Health): Promise<RawClient> {
  const client = await RawClient.open(port)
  clients.push(client)
  return client
}

/** Sends bytes, and waits for an answer or the end of the connection. */
async function send(health: Health, bytes: string | Uint8Array): Promise<Reply> {
  const client = await connect(health)
  client.write(bytes)
  return client.until(({ text, closed }) => closed || statusesOf(text).some((status) => status >= 200))
}

/** An answer of a request that anybody may send. */
async function lives(health: Health): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${health.port}/livez`)
  expect([response.status, await response.text()]).toEqual([200, 'ok\n'])
}

const get = (target: string, ...headers: string[]): string =>
  [`GET ${target} HTTP/1.1`, 'Host: x', ...headers, '', ''].join('\r\n')

describe('a request whose target', () => {
  it.each([
    ['is two slashes', '//', 404],
    ['is two slashes and a host', '//metrics', 404],
    ['is three slashes', '///', 404],
    ['has a query', '/livez?a=//&b=%', 200],
    ['is absolute', 'http://worker:9464/livez', 200],
    ['is absolute without a path', 'http://worker:9464', 404],
    ['is absolute of another scheme', 'ftp://[::1:/livez', 200],
    ['is absolute without a host', 'http:///livez', 400],
    ['is a host and a port', 'worker:9464', 400],
    ['is a star', '*', 400],
    ['is no URL', '/\\\\[%zz%00', 404],
    ['is long', `/${'a'.repeat(4_000)}`, 404],
  ])('%s is answered with a status', async (_what, target, status) => {
    const health = await start()
    expect(statusesOf((await send(health, get(target))).text)).toEqual([status])
    await lives(health)
  })
})

describe('a request that', () => {
  const chunked = 'Transfer-Encoding: chunked'
  it.each([
    ['is none', '\r\n\r\n\r\n', [408]],
    ['is the beginning of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', [400]],
    ['is of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400]],
    ['is of HTTP/0.9', 'GET /livez\r\n', [408]],
    ['is of HTTP/1.0', 'GET /livez HTTP/1.0\r\n\r\n', [200]],
    ['has no host', 'GET /livez HTTP/1.1\r\n\r\n', [400]],
    ['has two hosts', get('/livez', 'Host: y'), [200]],
    ['has a target of NUL', get('/\0'), [400]],
    ['has a method that nobody knows', get('/livez').replace('GET', 'XYZZY'), [400]],
    ['wants to change something', get('/livez').replace('GET', 'DELETE'), [405]],
    ['asks what it may', get('*').replace('GET', 'OPTIONS'), [405]],
    ['wants a tunnel', 'CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n', []],
    ['wants a web socket', get('/livez', 'Connection: Upgrade', 'Upgrade: websocket'), [200]],
    ['wants to know whether to go on', get('/livez', 'Expect: 100-continue', 'Content-Length: 9'), [100, 200]],
    ['expects what nobody does', get('/livez', 'Expect: gold', 'Content-Length: 9'), [417]],
    ['has a large header', get('/livez', `A: ${'a'.repeat(100_000)}`), [431]],
    ['has many headers', get('/livez', ...Array.from({ length: 9_000 }, (_, at) => `A${at}: b`)), [431]],
    ['has a header without a name', get('/livez', ': b'), [400]],
    ['has a negative length', get('/livez', 'Content-Length: -1'), [400]],
    ['has two lengths', get('/livez', 'Content-Length: 1', 'Content-Length: 2'), [400]],
    ['has a length and chunks', get('/livez', chunked, 'Content-Length: 1'), [400]],
    ['has a chunk of no length', `${get('/livez', chunked)}zz\r\n`, [200, 400]],
  ])('%s is answered or cut off', async (_what, bytes, statuses: readonly number[]) => {
    const health = await start(short)
    const reply = await send(health, bytes)
    const found = statusesOf(reply.text)
    if (statuses.length === 0) expect({ found, closed: reply.closed }).toEqual({ found: [], closed: true })
    else expect(statuses).toEqual(expect.arrayContaining(found))
    expect(reply.closed || found.length > 0).toBe(true)
    await lives(health)
  })

  it('has a body that never ends is answered, and not read', async () => {
    const health = await start(short)
    for (const header of ['Content-Length: 99999999999', chunked]) {
      const client = await connect(health)
      client.write(get('/livez', header))
      const part = Buffer.from(header === chunked ? `4000\r\n${'a'.repeat(0x4000)}\r\n` : 'a'.repeat(0x4000))
      const pouring = setInterval(() => client.write(part), 1)
      const { closed } = await client.until((reply) => reply.closed)
      clearInterval(pouring)
      expect(closed).toBe(true)
    }
    await lives(health)
  })

  it('comes byte by byte is cut off', async () => {
    const health = await start(short)
    const client = await connect(health)
    const bytes = get('/livez', `A: ${'a'.repeat(4_000)}`)
    let at = 0
    const dripping = setInterval(() => client.write(bytes.charAt(at++)), 20)
    const { closed, text } = await client.until((reply) => reply.closed)
    clearInterval(dripping)
    expect({ closed, statuses: statusesOf(text) }).toEqual({ closed: true, statuses: [408] })
    await lives(health)
  })

  it('never comes is not waited for', async () => {
    const health = await start(short)
    const client = await connect(health)
    expect(await client.until(({ closed }) => closed)).toMatchObject({ closed: true })
    await lives(health)
  })
})

describe('clients that', () => {
  it('send several requests at once get their answers in order', async () => {
    const client = await connect(await start())
    client.write(get('/livez') + get('/metrics') + get('/nothing') + get('/readyz'))
    const { text } = await client.until((reply) => statusesOf(reply.text).length === 4)
    expect(statusesOf(text)).toEqual([200, 200, 404, 503])
  })

  it('send thousands of requests at once are cut off', async () => {
    const health = await start()
    const client = await connect(health)
    client.write(get('/metrics').repeat(10_000))
    expect(await client.until(({ closed }) => closed)).toMatchObject({ closed: true })
    await lives(health)
  })

  it('keep hundreds of connections open leave room for others', async () => {
    const health = await start({ connections: 16 })
    const idle: RawClient[] = []
    for (let count = 0; count < 200; count++) idle.push(await connect(health))
    await lives(health)
    for (const client of idle) client.write(get('/livez', 'Connection: close'))
    await Promise.all(idle.map((client) => client.until(({ closed }) => closed)))
    const answered = idle.filter(({ reply }) => reply.text !== '')
    expect(answered.length).toBeGreaterThan(0)
    expect(answered.length).toBeLessThanOrEqual(16)
  })

  it('do not take their answers are cut off', async () => {
    const metrics = createMetrics()
    const large = new Gauge({ name: 'large', help: 'large', labelNames: ['text'], registers: [metrics.registry] })
    const bytes = 64 * 1024 ** 2
    large.set({ text: 'a'.repeat(bytes) }, 1)
    const idleMs = 200
    const client = await connect(await start({ idleMs }, metrics))
    client.write(get('/metrics'))
    await client.until(({ text }) => text !== '')
    client.pause()
    // The server's timer runs in this process: it is due before this one.
    await sleep(4 * idleMs)
    client.resume()
    const { text, closed } = await client.until((reply) => reply.closed)
    expect(closed).toBe(true)
    expect(text.length).toBeLessThan(bytes)
  })

  it('go in the midst of a request or an answer do no harm', async () => {
    const health = await start()
    for (const bytes of ['', 'GET /met', get('/metrics'), get('/metrics').repeat(4)]) {
      const [ending, closing] = [await connect(health), await connect(health)]
      for (const client of [ending, closing]) client.write(bytes)
      ending.end()
      closing.close()
      expect(await ending.until(({ closed }) => closed)).toMatchObject({ closed: true })
    }
    await lives(health)
  })
})

describe('metrics that', () => {
  const withCollector = (collect: () => void | Promise<void>): Metrics => {
    const metrics = createMetrics()
    metrics.registry.registerMetric(new Gauge({ name: 'odd', help: 'odd', registers: [], collect }))
    return metrics
  }

  it('cannot be made are told, and only they', async () => {
    const health = await start(
      {},
      withCollector(() => {
        throw new Error('no numbers')
      }),
    )
    const { text } = await send(health, get('/metrics'))
    expect(statusesOf(text)).toEqual([500])
    expect(text).toContain('no numbers')
    await lives(health)
  })

  it('are never there are not waited for, and asked for anew', async () => {
    let asked = 0
    const metrics = withCollector(() => (++asked === 1 ? new Promise<void>(() => {}) : undefined))
    const health = await start({ metricsMs: 100 }, metrics)
    const { text } = await send(health, get('/metrics'))
    expect(statusesOf(text)).toEqual([500])
    expect(text).toContain('not there after 100 ms')
    expect(statusesOf((await send(health, get('/metrics'))).text)).toEqual([200])
  })

  it('are asked for without their text have none', async () => {
    const { text } = await send(await start(), get('/metrics').replace('GET', 'HEAD'))
    expect(statusesOf(text)).toEqual([200])
    expect(text).toMatch(/content-length: [1-9]\d+\r\n[^]*\r\n\r\n$/)
  })
})

describe('any bytes', () => {
  /** Requests that are almost right. */
  const parts = fc.constantFrom('GET', 'HEAD', 'POST', 'CONNECT', 'OPTIONS', ' ', '/', '//', '*', 'http://', '/metrics', '/livez', '?', '#', '%', ' HTTP/1.1', ' HTTP/1.0', ' HTTP/9.9', '\r\n', '\n', '\r', 'Host: x', 'Content-Length: 3', 'Content-Length: 99999999999999999999', 'Transfer-Encoding: chunked', 'Connection: upgrade', 'Upgrade: h2c', 'Expect: 100-continue', ':', '0\r\n\r\n', 'ffffffffffffffff\r\n', '\0', '\x7f', 'é') // prettier-ignore
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.array(fc.oneof({ weight: 4, arbitrary: parts }, { weight: 1, arbitrary: fc.string() }), { maxLength: 30 }).map((all) => Buffer.from(all.join(''), 'latin1')), // prettier-ignore
    fc.tuple(fc.nat(80), fc.uint8Array({ maxLength: 4 })).map(([at, odd]) => Buffer.concat([Buffer.from(get('/metrics', 'A: b').slice(0, at)), odd, Buffer.from(get('/metrics', 'A: b').slice(at))])), // prettier-ignore
  )

  it('get an answer or a closed connection', { timeout: 120_000 }, async () => {
    const health = await start({ headersMs: 50, requestMs: 100 })
    await fc.assert(
      fc.asyncProperty(bytes, fc.boolean(), async (some, ends) => {
        const client = await connect(health)
        client.write(some)
        if (ends) client.end()
        const reply = await client.until(({ text, closed }) => closed || statusesOf(text).length > 0)
        client.close()
        expect(reply.closed || statusesOf(reply.text).length > 0).toBe(true)
      }),
      { numRuns: 300 },
    )
    await lives(health)
  })
})
