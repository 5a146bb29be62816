/** One connection to a server: sends what it is given, split as it is given, and collects the answer. */
import { connect, type Socket } from 'node:net'
import type { Fields } from './kind.ts'

const mostAnswer = 8 * 1_024 ** 2
const answerForm = /^HTTP\/1\.[01] [1-5]\d\d [^\0]*?\r\n\r\n/s

export class Exchange {
  /** Resolves at the end of the connection, with what is wrong with the answer if anything is. */
  readonly ended: Promise<string | undefined>
  /** Whether the client sends no end, so that the server need not close. */
  readonly stays: boolean
  /** Good requests since the client has sent all and said so. */
  waited: number | undefined
  readonly #socket: Socket
  readonly #parts: Buffer[] = []
  #bytes = 0
  readonly #end: (wrong: string | undefined) => void

  constructor(port: number, host: string, fields: Fields) {
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    this.ended = promise
    this.#end = resolve
    const how = Buffer.from(fields.find(([name]) => name === 'end')?.[1] ?? []).toString()
    this.stays = how === 'stay'
    this.#socket = connect({ port, host, noDelay: true })
    this.#socket.on('data', (part) => this.#take(part))
    this.#socket.on('finish', () => void (this.waited = 0))
    let refused: string | undefined
    this.#socket.on('error', (error) => {
      // That the server breaks the connection is its right.
      if ('code' in error && error.code === 'ECONNREFUSED') refused = 'the server does not listen any more'
    })
    this.#socket.once('close', () => resolve(refused ?? this.#wrong(how === 'reset')))
    void this.#send(fields, how)
  }

  /** The whole answer. */
  get answer(): string {
    return Buffer.concat(this.#parts).toString('latin1')
  }

  /** Breaks the connection. @param wrong what is told of it */
  destroy(wrong?: string): void {
    this.#socket.destroy()
    this.#end(wrong)
  }

  async #send(fields: Fields, how: string): Promise<void> {
    for (const [name, bytes] of fields) {
      if (name === 'end' || bytes === null || bytes.length === 0) continue
      if (this.#socket.destroyed || !this.#socket.writable) return
      this.#socket.write(bytes)
      // What is written in another turn arrives in another segment.
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (how === 'reset') this.#socket.resetAndDestroy()
    else if (how !== 'stay') this.#socket.end()
  }

  #take(part: Buffer): void {
    this.#bytes += part.length
    if (this.#bytes > mostAnswer) return this.destroy(`the answer has more than ${mostAnswer} bytes`)
    this.#parts.push(part)
  }

  #wrong(wasReset: boolean): string | undefined {
    const { answer } = this
    if (wasReset || answer === '') return undefined
    if (!answerForm.test(answer)) return `it begins with ${JSON.stringify(answer.slice(0, 60))}`
    return answer.startsWith('HTTP/1.1 500') ? answer.slice(0, 200) : undefined
  }
}
