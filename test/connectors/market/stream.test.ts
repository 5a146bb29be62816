import { once } from 'node:events'
import { createServer } from 'node:http'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { MarketStream } from '../../../connectors/market/stream.ts'
import { usualTiming, type MarketTiming } from '../../../connectors/market/venue.ts'
import { SlidingLimit } from '../../../connectors/market/waiting.ts'
import { eventually } from './collecting-session.ts'

const closers: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Refusal {
  readonly status: string
  readonly headers: string
}

/** A websocket server that tests drive, which refuses the first handshakes. */
async function server(refusals: Refusal[] = []) {
  const http = createServer().listen(0, '127.0.0.1')
  const sockets = new WebSocketServer({ noServer: true })
  const clients: WebSocket[] = []
  const messages: string[] = []
  const attempts: number[] = []
  http.on('upgrade', (request, socket, head) => {
    attempts.push(performance.now())
    // A client that is refused may reset the connection.
    socket.on('error', () => undefined)
    const refusal = refusals.shift()
    if (refusal) return void socket.end(`HTTP/1.1 ${refusal.status}\r\n${refusal.headers}\r\nContent-Length: 0\r\n\r\n`)
    sockets.handleUpgrade(request, socket, head, (client) => {
      clients.push(client)
      client.on('message', (data) => messages.push((Buffer.isBuffer(data) ? data : Buffer.alloc(0)).toString()))
    })
  })
  await once(http, 'listening')
  closers.push(() => {
    clients.forEach((client) => client.terminate())
    http.close()
    http.closeAllConnections()
  })
  const address = http.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return { url: `ws://127.0.0.1:${port}/stream`, clients, messages, attempts }
}

function run(url: string, timing: Partial<MarketTiming> = {}, messages: string[] = []) {
  const events: string[] = []
  const off = new AbortController()
  const now = () => performance.now() * 1000
  const stream = new MarketStream({
    connection: { url, messages },
    life: 'data',
    timing: { ...usualTiming, backoff: { baseMs: 10, capMs: 40 }, overlapMs: 50, ...timing },
    messageSpacingMs: 20,
    connects: new SlidingLimit(300, 300_000, now),
    now,
    log: pino({ level: 'silent' }),
    signal: off.signal,
    on: {
      connected: (how) => events.push(`connected ${how}`),
      frame: (bytes) => events.push(bytes.toString()),
      lost: (reason) => events.push(`lost: ${reason}`),
    },
  })
  const done = stream.run()
  const stop = async () => {
    off.abort()
    await done
  }
  closers.push(stop)
  return { stream, events, stop }
}

describe('a market stream', () => {
  it('tells of the connection before its first frame, and of its loss', async () => {
    const venue = await server()
    const { events } = run(venue.url)
    await eventually(() => venue.clients.length === 1)
    venue.clients[0]?.send('a')
    await eventually(() => events.includes('a'))
    venue.clients[0]?.close(1001, 'maintenance')
    await eventually(() => events.includes('connected again'))
    expect(events).toEqual([
      'connected first',
      'a',
      'lost: closed by the venue with 1001 maintenance',
      'connected again',
    ])
  })

  it('backs off while the venue cannot be reached, and obeys Retry-After', async () => {
    const busy = { status: '503 Service Unavailable', headers: 'Connection: close' }
    const venue = await server([busy, { status: '429 Too Many Requests', headers: 'Retry-After: 1' }])
    const { events } = run(venue.url)
    await eventually(() => events.includes('connected first'))
    expect(venue.attempts).toHaveLength(3)
    const [, second = 0, third = 0] = venue.attempts
    expect(third - second).toBeGreaterThanOrEqual(990)
  })

  it('keeps the old connection until the new one has delivered', async () => {
    const venue = await server()
    const { events, stream } = run(venue.url)
    await eventually(() => events.includes('connected first'))
    stream.renew('it is time')
    await eventually(() => events.includes('connected renewed'))
    const [old, young] = venue.clients
    old?.send('from the old')
    await eventually(() => events.includes('from the old'))
    young?.send('from the new')
    await eventually(() => old?.readyState === old?.CLOSED)
    expect(young?.readyState).toBe(young?.OPEN)
    expect(events).toEqual(['connected first', 'connected renewed', 'from the old', 'from the new'])
  })

  it('stays on the old connection where the new one dies before it delivers', async () => {
    const venue = await server()
    const { events, stream } = run(venue.url)
    await eventually(() => events.includes('connected first'))
    stream.renew('it is time')
    await eventually(() => venue.clients.length === 2)
    venue.clients[1]?.terminate()
    await eventually(() => venue.clients.length === 3)
    venue.clients[0]?.send('still here')
    await eventually(() => events.includes('still here'))
    venue.clients[2]?.send('and here')
    await eventually(() => venue.clients[0]?.readyState === venue.clients[0]?.CLOSED)
    expect(events.filter((event) => event.startsWith('lost'))).toEqual([])
  })

  it('keeps the newest of connections that were renewed in quick succession', async () => {
    const venue = await server()
    const { events, stream } = run(venue.url)
    await eventually(() => events.includes('connected first'))
    stream.renew('it is time')
    await eventually(() => venue.clients.length === 2)
    venue.clients[1]?.send('delivering')
    await eventually(() => events.includes('delivering'))
    stream.renew('the server shuts down')
    await eventually(() => venue.clients.length === 3)
    await eventually(() => venue.clients[0]?.readyState === venue.clients[0]?.CLOSED)
    venue.clients[2]?.send('delivering too')
    await eventually(() => venue.clients[1]?.readyState === venue.clients[1]?.CLOSED)
    expect(venue.clients[2]?.readyState).toBe(venue.clients[2]?.OPEN)
    expect(events.filter((event) => event.startsWith('connected'))).toHaveLength(3)
  })

  it('renews by itself at its age', async () => {
    const venue = await server()
    const { events } = run(venue.url, { renewAfterMs: 50 })
    await eventually(() => events.filter((event) => event === 'connected renewed').length >= 2)
    expect(events.some((event) => event.startsWith('lost'))).toBe(false)
  })

  it('takes silence for death, though pings come', async () => {
    const venue = await server()
    const { events } = run(venue.url, { silentAfterMs: 100 })
    await eventually(() => {
      venue.clients[0]?.ping()
      return events.includes('connected again')
    })
    expect(events[1]).toBe('lost: nothing came for 0.1 s')
  })

  it('sends its messages one by one', async () => {
    const venue = await server()
    const messages = ['first', 'second', 'third']
    run(venue.url, {}, messages)
    await eventually(() => venue.messages.length === 3)
    expect(venue.messages).toEqual(messages)
  })

  it('ends at once when it is called off while connecting', async () => {
    const venue = await server([{ status: '429 Too Many Requests', headers: 'Retry-After: 3600' }])
    const { stop } = run(venue.url)
    await eventually(() => venue.attempts.length === 1)
    await stop()
    expect(venue.clients).toHaveLength(0)
  })
})
