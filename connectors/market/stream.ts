/** Keeps a venue's streams flowing: connects, backs off, and replaces connections before they end, without a break. */
import type { Logger } from 'pino'
import type { Micros } from '../../workers/runtime/definitions.ts'
import { oneLine, RetryableError } from '../../workers/runtime/errors.ts'
import { MarketSocket, type Ending } from './socket.ts'
import type { MarketTiming, VenueConnection } from './venue.ts'
import { backoffMs, sleep, type SlidingLimit } from './waiting.ts'

export interface StreamOptions {
  readonly connection: VenueConnection
  /** Whether pings are life enough, where the streams may well be quiet. */
  readonly life: 'data' | 'data or pings'
  readonly timing: MarketTiming
  readonly messageSpacingMs: number
  /** Shared by all connections to the venue. */
  readonly connects: SlidingLimit
  readonly now: () => Micros
  readonly log: Logger
  readonly signal: AbortSignal
  readonly on: {
    /** A connection is open; `first` where none was before it, 'again' after a loss, 'renewed' where there was no break. */
    connected(how: 'first' | 'again' | 'renewed'): void
    /** A frame of any open connection; while one replaces another, frames come twice. */
    frame(bytes: Buffer): void
    /** No connection is left. */
    lost(reason: string): void
  }
}

/** Silence is judged by pings where data may be rare; the venue's pings come this much rarer than its data. */
const PING_PATIENCE = 3

export class MarketStream {
  readonly #options: StreamOptions
  readonly #open = new Set<MarketSocket>()
  #current: MarketSocket | undefined
  #opened = 0
  #attempt = 0

  constructor(options: StreamOptions) {
    this.#options = options
  }

  /** Asks for a new connection; the present one goes on until the new one delivers. */
  renew(reason: string): void {
    this.#current?.renew(reason)
  }

  /** Runs until the signal aborts. */
  async run(): Promise<void> {
    const { connects, signal, log } = this.#options
    const closeAll = () => this.#open.forEach((socket) => socket.close())
    signal.addEventListener('abort', closeAll, { once: true })
    while (!signal.aborted) {
      await connects.admit(signal)
      try {
        const socket = await this.#connect()
        const ending = await socket.ending
        if (signal.aborted) break
        log[ending.kind === 'closed' ? 'warn' : 'debug']({ reason: ending.reason }, 'the connection is replaced')
        await this.#replaceAfter(socket, ending)
      } catch (error) {
        if (signal.aborted) break
        if (!(error instanceof RetryableError)) throw error
        log.warn({ error: oneLine(error) }, 'the venue cannot be reached, trying again')
        await this.#pause(error.retryAfterMs)
      }
    }
    closeAll()
  }

  #connect(): Promise<MarketSocket> {
    const { connection, life, timing, messageSpacingMs, now, on, signal } = this.#options
    const silentAfterMs = timing.silentAfterMs * (life === 'data' ? 1 : PING_PATIENCE)
    const { renewAfterMs } = timing
    const opened = (socket: MarketSocket) => this.#adopt(socket)
    const frame = (bytes: Buffer) => on.frame(bytes)
    return MarketSocket.open(
      { connection, life, messageSpacingMs, renewAfterMs, silentAfterMs, now, opened, frame },
      signal,
    )
  }

  #adopt(socket: MarketSocket): void {
    const how = this.#opened++ === 0 ? 'first' : this.#open.size > 0 ? 'renewed' : 'again'
    this.#current = socket
    this.#open.add(socket)
    void socket.gone.then(() => this.#open.delete(socket))
    this.#options.on.connected(how)
    if (how === 'renewed') void this.#retireOlder(socket)
  }

  /** The replaced connection stays until what it had under way has surely come. */
  async #retireOlder(socket: MarketSocket): Promise<void> {
    await Promise.race([socket.delivering, socket.gone])
    await sleep(this.#options.timing.overlapMs, this.#options.signal)
    if (!this.#open.has(socket)) return
    for (const other of this.#open) {
      // The set is in the order of opening: what follows is newer.
      if (other === socket) return
      other.close()
    }
  }

  async #replaceAfter(socket: MarketSocket, ending: Ending): Promise<void> {
    if (ending.kind === 'renew') {
      void socket.gone.then(() => this.#loseIfLast('the replaced connection ended before the new one opened'))
      return
    }
    socket.close()
    this.#open.delete(socket)
    this.#loseIfLast(ending.reason)
    const { now, timing } = this.#options
    // A connection that lasted shows that the trouble is over; one that flaps must wait longer each time.
    if (now() - socket.openedAt > timing.backoff.capMs * 1000) this.#attempt = 0
    await this.#pause(undefined)
  }

  #loseIfLast(reason: string): void {
    if (this.#open.size === 0 && !this.#options.signal.aborted) this.#options.on.lost(reason)
  }

  async #pause(retryAfterMs: number | undefined): Promise<void> {
    const wait = backoffMs(this.#attempt++, this.#options.timing.backoff)
    await sleep(Math.max(wait, retryAfterMs ?? 0), this.#options.signal)
  }
}
