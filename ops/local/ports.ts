/** Free ports on 127.0.0.1 for servers that must come back on the same port after a crash. */
import { createServer } from 'node:net'

/**
 * Below the ports that the kernel gives to outgoing connections (32768 and up on Linux): one of those could take the port of a
 * server while it is restarted.
 */
const range = { first: 15_000, count: 15_000 }
const given = new Set<number>()

/** A port that nothing listens on and that this process has not given before. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = range.first + Math.floor(Math.random() * range.count)
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
  throw new Error(`no free port on 127.0.0.1 between ${range.first} and ${range.first + range.count}`)
}

/** @throws one line when something listens on the port already. */
export async function assertPortFree(port: number, name: string): Promise<void> {
  if (!(await isFree(port))) {
    throw new Error(
      `${name} cannot start: port ${port} on 127.0.0.1 is taken; stop what listens there or give another port`,
    )
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
