/**
 * Rings when a node announces a head over WebSocket. Only a hint: heads themselves are read over HTTP, where a
 * replacement at the same height, a gap or a missed message makes no difference.
 */
import { z } from 'zod'

const Notice = z.object({
  method: z.literal('eth_subscription'),
  params: z.object({ result: z.object({ number: z.string().regex(/^0x[0-9a-f]+$/i) }) }),
})
const retryMs = { first: 250, most: 10_000 } as const

export interface DoorbellOptions {
  /** ws or wss, taken in turn; none: it never rings and `wait` only waits. */
  readonly urls: readonly string[]
  readonly signal: AbortSignal
  /** A connection had to be opened again. */
  onReconnect(): void
}

export class Doorbell {
  readonly #options: DoorbellOptions
  #socket: WebSocket | undefined
  #timer: NodeJS.Timeout | undefined
  #attempts = 0
  #next = 0
  #announced = 0
  #live = false
  #wake: (() => void) | undefined

  constructor(options: DoorbellOptions) {
    this.#options = options
    options.signal.addEventListener('abort', () => this.#stop(), { once: true })
    if (!options.signal.aborted) this.#connect()
  }

  /** The highest block number that was announced. */
  get announced(): number {
    return this.#announced
  }

  /** True while a subscription is open. */
  get live(): boolean {
    return this.#live
  }

  /** Waits for the next ring, at most `ms`; ends early when the signal aborts. */
  async wait(ms: number): Promise<void> {
    if (this.#options.signal.aborted) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
    this.#wake = undefined
  }

  /** Gives up a connection that says nothing and opens the next. */
  reconnect(): void {
    this.#drop()
    this.#connect()
  }

  #connect(): void {
    const url = this.#options.urls[this.#next++ % this.#options.urls.length]
    if (url === undefined) return
    if (this.#attempts++ > 0) this.#options.onReconnect()
    const socket = new WebSocket(url)
    this.#socket = socket
    socket.addEventListener('open', () => {
      socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_subscribe', params: ['newHeads'] }))
    })
    socket.addEventListener('message', ({ data }) => this.#hear(data))
    // A failed connection is an error and then a close; one of them is enough.
    socket.addEventListener('close', () => {
      if (socket === this.#socket) this.#retry()
    })
  }

  #hear(data: unknown): void {
    const notice = Notice.safeParse(parseJson(data))
    if (!notice.success) return
    this.#attempts = 1
    this.#live = true
    this.#announced = Math.max(this.#announced, Number(notice.data.params.result.number))
    this.#wake?.()
  }

  #retry(): void {
    this.#drop()
    const delay = Math.min(retryMs.most, retryMs.first * 2 ** Math.min(this.#attempts - 1, 10))
    this.#timer = setTimeout(() => this.#connect(), delay)
  }

  #drop(): void {
    clearTimeout(this.#timer)
    const socket = this.#socket
    this.#socket = undefined
    this.#live = false
    this.#announced = 0
    socket?.close()
  }

  #stop(): void {
    this.#drop()
    this.#wake?.()
  }
}

function parseJson(data: unknown): unknown {
  try {
    return typeof data === 'string' ? JSON.parse(data) : undefined
  } catch {
    return undefined
  }
}
