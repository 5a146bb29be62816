/** Worker processes on the test servers, under a namespace and a database of their own. */
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { openTables, type Tables } from '../../ops/local/demo/database.ts'
import { readSteps } from '../../ops/local/demo/readings.ts'
import { startWorkers, type WorkerGroup, type Workers } from '../../ops/local/demo/workers.ts'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { prepare } from './prepare.ts'
import { eventually, freshDatabase, freshPrefix, servers, type Servers } from './servers.ts'

export interface TestPipeline {
  readonly env: Readonly<Record<string, string>>
  readonly workers: Workers
  readonly tables: Tables
  /** Resolves when no step has anything before it and the numbers of rows stand still. */
  settled(timeoutMs?: number): Promise<void>
  stop(): Promise<void>
}

export interface TestPipelineOptions {
  /** Each group is one process. */
  readonly groups: readonly WorkerGroup[]
  /** The watch file's content. */
  readonly watch: object
  readonly env?: Record<string, string>
  /** Servers of the test's own; those of the run where they are not given. */
  readonly servers?: Servers
}

/** Prepares topics, schemas and tables and starts the processes. */
export async function startTestPipeline(options: TestPipelineOptions): Promise<TestPipeline> {
  const { groups, watch, env: more = {} } = options
  const { brokers, registryUrl, redisUrl, databaseUrl } = options.servers ?? (await servers())
  const database =
    options.servers === undefined ? await freshDatabase() : { url: databaseUrl, drop: () => Promise.resolve() }
  const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-'))
  const watchFile = join(folder, 'watch.yaml')
  writeFileSync(watchFile, stringify(watch))
  const namespace = freshPrefix().replace(/-$/, '')
  const env: Record<string, string> = {
    KAFKA_BROKERS: brokers,
    SCHEMA_REGISTRY_URL: registryUrl,
    DATABASE_URL: database.url,
    REDIS_URL: redisUrl,
    NAMESPACE: namespace,
    WATCH_FILE: watchFile,
    LOG_LEVEL: 'info',
    SESSION_TIMEOUT_MS: '6000',
    ...more,
  }
  await prepare(env)
  const workers = await startWorkers(cryptoIntel.name, groups, env, () => {}, namespace)
  const tables = openTables(database.url)
  const steps = groups.flatMap((group) => group.steps)
  return {
    env,
    workers,
    tables,
    async settled(timeoutMs = 60_000) {
      let [last, still] = ['', 0]
      await eventually(
        async () => {
          await new Promise((resolve) => setTimeout(resolve, 250))
          const scraped = await workers.scrape()
          if (scraped.length < groups.length) throw new Error('a process does not answer')
          const waiting = readSteps(scraped, steps).filter(({ lag }) => lag > 0)
          const now = JSON.stringify(await tables.counts())
          still = now === last && waiting.length === 0 ? still + 1 : 0
          last = now
          if (still < 8) throw new Error(`not settled: ${JSON.stringify(waiting)} ${now}`)
        },
        { timeoutMs },
      )
    },
    async stop() {
      await workers.stop()
      await tables.close()
      await database.drop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
