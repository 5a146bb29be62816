/** The real servers for a test: where they are, a database of its own, names of its own, and waiting for an outcome. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { inject } from 'vitest'
import type { StackEnvironment } from '../../ops/local/stack.ts'

export type Servers = {
  readonly brokers: string
  readonly registryUrl: string
  readonly databaseUrl: string
  readonly redisUrl: string
}

export type FreshDatabase = {
  readonly url: string
  /** Deletes the database. Throws when a connection to it is still open: somebody leaked a pool. */
  drop(): Promise<void>
}

/** The servers of this run; the first call starts them, which takes seconds: call it in `beforeAll`. */
export async function servers(): Promise<Servers> {
  const response = await fetch(inject('stackUrl'))
  const answer = await response.text()
  if (!response.ok) throw new Error(`the servers for the tests did not start: ${answer}`)
  const env: StackEnvironment = JSON.parse(answer)
  return {
    brokers: env.KAFKA_BROKERS,
    registryUrl: env.SCHEMA_REGISTRY_URL,
    databaseUrl: env.DATABASE_URL,
    redisUrl: env.REDIS_URL,
  }
}

const [shortestRestMs, longestRestMs] = [50, 1_000]

/** An empty database for one test file. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const { databaseUrl } = await servers()
  const name = freshPrefix().replaceAll('-', '_') + 'db'
  await query(databaseUrl, `CREATE DATABASE ${name}`)
  const url = new URL(databaseUrl)
  url.pathname = name
  return {
    url: url.href,
    async drop() {
      const open = `SELECT 1 FROM pg_stat_activity WHERE datname = '${name}' AND backend_type = 'client backend'`
      try {
        // A closed connection's backend ends a moment later; one that was leaked never does.
        await eventually(async () => assert.equal((await query(databaseUrl, open)).rowCount, 0))
      } catch (cause) {
        throw new Error(`a connection to the database ${name} was left open`, { cause })
      } finally {
        await query(databaseUrl, `DROP DATABASE ${name} WITH (FORCE)`)
      }
    },
  }
}

/** The beginning of names that no other test uses: of topics, consumer groups, subjects and Redis keys. Ends with a dash. */
export function freshPrefix(): string {
  return `t${randomBytes(5).toString('hex')}-`
}

/**
 * Calls `attempt` until it returns without throwing, and gives its result. It rests for as long as an attempt takes: what is
 * waited for has to come on meanwhile.
 * @throws the last error, when `timeoutMs` have passed: by default shortly before a test's own time-out, which would say less
 */
export async function eventually<T>(attempt: () => T | Promise<T>, { timeoutMs = 25_000 } = {}): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const began = performance.now()
    try {
      return await attempt()
    } catch (error) {
      const now = performance.now()
      if (now > deadline) throw error
      await sleep(Math.min(Math.max(shortestRestMs, now - began), longestRestMs))
    }
  }
}

async function query(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await client.query(sql)
  } finally {
    await client.end()
  }
}
