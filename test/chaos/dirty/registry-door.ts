/** An HTTP proxy before the schema registry, which can answer as a registry does that holds nothing. */
import { createServer, request, type Server } from 'node:http'
import { freePort } from '../../../ops/local/ports.ts'

export class RegistryDoor {
  /** Of the door itself, for the workers. */
  readonly url: string
  /** Whether it answers as if the registry held nothing. */
  emptied = false
  readonly #server: Server

  private constructor(url: string, server: Server) {
    this.url = url
    this.#server = server
  }

  /** @param target URL of the registry */
  static async open(target: string): Promise<RegistryDoor> {
    const port = await freePort()
    const server = createServer((incoming, outgoing) => {
      if (door.emptied)
        return outgoing.writeHead(404, { 'content-type': 'application/json' }).end('{"error_code":40403}')
      const { url = '/', method = 'GET', headers } = incoming
      const forward = request(target.replace(/\/$/, '') + url, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(outgoing)
      })
      // As a server that was killed: the client sees its connection end.
      forward.on('error', () => outgoing.destroy())
      incoming.pipe(forward)
    })
    const door = new RegistryDoor(`http://127.0.0.1:${port}`, server)
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    return door
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

/**
 * Registers a topic's schema once more, with another word of documentation.
 * @param url of the registry itself
 * @returns its id
 */
export async function registerNewer(url: string, subject: string, schema: string, doc: string): Promise<number> {
  const newer: object = { ...JSON.parse(schema), doc }
  const answer = await fetch(`${url.replace(/\/$/, '')}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ schema: JSON.stringify(newer), schemaType: 'AVRO' }),
  })
  const body: unknown = await answer.json()
  if (typeof body === 'object' && body !== null && 'id' in body) return Number(body.id)
  throw new Error(`the registry does not take a newer version of ${subject}: ${JSON.stringify(body)}`)
}
