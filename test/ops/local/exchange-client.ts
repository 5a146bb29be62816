/** What the exchange's tests share: a stream client that remembers its frames, REST calls, waiting for a condition. */
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'

export type Json = Record<string, unknown>

export class StreamClient {
  readonly frames: { readonly stream: string; readonly data: Json }[] = []
  /** Messages that are no frames: answers to requests. */
  readonly answers: Json[] = []
  closed: { code: number; reason: string } | undefined
  pings = 0
  readonly socket: WebSocket

  private constructor(url: string, options: { autoPong?: boolean }) {
    this.socket = new WebSocket(url, options)
    this.socket.on('message', (data) => {
      const message = asObject(JSON.parse(Buffer.isBuffer(data) ? data.toString() : ''))
      if (typeof message['stream'] === 'string')
        this.frames.push({ stream: message['stream'], data: asObject(message['data']) })
      else this.answers.push(message)
    })
    this.socket.on('ping', () => this.pings++)
    this.socket.on('close', (code, reason) => (this.closed = { code, reason: String(reason) }))
  }

  /** Connects; rejects where the server refuses. */
  static async open(url: string, options: { autoPong?: boolean } = {}): Promise<StreamClient> {
    const client = new StreamClient(url, options)
    await new Promise<void>((resolve, reject) => {
      client.socket.once('open', resolve).once('error', reject)
    })
    client.socket.on('error', () => undefined)
    return client
  }

  of(stream: string): Json[] {
    return this.frames.filter((frame) => frame.stream === stream).map(({ data }) => data)
  }

  /** Trade ids of a symbol in the order of arrival. */
  tradeIds(symbol: string): number[] {
    return this.of(`${symbol.toLowerCase()}@trade`).map(({ t }) => Number(t))
  }
}

export async function get(url: string): Promise<{ status: number; headers: Headers; body: unknown }> {
  const response = await fetch(url)
  return { status: response.status, headers: response.headers, body: await response.json() }
}

export async function getObject(url: string): Promise<Json> {
  return asObject((await get(url)).body)
}

export async function getList(url: string): Promise<Json[]> {
  const { body } = await get(url)
  if (!Array.isArray(body)) throw new Error(`expected a list: ${JSON.stringify(body)}`)
  return body.map(asObject)
}

export function asObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null) throw new Error(`expected an object: ${JSON.stringify(value)}`)
  return Object.fromEntries(Object.entries(value))
}

/** Waits until a condition holds. */
export async function eventually(holds: () => boolean, what: string, ms = 25_000): Promise<void> {
  const until = performance.now() + ms
  while (!holds()) {
    if (performance.now() > until) throw new Error(`not within ${ms} ms: ${what}`)
    await sleep(5)
  }
}

/** True where each id follows the one before. */
export function contiguous(ids: readonly number[]): boolean {
  return ids.every((id, index) => index === 0 || id === (ids[index - 1] ?? NaN) + 1)
}

/** Keys in order with the kind of their value; decimals of the wire are told apart from other text. */
export function shapeOf(frame: Json): string[] {
  return Object.entries(frame).map(([key, value]) => `${key}: ${kindOf(value)}`)
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'list'
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'integer' : 'number'
  if (typeof value === 'string') return /^\d+\.\d{8}$/.test(value) ? 'decimal(8)' : 'text'
  return typeof value
}

/** A local order book, kept by the venue's published procedure. */
export class LocalBook {
  private readonly bids = new Map<string, string>()
  private readonly asks = new Map<string, string>()
  lastUpdateId = 0

  constructor(snapshot: Json) {
    this.lastUpdateId = Number(snapshot['lastUpdateId'])
    change(this.bids, snapshot['bids'])
    change(this.asks, snapshot['asks'])
  }

  /** @returns false where the event leaves a gap */
  apply(event: Json): boolean {
    if (Number(event['u']) <= this.lastUpdateId) return true
    if (Number(event['U']) > this.lastUpdateId + 1) return false
    change(this.bids, event['b'])
    change(this.asks, event['a'])
    this.lastUpdateId = Number(event['u'])
    return true
  }

  get bidLevels(): [string, string][] {
    return [...this.bids].sort(([left], [right]) => Number(right) - Number(left))
  }

  get askLevels(): [string, string][] {
    return [...this.asks].sort(([left], [right]) => Number(left) - Number(right))
  }

  get crossed(): boolean {
    return Number(this.bidLevels[0]?.[0]) >= Number(this.askLevels[0]?.[0])
  }
}

function change(side: Map<string, string>, levels: unknown): void {
  if (!Array.isArray(levels)) throw new Error('expected levels')
  for (const level of levels) {
    const [price, quantity] = Array.isArray(level) ? level.map(String) : []
    if (price === undefined || quantity === undefined) throw new Error('expected price and quantity')
    if (Number(quantity) === 0) side.delete(price)
    else side.set(price, quantity)
  }
}
