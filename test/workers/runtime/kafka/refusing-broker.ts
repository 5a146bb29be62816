/** The broker of the test run behind a proxy that answers some requests as brokers do that are not ready yet. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import type { KafkaConfig } from 'kafkajs'

/** Requests that can be refused: see https://kafka.apache.org/protocol.html#protocol_api_keys */
const apiKeys = { 'list offsets': 2, metadata: 3, 'join group': 11 } as const
export type Refusable = keyof typeof apiKeys

/** See https://kafka.apache.org/protocol.html#protocol_error_codes */
export const refusals = { leaderNotAvailable: 5, notLeader: 6, loading: 14 } as const

export class RefusingBroker {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #refuse = new Map<number, { readonly from: number; readonly to: number; readonly code: number }>()
  /** Requests by their kind, in their order. */
  readonly asked: Refusable[] = []

  private constructor(target: number) {
    this.#server = createServer((client) => this.#accept(client, connect(target, '127.0.0.1')))
  }

  /** @param broker host and port */
  static async start(broker: string): Promise<RefusingBroker> {
    const refusing = new RefusingBroker(Number(broker.split(':').at(-1)))
    refusing.#server.listen(0, '127.0.0.1')
    await once(refusing.#server, 'listening')
    return refusing
  }

  /** What leads a client here, wherever the broker says that it is. */
  get client(): Pick<KafkaConfig, 'socketFactory'> {
    const address = this.#server.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    return { socketFactory: ({ onConnect }) => connect({ host: '127.0.0.1', port }, onConnect) }
  }

  /** Refuses the next requests of a kind, but for so many first ones. */
  refuse(what: Refusable, code: number, times: number, first = 0): void {
    this.asked.length = 0
    this.#refuse.set(apiKeys[what], { from: first, to: first + times, code })
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #accept(client: Socket, broker: Socket): void {
    /** Correlation ids of requests that are to be refused. */
    const refused = new Map<number, { readonly key: number; readonly version: number; readonly code: number }>()
    for (const [socket, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
    eachFrame(client, (frame) => {
      const [key, version, id] = [frame.readInt16BE(4), frame.readInt16BE(6), frame.readInt32BE(8)]
      for (const [name, known] of Object.entries(apiKeys)) if (known === key && isRefusable(name)) this.asked.push(name)
      const due = this.#refuse.get(key)
      const nth = this.asked.filter((name) => apiKeys[name] === key).length - 1
      if (due !== undefined && nth >= due.from && nth < due.to) refused.set(id, { key, version, code: due.code })
      broker.write(frame)
    })
    eachFrame(broker, (frame) => {
      const answer = refused.get(frame.readInt32BE(4))
      refused.delete(frame.readInt32BE(4))
      if (answer !== undefined) frame.writeInt16BE(answer.code, errorAt(frame, answer.key, answer.version))
      client.write(frame)
    })
  }
}

const isRefusable = (name: string): name is Refusable => name in apiKeys

/** Messages, each behind its length. */
function eachFrame(socket: Socket, take: (frame: Buffer) => void): void {
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0)) {
      const length = 4 + bytes.readInt32BE(0)
      take(Buffer.from(bytes.subarray(0, length)))
      bytes = bytes.subarray(length)
    }
  })
}

/** Where the first error code of an answer stands, of the versions that the client speaks. */
function errorAt(frame: Buffer, key: number, version: number): number {
  // Behind length and correlation id, and the time of throttling.
  let at = 8 + (key === apiKeys.metadata ? (version >= 3 ? 4 : 0) : version >= 2 ? 4 : 0)
  const text = (): void => {
    const length = frame.readInt16BE(at)
    at += 2 + Math.max(0, length)
  }
  switch (key) {
    case apiKeys['list offsets']:
      // One topic, its name, how many partitions, the first one's number.
      at += 4
      text()
      return at + 4 + 4
    case apiKeys.metadata: {
      const brokers = frame.readInt32BE(at)
      at += 4
      for (let broker = 0; broker < brokers; broker++) {
        at += 4
        text()
        at += 4
        if (version >= 1) text()
      }
      if (version >= 2) text()
      // The controller, and how many topics.
      return at + 4 + 4
    }
    default:
      return at
  }
}
