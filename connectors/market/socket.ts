/** One websocket connection of a venue: how it opens, when it must be replaced, how it ends. */
import WebSocket from 'ws'
import type { Micros } from '../../workers/runtime/definitions.ts'
import { RetryableError } from '../../workers/runtime/errors.ts'
import { retryAfter } from './rest.ts'
import type { VenueConnection } from './venue.ts'
import { sleep } from './waiting.ts'

/** Why a connection is no longer the one to rely on; one that is to be renewed still delivers. */
export interface Ending {
  readonly kind: 'closed' | 'renew'
  readonly reason: string
}

export interface SocketOptions {
  readonly connection: VenueConnection
  readonly messageSpacingMs: number
  readonly renewAfterMs: number
  /** Silence after which the connection is dead. */
  readonly silentAfterMs: number
  /** Whether pings are life enough, where the streams may well be quiet. */
  readonly life: 'data' | 'data or pings'
  readonly now: () => Micros
  /** Called before the first frame. */
  readonly opened: (socket: MarketSocket) => void
  readonly frame: (bytes: Buffer) => void
}

const HANDSHAKE_MS = 10_000
const MAX_FRAME_BYTES = 16 * 1024 * 1024

export class MarketSocket {
  /** Resolves, once, when the connection should be replaced or is gone. */
  readonly ending: Promise<Ending>
  /** Resolves at the first frame. */
  readonly delivering: Promise<void>
  /** Resolves when it is gone. */
  readonly gone: Promise<void>
  readonly openedAt: Micros
  readonly #socket: WebSocket
  readonly #options: SocketOptions
  readonly #end: (ending: Ending) => void
  readonly #delivered: () => void
  #lastLife: Micros

  private constructor(socket: WebSocket, options: SocketOptions) {
    this.#socket = socket
    this.#options = options
    this.openedAt = this.#lastLife = options.now()
    const ending = Promise.withResolvers<Ending>()
    const delivering = Promise.withResolvers<void>()
    const gone = Promise.withResolvers<void>()
    this.ending = ending.promise
    this.delivering = delivering.promise
    this.gone = gone.promise
    this.#end = ending.resolve
    this.#delivered = delivering.resolve
    const watchdog = setInterval(() => this.#watch(), Math.max(10, options.silentAfterMs / 10))
    const renewal = setTimeout(() => this.renew('the venue ends connections at a certain age'), options.renewAfterMs)
    socket.on('message', (data) => this.#message(data))
    socket.on('ping', () => {
      if (options.life === 'data or pings') this.#lastLife = options.now()
    })
    socket.on('error', (error) => this.#end({ kind: 'closed', reason: error.message }))
    socket.on('close', (code, reason) => {
      clearInterval(watchdog)
      clearTimeout(renewal)
      this.#end({ kind: 'closed', reason: `closed by the venue with ${code} ${reason.toString()}`.trim() })
      gone.resolve()
    })
  }

  /**
   * Opens a connection.
   * @throws RetryableError, with the wait that the venue asked for where it did
   */
  static async open(options: SocketOptions, signal: AbortSignal): Promise<MarketSocket> {
    const socket = new WebSocket(options.connection.url, {
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
    })
    const abort = () => socket.terminate()
    signal.addEventListener('abort', abort, { once: true })
    try {
      const market = await new Promise<MarketSocket>((resolve, reject) => {
        // Not after an await: frames of the same read would be handed out first.
        socket.once('open', () => {
          const opened = new MarketSocket(socket, options)
          options.opened(opened)
          resolve(opened)
        })
        socket.on('error', (cause) => reject(new RetryableError('unavailable', 'connecting', { cause })))
        socket.once('unexpected-response', (request, response) => {
          const wait = retryAfter(response.headers['retry-after'], options.now())
          const message = `connecting was answered with ${response.statusCode}`
          reject(new RetryableError('unavailable', message, wait === undefined ? {} : { retryAfterMs: wait }))
          request.destroy()
        })
      })
      void market.#subscribe(signal)
      return market
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** Asks for a new connection while this one goes on. */
  renew(reason: string): void {
    this.#end({ kind: 'renew', reason })
  }

  close(): void {
    this.#socket.terminate()
  }

  #message(data: WebSocket.RawData): void {
    this.#lastLife = this.#options.now()
    this.#delivered()
    if (Buffer.isBuffer(data)) this.#options.frame(data)
  }

  #watch(): void {
    const { now, silentAfterMs } = this.#options
    if (now() - this.#lastLife <= silentAfterMs * 1000) return
    this.#end({ kind: 'closed', reason: `nothing came for ${silentAfterMs / 1000} s` })
    this.#socket.terminate()
  }

  async #subscribe(signal: AbortSignal): Promise<void> {
    for (const message of this.#options.connection.messages) {
      await sleep(this.#options.messageSpacingMs, signal)
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(message)
    }
  }
}
