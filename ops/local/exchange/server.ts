/** Serves a venue: REST and streams on one port of 127.0.0.1, with the faults that both share. */
import { createServer } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import { Connection } from './connection.ts'
import type { ConnectionOptions } from './connection.ts'
import type { Faults, FaultTarget } from './faults.ts'
import { Hub } from './hub.ts'
import type { HubStats } from './hub.ts'
import type { WeightLimits } from './limits.ts'
import { MAX_STREAMS } from './requests.ts'
import { Rest } from './rest.ts'
import type { RestStats } from './rest.ts'
import { venueSymbol } from './venue.ts'
import type { Venue } from './venue.ts'

export interface ServerOptions extends ConnectionOptions {
  /** 0 picks a free one. */
  readonly port?: number
  readonly limits?: WeightLimits & {
    /** Stream connections an IP may open in 5 minutes; 300 where it is not given. */
    readonly connectsPer5Min?: number
  }
}

export interface ServerStats extends HubStats {
  /** Numbers of the open stream connections. */
  readonly connections: readonly number[]
  /** Stream connections opened so far. */
  readonly connects: number
  /** Connections that were ended because pings were not answered. */
  readonly missedPongs: number
  /** Streams that somebody listens to. */
  readonly streams: readonly string[]
  readonly rest: RestStats
}

const FIVE_MINUTES_MS = 300_000

export class VenueServer {
  readonly hub: Hub
  readonly faults: Faults
  private readonly rest: Rest
  private readonly options: ServerOptions
  private readonly http: Server
  private readonly sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 65_536 })
  private readonly connects = new Map<string, number[]>()
  private connectCount = 0
  private missedPongs = 0
  private refusedUntil = 0

  constructor(venue: Venue, slowReader: 'disconnect' | 'wait', options: ServerOptions) {
    this.options = options
    this.hub = new Hub(slowReader)
    this.rest = new Rest(venue, options.limits ?? {})
    this.faults = this.makeFaults()
    this.http = createServer((request, response) => {
      if (this.refusing) return void request.socket.destroy()
      this.rest.handle(request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : new Error(String(error)))
      })
    })
    // Longer than clients keep idle connections, which would otherwise now and then meet one that is just being closed.
    this.http.keepAliveTimeout = 120_000
    this.http.on('connection', (socket) => {
      if (this.refusing) socket.destroy()
    })
    this.http.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head))
  }

  /** Listens. @throws Error where the port is taken */
  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.http.once('error', reject)
      this.http.listen(this.options.port ?? 0, '127.0.0.1', () => resolve())
    })
  }

  get address(): string {
    const address = this.http.address()
    if (address === null || typeof address === 'string') throw new Error('the exchange does not listen')
    return `127.0.0.1:${address.port}`
  }

  stats(): ServerStats {
    return {
      ...this.hub.stats(),
      connections: Array.from(this.hub.connections, ({ id }) => id),
      connects: this.connectCount,
      missedPongs: this.missedPongs,
      streams: this.hub.streams(),
      rest: this.rest.stats(),
    }
  }

  async stop(): Promise<void> {
    for (const connection of this.hub.connections) connection.terminate()
    this.sockets.close()
    await new Promise<void>((resolve) => {
      this.http.close(() => resolve())
      this.http.closeAllConnections()
    })
  }

  private get refusing(): boolean {
    return Date.now() < this.refusedUntil
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // A client that is gone already must not bring the server down.
    socket.on('error', () => undefined)
    if (this.refusing) return void socket.destroy()
    const url = URL.parse(request.url ?? '/', 'http://exchange')
    if (!url) return refuse(socket, '400 Bad Request')
    const raw = /^\/ws(?:\/(.*))?$/.exec(url.pathname)
    if (!raw && url.pathname !== '/stream') return refuse(socket, '404 Not Found')
    const streams = (raw ? raw[1] : url.searchParams.get('streams'))?.split('/').filter((stream) => stream !== '') ?? []
    if (streams.length > MAX_STREAMS) return refuse(socket, '400 Bad Request')
    if (!this.admit(request.socket.remoteAddress ?? '')) return refuse(socket, '429 Too Many Requests')
    this.sockets.handleUpgrade(request, socket, head, (client) =>
      this.accept(client, request.socket, raw ? 'raw' : 'combined', streams),
    )
  }

  private accept(client: WebSocket, tcp: Socket, form: 'raw' | 'combined', streams: readonly string[]): void {
    const { hub } = this
    const connection = new Connection(++this.connectCount, client, tcp, form === 'combined', this.options, {
      subscribed: (who, stream) => hub.add(who, stream),
      unsubscribed: (who, stream) => hub.remove(who, stream),
      pongMissed: () => void this.missedPongs++,
      closed: (who) => hub.connections.delete(who),
    })
    hub.connections.add(connection)
    connection.subscribe(streams)
  }

  private admit(ip: string): boolean {
    const now = Date.now()
    const recent = (this.connects.get(ip) ?? []).filter((at) => at > now - FIVE_MINUTES_MS)
    const admitted = recent.length < (this.options.limits?.connectsPer5Min ?? 300)
    this.connects.set(ip, admitted ? [...recent, now] : recent)
    return admitted
  }

  private chosen(connection: number | undefined): Connection[] {
    return [...this.hub.connections].filter(({ id }) => connection === undefined || id === connection)
  }

  private makeFaults(): Faults {
    const { hub, rest } = this
    const key = (stream: string, connection?: number) => (connection === undefined ? stream : `${stream}#${connection}`)
    return {
      drop: (stream, frames = 1, connection) => hub.faults.set(key(stream, connection), 'drop', frames),
      double: (stream, frames = 1, connection) => hub.faults.set(key(stream, connection), 'double', frames),
      swap: (stream, frames = 1, connection) => hub.faults.set(key(stream, connection), 'swap', frames),
      silence: (target, ms) => this.silence(target, Date.now() + ms),
      disconnect: (connection, how = 'abruptly') => {
        for (const one of this.chosen(connection)) {
          if (how === 'abruptly') one.terminate()
          else one.close()
        }
      },
      shutDown: (graceMs) => {
        const ending = this.chosen(undefined)
        for (const connection of ending) connection.announceShutdown()
        void sleep(graceMs, undefined, { ref: false }).then(() => {
          for (const connection of ending) connection.close()
        })
      },
      refuse: (ms) => void (this.refusedUntil = Date.now() + ms),
      tooManyRequests: (requests, retryAfterS) => rest.tooManyRequests(requests, retryAfterS),
      slowRest: (delayMs, bytesPerSecond) => rest.slow(delayMs, bytesPerSecond),
      clear: () => {
        hub.faults.clear()
        hub.silentUntil.clear()
        for (const connection of hub.connections) connection.silentUntil = 0
        this.refusedUntil = 0
        rest.tooManyRequests(0, 0)
        rest.slow(0)
      },
    }
  }

  private silence(target: FaultTarget, until: number): void {
    if (target !== 'all' && 'symbol' in target)
      return void this.hub.silentUntil.set(venueSymbol(target.symbol).toLowerCase(), until)
    for (const connection of this.chosen(target === 'all' ? undefined : target.connection))
      connection.silentUntil = until
  }
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
