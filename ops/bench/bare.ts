/** Starts bare-line.ts, the process that ours are compared with, and asks what it uses. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { loadConfig } from '../../workers/runtime/config.ts'
import { createKafka } from '../../workers/runtime/kafka/client.ts'
import { makeTopics } from '../../workers/runtime/kafka/make-topics.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { lineTopics } from './names.ts'

export interface Usage {
  readonly cpuSeconds: number
  /** Resident memory. */
  readonly bytes: number
}

export interface BareLine {
  usage(): Promise<Usage>
  stop(): Promise<void>
}

/** Creates what the bare line reads and writes. */
export async function prepareBareLine(env: Readonly<Record<string, string>>): Promise<void> {
  const config = loadConfig(env)
  const admin = createKafka(config, createLogger(config, 'bench')).admin()
  await admin.connect()
  await makeTopics(admin, lineTopics.map((topic) => ({ topic, numPartitions: 1 }))) // prettier-ignore
  await admin.disconnect()
  const client = new pg.Client({ connectionString: config.databaseUrl })
  await client.connect()
  for (const table of ['bench_rows', 'bench_outbox_rows'])
    await client.query(`CREATE TABLE IF NOT EXISTS ${table} (received_at timestamptz NOT NULL, trade jsonb NOT NULL)`)
  await client.end()
}

/** @param url of the exchange's streams; without it the process only waits */
export async function startBareLine(env: Readonly<Record<string, string>>, url?: string): Promise<BareLine> {
  const file = fileURLToPath(new URL('bare-line.ts', import.meta.url))
  const child = fork(file, url === undefined ? [] : [url], {
    env: { ...process.env, ...env },
    execArgv: ['--disable-warning=TimeoutNegativeWarning'],
  })
  const ended = once(child, 'exit')
  await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => Promise.reject(new Error(`bare-line.ts ended (${String(code)})`))),
  ])
  return {
    async usage() {
      const answered = once(child, 'message')
      child.send('usage')
      const [usage]: Usage[] = await answered
      if (usage === undefined) throw new Error('bare-line.ts says nothing')
      return usage
    },
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
