/** Redis with append-only persistence, as the state store wants it: nothing evicted, a second at most between flushes to disk. */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { localFolder } from '../paths.ts'
import { freePort } from '../ports.ts'
import type { ServerPlan } from '../server-process.ts'

/** Plans a Redis with its data in `folder`, on `port` or a free one. */
export async function planRedis(folder: string, port?: number): Promise<ServerPlan> {
  const redisPort = port ?? (await freePort())
  const installed = join(localFolder, 'redis', 'redis-server')
  const settings = {
    bind: '127.0.0.1',
    port: redisPort,
    dir: folder,
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '',
    'maxmemory-policy': 'noeviction',
  }
  return {
    name: 'redis',
    ports: [redisPort],
    address: `redis://127.0.0.1:${redisPort}`,
    stopSignal: 'SIGTERM',
    async launch() {
      await mkdir(folder, { recursive: true })
      return {
        command: existsSync(installed) ? installed : 'redis-server',
        args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]),
        cwd: folder,
      }
    },
    probe: () => ping(redisPort),
  }
}

/** Resolves on +PONG; a server that still loads its file answers -LOADING. */
function ping(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.setTimeout(1000, () => socket.destroy(new Error('no answer to PING within 1 s')))
    socket.once('error', reject)
    socket.once('data', (answer) => {
      socket.destroy()
      if (answer.toString().startsWith('+PONG')) resolve()
      else reject(new Error(`PING answers ${answer.toString().trim()}`))
    })
  })
}
