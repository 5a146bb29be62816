/** A TCP proxy before a server: its connections can be cut, process by process, and what a client sends can be held back. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from '../../ops/local/ports.ts'

/** What a client sends is kept back from a certain message on. */
export interface Hold {
  /** Resolves when the first byte is held back. */
  readonly reached: Promise<void>
  /** Sends on what was held back, where the server still listens to it, and what follows. */
  release(): void
  /** Loses what was held back, and ends the connection. */
  lose(): void
}

interface Holding {
  readonly word: Buffer
  readonly reached: () => void
  held: Buffer[]
  link: Link | undefined
}

interface Link {
  readonly client: Socket
  readonly server: Socket
}

export class Proxy {
  readonly port: number
  readonly #target: number
  readonly #links = new Set<Link>()
  #listener: Server | undefined
  #holding: Holding | undefined

  private constructor(port: number, target: number) {
    this.port = port
    this.#target = target
  }

  /** Listens on 127.0.0.1, on `port` or a free one, for clients of the server on the port `target`. */
  static async start(target: number, port?: number): Promise<Proxy> {
    const proxy = new Proxy(port ?? (await freePort()), target)
    await proxy.open()
    return proxy
  }

  /** An address with the port of the proxy in place of its server's. */
  before(address: string): string {
    return address.replace(`:${this.#target}`, `:${this.port}`)
  }

  /** Takes connections again after `close`. */
  async open(): Promise<void> {
    const listener = createServer((client) => this.#accept(client))
    this.#listener = listener
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject)
      listener.listen(this.port, '127.0.0.1', () => resolve())
    })
  }

  /** Refuses connections and cuts those that there are, as a server does that was killed. */
  async close(): Promise<void> {
    const listener = this.#listener
    this.#listener = undefined
    const closed = new Promise<void>((resolve) =>
      listener === undefined ? resolve() : listener.close(() => resolve()),
    )
    this.cut()
    await closed
  }

  /** Cuts the connections of a process, or all. @returns how many */
  cut(pid?: number): number {
    const ports = pid === undefined ? undefined : localPorts(pid)
    const cut = [...this.#links].filter(({ client }) => ports?.has(client.remotePort ?? -1) ?? true)
    for (const link of cut) end(link)
    return cut.length
  }

  /** Leaves the connections that there are open and passes nothing on, as a network does that loses all. @returns how many */
  silence(): number {
    for (const { client, server } of this.#links) {
      server.unpipe(client)
      client.removeAllListeners('data')
      for (const socket of [client, server]) socket.resume()
    }
    return this.#links.size
  }

  /** Holds back what a client sends, from the first packet on that contains `word`; one client at a time. */
  hold(word: string): Hold {
    const { promise, resolve } = Promise.withResolvers<void>()
    const holding: Holding = { word: Buffer.from(word), reached: resolve, held: [], link: undefined }
    this.#holding = holding
    const forget = (): void => {
      if (this.#holding === holding) this.#holding = undefined
    }
    return {
      reached: promise,
      release() {
        forget()
        for (const bytes of holding.held) holding.link?.server.write(bytes)
      },
      lose() {
        forget()
        if (holding.link !== undefined) end(holding.link)
      },
    }
  }

  #accept(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1')
    const link: Link = { client, server }
    this.#links.add(link)
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => end(link))
      socket.on('close', () => {
        this.#links.delete(link)
        end(link)
      })
    }
    server.pipe(client)
    client.on('end', () => server.end())
    client.on('data', (bytes: Buffer) => {
      if (this.#holds(link, bytes) || server.write(bytes)) return
      client.pause()
      server.once('drain', () => client.resume())
    })
  }

  #holds(link: Link, bytes: Buffer): boolean {
    const holding = this.#holding
    if (holding === undefined || (holding.link ?? link) !== link) return false
    if (holding.link === undefined && !bytes.includes(holding.word)) return false
    holding.link = link
    holding.held.push(bytes)
    holding.reached()
    return true
  }
}

function end({ client, server }: Link): void {
  client.destroy()
  server.destroy()
}

/** The local ports of a process's TCP connections (proc(5): fd links name inodes, net/tcp maps them to ports). */
function localPorts(pid: number): Set<number> {
  const inodes = new Set<string>()
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`)) ?? []
      if (inode !== undefined) inodes.add(inode)
    }
  } catch {
    return new Set()
  }
  const lines = ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8').split('\n').slice(1),
  )
  const ports = lines.flatMap((line) => {
    const fields = line.trim().split(/\s+/)
    const port = Number.parseInt(fields[1]?.split(':')[1] ?? '', 16)
    return inodes.has(fields[9] ?? '') ? [port] : []
  })
  return new Set(ports)
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
