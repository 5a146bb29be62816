/** Faults that tests switch on while the exchange runs; dropped trades stay fetchable by REST. */

/** Everything, one connection by its number, or one symbol by either of its names. */
export type FaultTarget = 'all' | { readonly connection: number } | { readonly symbol: string }

export interface Faults {
  /** Loses the next frames of a stream (`btcusdt@trade`), on all connections or on one. */
  drop(stream: string, frames?: number, connection?: number): void
  /** Sends the next frames of a stream twice. */
  double(stream: string, frames?: number, connection?: number): void
  /** Sends each of the next frames of a stream after the frame that follows it. */
  swap(stream: string, frames?: number, connection?: number): void
  /** Sends nothing to the target for so long (a silent connection is not pinged either); the frames are lost. */
  silence(target: FaultTarget, ms: number): void
  /** Ends all connections or one, with a closing handshake or without. */
  disconnect(connection?: number, how?: 'abruptly' | 'with a close frame'): void
  /** Announces `serverShutdown` on all connections and ends them after so long. */
  shutDown(graceMs: number): void
  /** Refuses new connections, REST and websocket, for so long. */
  refuse(ms: number): void
  /** Answers the next REST requests with 429 and Retry-After. */
  tooManyRequests(requests: number, retryAfterS: number): void
  /** Delays every REST answer and lets its body trickle; (0) ends it. */
  slowRest(delayMs: number, bytesPerSecond?: number): void
  /** Ends every fault. */
  clear(): void
}

type Disorder = 'drop' | 'double' | 'swap'

/** Disorders the frames of streams; a key is a stream, or a stream on one connection. */
export class FrameFaults {
  private readonly faults = new Map<string, { readonly disorder: Disorder; left: number }>()
  private readonly held = new Map<string, string>()

  get active(): boolean {
    return this.faults.size > 0 || this.held.size > 0
  }

  set(key: string, disorder: Disorder, frames: number): void {
    this.faults.set(key, { disorder, left: frames })
  }

  clear(): void {
    this.faults.clear()
    this.held.clear()
  }

  /** The frames to send in place of this one, in order. */
  apply(key: string, frame: string): readonly string[] {
    const held = this.held.get(key)
    if (held !== undefined) {
      this.held.delete(key)
      return [frame, held]
    }
    const fault = this.faults.get(key)
    if (!fault) return [frame]
    if (--fault.left <= 0) this.faults.delete(key)
    switch (fault.disorder) {
      case 'drop':
        return []
      case 'double':
        return [frame, frame]
      case 'swap':
        this.held.set(key, frame)
        return []
    }
  }
}
