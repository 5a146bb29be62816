/** Bytes sent to a port as they are, and what comes of them. */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Reply {
  /** What came, as Latin-1. */
  readonly text: string
  readonly closed: boolean
}

export class RawClient {
  readonly #socket: Socket
  #text = ''
  #closed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => (this.#text += bytes.toString('latin1')))
    socket.on('error', () => {})
    socket.on('close', () => (this.#closed = true))
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1')
    const client = new RawClient(socket)
    while (socket.connecting) await sleep(1)
    return client
  }

  get reply(): Reply {
    return { text: this.#text, closed: this.#closed }
  }

  write(bytes: string | Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes)
  }

  /** Has nothing more to say. */
  end(): void {
    this.#socket.end()
  }

  /** Does not read any more. */
  pause(): void {
    this.#socket.pause()
  }

  /** Resolves when it is so, or when `withinMs` have passed. */
  async until(so: (reply: Reply) => boolean, withinMs = 10_000): Promise<Reply> {
    for (const began = performance.now(); !so(this.reply) && performance.now() - began < withinMs;) await sleep(5)
    return this.reply
  }

  resume(): void {
    this.#socket.resume()
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** The status of each answer in a text. */
export const statusesOf = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
