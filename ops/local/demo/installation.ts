/** Prepares the servers for the workers: a database of its own, topics, schemas, tables; all by the project's own commands. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import pg from 'pg'
import { topics } from '../../../schemas/topics.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { createKafka, createNames } from '../../../workers/runtime/kafka/client.ts'
import { createLogger } from '../../../workers/runtime/logger.ts'
import { leanWorker, projectFolder } from '../paths.ts'
import { startStack, type Stack } from '../stack.ts'

const run = promisify(execFile)

export interface Servers {
  /** For the workers. */
  readonly env: Record<string, string>
  stop(): Promise<void>
}

/**
 * Starts the servers, or uses those of the environment under names of its own that are taken away at the end.
 */
export async function startServers(onProgress: (line: string) => void): Promise<Servers> {
  const stack = await startStack({ name: 'demo', fresh: true, onProgress })
  const shared = Object.keys(stack.servers).length < 4
  if (!shared) return { env: { ...stack.env }, stop: () => stack.stop() }
  return useShared(stack)
}

/** Servers that others use too: the demo keeps to a namespace and a database of its own, and takes both away at the end. */
async function useShared(stack: Stack): Promise<Servers> {
  const id = `demo-${randomBytes(3).toString('hex')}`
  const database = id.replace('-', '_')
  const url = new URL(stack.env.DATABASE_URL)
  const admin = async (sql: string): Promise<void> => {
    const client = new pg.Client({ connectionString: stack.env.DATABASE_URL })
    await client.connect()
    try {
      await client.query(sql)
    } finally {
      await client.end()
    }
  }
  await admin(`CREATE DATABASE ${database}`)
  url.pathname = database
  return {
    env: { ...stack.env, DATABASE_URL: url.href, NAMESPACE: id },
    async stop() {
      await admin(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`)
      await forget({ ...stack.env, NAMESPACE: id })
      await stack.stop()
    },
  }
}

/** Deletes what a namespace has left on servers that stay: groups, topics, subjects, state. */
async function forget(env: Record<string, string>): Promise<void> {
  const config = loadConfig(env)
  const names = createNames(config.namespace)
  const prefix = names.topic('')
  const kafkaAdmin = createKafka(config, createLogger({ logLevel: 'silent' }, 'demo')).admin()
  await kafkaAdmin.connect()
  try {
    const { groups } = await kafkaAdmin.listGroups()
    const ours = groups.map(({ groupId }) => groupId).filter((groupId) => groupId.startsWith(prefix))
    if (ours.length > 0) await kafkaAdmin.deleteGroups(ours)
    await kafkaAdmin.deleteTopics({ topics: (await kafkaAdmin.listTopics()).filter((name) => name.startsWith(prefix)) })
  } finally {
    await kafkaAdmin.disconnect()
  }
  const registry = config.schemaRegistryUrl.replace(/\/$/, '')
  for (const topic of Object.values(topics))
    await fetch(`${registry}/subjects/${names.subject(topic)}`, { method: 'DELETE' })
  const redis = new Redis(config.redisUrl)
  try {
    const keys = await redis.keys(`{${config.namespace}:*`)
    if (keys.length > 0) await redis.del(...keys)
  } finally {
    redis.disconnect()
  }
}

/** Creates topics, registers schemas and migrates the database, side by side. */
export async function prepare(env: NodeJS.ProcessEnv, onProgress: (line: string) => void): Promise<void> {
  const command = async (name: string, ...args: string[]): Promise<void> => {
    try {
      await run(process.execPath, [join(projectFolder, 'workers', 'main.ts'), ...args], {
        env: { ...leanWorker, ...process.env, ...env },
        cwd: projectFolder,
      })
      onProgress(`${name} ready`)
    } catch (error) {
      const said =
        typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr).trim() : String(error)
      throw new Error(`${args.join(' ')}: ${said}`, { cause: error })
    }
  }
  await Promise.all([
    command('topics', 'topics', 'apply'),
    command('schemas', 'schemas', 'register'),
    command('tables', 'migrate'),
  ])
}
