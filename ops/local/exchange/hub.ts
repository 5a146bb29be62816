/** Sends each stream's frames to the connections that subscribed to it, through the faults that are switched on. */
import { FrameFaults } from './faults.ts'
import type { Connection } from './connection.ts'

export interface HubStats {
  /** Frames sent, by stream kind: trade, aggTrade, bookTicker, depth. */
  readonly frames: Readonly<Record<string, number>>
  /** Connections that were ended because they read too slowly. */
  readonly slowReaders: number
}

/** Unsent bytes at which a live exchange gives a reader up. */
const MAX_BACKLOG = 16 * 1_048_576

export class Hub {
  readonly faults = new FrameFaults()
  readonly connections = new Set<Connection>()
  /** Until when a symbol (lower case) is silent, in milliseconds since the epoch. */
  readonly silentUntil = new Map<string, number>()
  private readonly subscribers = new Map<string, Set<Connection>>()
  private readonly frames = new Map<string, number>()
  private readonly slowReader: 'disconnect' | 'wait'
  private slowReaders = 0

  /** @param slowReader - what happens to who reads too slowly: a replay waits in `drained`, an exchange disconnects. */
  constructor(slowReader: 'disconnect' | 'wait') {
    this.slowReader = slowReader
  }

  add(connection: Connection, stream: string): void {
    const subscribers = this.subscribers.get(stream)
    if (subscribers) subscribers.add(connection)
    else this.subscribers.set(stream, new Set([connection]))
  }

  remove(connection: Connection, stream: string): void {
    const subscribers = this.subscribers.get(stream)
    subscribers?.delete(connection)
    if (subscribers?.size === 0) this.subscribers.delete(stream)
  }

  /** Streams that somebody listens to. */
  streams(): readonly string[] {
    return [...this.subscribers.keys()]
  }

  /** Sends a stream's next frame; the payload is made only where somebody listens. */
  publish(stream: string, payload: () => string): void {
    const subscribers = this.subscribers.get(stream)
    if (!subscribers) return
    if (!this.faults.active && this.silentUntil.size === 0) return this.deliver(stream, payload(), subscribers)
    if (Date.now() < (this.silentUntil.get(stream.slice(0, stream.indexOf('@'))) ?? 0)) return
    for (const frame of this.faults.apply(stream, payload())) {
      for (const connection of subscribers) {
        for (const own of this.faults.apply(`${stream}#${connection.id}`, frame)) {
          this.deliver(stream, own, [connection])
        }
      }
    }
  }

  /** Runs what publishes many frames and sends them at once. */
  batch(publishing: () => void): void {
    for (const connection of this.connections) connection.cork()
    publishing()
    for (const connection of this.connections) {
      connection.uncork()
      if (this.slowReader === 'disconnect' && connection.backlog > MAX_BACKLOG) {
        this.slowReaders++
        connection.terminate()
      }
    }
  }

  /** Resolves when no client is more than so many bytes behind. */
  async drained(bytes: number): Promise<void> {
    await Promise.all(Array.from(this.connections, (connection) => connection.drained(bytes)))
  }

  stats(): HubStats {
    return { frames: Object.fromEntries(this.frames), slowReaders: this.slowReaders }
  }

  private deliver(stream: string, payload: string, connections: Iterable<Connection>): void {
    const kind = stream.split('@')[1] ?? ''
    let raw: Buffer | undefined
    let combined: Buffer | undefined
    let sent = 0
    for (const connection of connections) {
      if (connection.silent) continue
      connection.send(
        connection.combined
          ? (combined ??= Buffer.from(`{"stream":"${stream}","data":${payload}}`))
          : (raw ??= Buffer.from(payload)),
      )
      sent++
    }
    this.frames.set(kind, (this.frames.get(kind) ?? 0) + sent)
  }
}
