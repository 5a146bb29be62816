/** Sends hostile requests to a worker's HTTP server, good ones among them, and looks at what comes back. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Exchange } from './http-exchange.ts'
import { latin1, requestOf, type HttpInput } from './http-input.ts'
import type { Finding, Progress, Running } from './kind.ts'
import { host, startServer, type RunningServer } from './system/server.ts'

/** Connections at once. */
const lanes = 12
const recent = 3 * lanes
const probeMs = 20
/** Good requests that are answered meanwhile before a connection counts as forgotten: time says nothing on a busy machine. */
const patience = 200
const goodPaths = ['/livez', '/readyz', '/livez', '/metrics'] as const

export class HttpRun implements Running<HttpInput> {
  readonly #server: RunningServer
  /** What good requests get where no hostile one has been. */
  readonly #expected = new Map<string, string>()

  private constructor(server: RunningServer) {
    this.#server = server
  }

  static async start(): Promise<HttpRun> {
    const run = new HttpRun(await startServer())
    for (const path of goodPaths) run.#expected.set(path, await run.#good(path))
    return run
  }

  async run(inputs: readonly HttpInput[], progress: Progress): Promise<Finding[]> {
    const findings: Finding[] = []
    const open = new Map<number, Exchange>()
    const begun: number[] = []
    const find = (what: string, detail: string, among: readonly number[]): void =>
      void findings.push({ what, where: 'server', detail, among })
    let next = 0
    const lane = async (): Promise<void> => {
      for (let index = next++; index < inputs.length; index = next++) {
        const input = inputs[index]
        if (input === undefined) return
        const exchange = new Exchange(this.#server.port, host, requestOf(input))
        open.set(index, exchange)
        begun.push(index)
        // A connection that the client has ended may be what the server stumbles over next.
        progress([...new Set([...open.keys(), ...begun.slice(-recent)])])
        if (exchange.stays) continue
        const wrong = await exchange.ended
        if (wrong !== undefined) find('an answer that is none', wrong, [index])
        open.delete(index)
      }
    }
    const ending = new AbortController()
    const probing = this.#probe(open, find, ending.signal)
    await Promise.all(Array.from({ length: lanes }, lane))
    // Each run ends with a good request, after what it leaves open has had time to do harm.
    await this.#try(0, open, find)
    ending.abort()
    await probing
    for (const exchange of open.values()) exchange.destroy()
    return findings
  }

  stop(): Promise<void> {
    return this.#server.stop()
  }

  /** Sends good requests beside the hostile ones. */
  async #probe(open: ReadonlyMap<number, Exchange>, find: Find, signal: AbortSignal): Promise<void> {
    for (let turn = 0; !signal.aborted; turn++) {
      await this.#try(turn, open, find)
      await sleep(probeMs, undefined, { signal }).catch(() => {})
    }
  }

  async #try(turn: number, open: ReadonlyMap<number, Exchange>, find: Find): Promise<void> {
    const path = goodPaths[turn % goodPaths.length] ?? '/livez'
    const answer = await this.#good(path)
    if (answer !== this.#expected.get(path)) find('a good request is answered otherwise', `${path}: ${answer}`, [...open.keys()]) // prettier-ignore
    for (const exchange of open.values()) {
      if (exchange.waited === undefined || exchange.stays) continue
      exchange.waited++
      if (exchange.waited > patience) exchange.destroy('neither an answer nor the end of the connection')
    }
  }

  /** @returns the status and what does not change of the body */
  async #good(path: string): Promise<string> {
    const request = latin1(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    const exchange = new Exchange(this.#server.port, host, [['write 0', request]])
    const wrong = await exchange.ended
    const [head = '', body = ''] = exchange.answer.split(/\r\n\r\n([^]*)/)
    return wrong ?? `${head.split('\r\n', 1)[0]} ${path === '/metrics' ? String(/^# HELP \w+/m.test(body)) : body}`
  }
}

type Find = (what: string, detail: string, among: readonly number[]) => void
