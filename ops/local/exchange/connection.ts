/** One client's stream connection: its subscriptions, pings, limits and end. */
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { answerRequest } from './requests.ts'

export interface ConnectionOptions {
  /** Gap between pings; a client without a pong for three of them is disconnected. 20,000 where it is not given. */
  readonly pingMs?: number
  /** How long a connection may live; 24 h where it is not given. `serverShutdown` is announced a tenth (at most 10 minutes) before. */
  readonly lifetimeMs?: number
}

export interface ConnectionEvents {
  subscribed(connection: Connection, stream: string): void
  unsubscribed(connection: Connection, stream: string): void
  /** A ping came due while others had not been answered for too long; the connection is ended. */
  pongMissed(connection: Connection): void
  closed(connection: Connection): void
}

/** Inbound messages a second, pings and pongs included. */
const MAX_MESSAGES_PER_SECOND = 5
const DAY_MS = 86_400_000
const POLICY_VIOLATION = 1008
const GOING_AWAY = 1001

export class Connection {
  readonly id: number
  readonly streams = new Set<string>()
  combined: boolean
  /** Until when nothing is sent, in milliseconds since the epoch. */
  silentUntil = 0
  private readonly socket: WebSocket
  private readonly tcp: Socket
  private readonly events: ConnectionEvents
  private readonly timers: NodeJS.Timeout[] = []
  private readonly received: number[] = []
  private unanswered: string[] = []

  constructor(
    id: number,
    socket: WebSocket,
    tcp: Socket,
    combined: boolean,
    options: ConnectionOptions,
    events: ConnectionEvents,
  ) {
    this.id = id
    this.socket = socket
    this.tcp = tcp
    this.combined = combined
    this.events = events
    socket.on('message', (data) => this.receive(Buffer.isBuffer(data) ? data.toString() : ''))
    socket.on('ping', () => this.count())
    socket.on('pong', (payload) => this.pong(String(payload)))
    // A broken connection also emits 'close'.
    socket.on('error', () => undefined)
    socket.on('close', () => this.closed())
    this.startTimers(options.pingMs ?? 20_000, options.lifetimeMs ?? DAY_MS)
  }

  /** Bytes that the client has not taken yet. */
  get backlog(): number {
    return this.socket.bufferedAmount
  }

  get silent(): boolean {
    return Date.now() < this.silentUntil
  }

  send(frame: Buffer): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(frame, { binary: false })
  }

  /** Holds back small writes until `uncork`, so that a batch of frames costs one system call. */
  cork(): void {
    this.tcp.cork()
  }

  uncork(): void {
    this.tcp.uncork()
  }

  /** Resolves when the client has taken all but so many bytes, or is gone. */
  async drained(bytes: number): Promise<void> {
    while (this.socket.readyState === this.socket.OPEN && this.backlog > bytes) {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.tcp.off('drain', done).off('close', done)
          resolve()
        }
        this.tcp.once('drain', done).once('close', done)
      })
    }
  }

  subscribe(streams: readonly string[]): void {
    for (const stream of streams) {
      if (this.streams.has(stream)) continue
      this.streams.add(stream)
      this.events.subscribed(this, stream)
    }
  }

  unsubscribe(streams: readonly string[]): void {
    for (const stream of streams) if (this.streams.delete(stream)) this.events.unsubscribed(this, stream)
  }

  /** Says that the server is about to end the connection. */
  announceShutdown(): void {
    const event = { e: 'serverShutdown', E: Date.now() }
    this.reply(this.combined ? { stream: '!serverShutdown', data: event } : event)
  }

  close(code = GOING_AWAY, reason = ''): void {
    this.socket.close(code, reason)
  }

  /** Ends the connection without a closing handshake. */
  terminate(): void {
    this.socket.terminate()
  }

  private startTimers(pingMs: number, lifetimeMs: number): void {
    const notice = lifetimeMs - Math.min(600_000, lifetimeMs / 10)
    this.timers.push(
      setInterval(() => this.ping(), pingMs),
      setTimeout(() => this.announceShutdown(), notice),
      setTimeout(() => this.close(GOING_AWAY, 'Connection lifetime exceeded'), lifetimeMs),
    )
    for (const timer of this.timers) timer.unref()
  }

  private ping(): void {
    if (this.unanswered.length >= 3) {
      this.events.pongMissed(this)
      return this.close(POLICY_VIOLATION, 'Pong timeout')
    }
    if (this.silent) return
    const payload = String(Date.now())
    this.unanswered.push(payload)
    this.socket.ping(payload)
  }

  private pong(payload: string): void {
    this.count()
    // Unsolicited pongs are allowed but prove nothing.
    if (this.unanswered.includes(payload)) this.unanswered = []
  }

  private receive(text: string): void {
    if (this.count()) this.reply(answerRequest(text, this))
  }

  private reply(body: object): void {
    if (!this.silent) this.send(Buffer.from(JSON.stringify(body)))
  }

  /** Counts an inbound message; false where it is one too many and ends the connection. */
  private count(): boolean {
    const now = performance.now()
    this.received.push(now)
    while ((this.received[0] ?? now) <= now - 1_000) this.received.shift()
    if (this.received.length <= MAX_MESSAGES_PER_SECOND) return true
    this.close(POLICY_VIOLATION, 'Too many requests')
    return false
  }

  private closed(): void {
    for (const timer of this.timers) clearTimeout(timer)
    this.unsubscribe([...this.streams])
    this.events.closed(this)
  }
}
