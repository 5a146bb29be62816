/** A JSON-RPC server over HTTP that serves blocks from memory, and can be made to lag, lie and fail as nodes do. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { WholeBlock } from '../../../connectors/evm/rpc-types.ts'

const Call = z.object({ id: z.number(), method: z.string(), params: z.array(z.unknown()) })
type Call = z.output<typeof Call>

/** Thrown by `alter`, it becomes the answer's error object. */
export class RpcFault extends Error {
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export class RpcNode {
  /** What the node calls its chain, by number. */
  canonical: readonly WholeBlock[] = []
  chainId = 1
  syncing = false
  delayMs = 0
  /** Number that `finalized` stands for; null is answered without one. */
  finalTag: number | undefined
  /** Changes a result, or throws an RpcFault. */
  alter: (call: Call, result: unknown) => unknown = (_call, result) => result
  /** HTTP status of the next requests, with headers; undefined answers as it should. */
  refuse: () => { readonly status: number; readonly headers?: Record<string, string> } | undefined = () => undefined
  readonly calls: string[] = []
  requests = 0
  readonly #byHash = new Map<string, WholeBlock>()
  /** With a path as providers have it, which must show nowhere. */
  readonly url: string
  readonly #server: Server

  private constructor(server: Server, port: number) {
    this.#server = server
    this.url = `http://127.0.0.1:${port}/key/secret`
  }

  static async start(blocks: readonly WholeBlock[]): Promise<RpcNode> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const node = new RpcNode(server, typeof address === 'object' ? (address?.port ?? 0) : 0)
    node.hold(blocks)
    server.on('request', (request, response) => {
      node.#answer(request, response).catch(() => response.destroy())
    })
    return node
  }

  /** Makes the blocks the canonical chain; what it held before it still knows by hash. */
  hold(blocks: readonly WholeBlock[]): void {
    this.canonical = blocks
    for (const whole of blocks) this.#byHash.set(whole.block.hash, whole)
  }

  /** A second time does nothing. */
  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests += 1
    const body = await json(request)
    if (this.delayMs > 0) await sleep(this.delayMs)
    const refusal = this.refuse()
    if (refusal !== undefined) {
      response.writeHead(refusal.status, refusal.headers).end()
      return
    }
    const calls = z.array(Call).safeParse(body)
    const answer = calls.success ? calls.data.map((call) => this.#call(call)) : this.#call(Call.parse(body))
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  }

  #call(call: Call): object {
    this.calls.push(call.method)
    try {
      return { jsonrpc: '2.0', id: call.id, result: this.alter(call, this.#result(call)) ?? null }
    } catch (error) {
      if (!(error instanceof RpcFault)) throw error
      return { jsonrpc: '2.0', id: call.id, error: { code: error.code, message: error.message } }
    }
  }

  #result({ method, params: [first, full] }: Call): unknown {
    switch (method) {
      case 'eth_chainId':
        return `0x${this.chainId.toString(16)}`
      case 'eth_syncing':
        return this.syncing
      case 'eth_getBlockByHash':
        return blockAnswer(this.#byHash.get(String(first)), full)
      case 'eth_getBlockByNumber':
        return blockAnswer(this.#numbered(String(first)), full)
      case 'eth_getBlockReceipts':
        return this.#byHash.get(String(first))?.receipts
      case 'eth_getTransactionReceipt':
        return this.canonical
          .flatMap(({ receipts }) => receipts)
          .findLast(({ transactionHash }) => transactionHash === first)
      default:
        throw new RpcFault(-32601, 'the method does not exist')
    }
  }

  #numbered(tag: string): WholeBlock | undefined {
    if (tag === 'latest') return this.canonical.at(-1)
    const number = tag === 'finalized' ? this.finalTag : Number(tag)
    return this.canonical.find(({ block }) => Number(block.number) === number)
  }
}

function blockAnswer(whole: WholeBlock | undefined, full: unknown): object | undefined {
  if (whole === undefined || full === true) return whole?.block
  return { ...whole.block, transactions: whole.block.transactions.map(({ hash }) => hash) }
}
