/** The README's recipe for a new connector, processor and sink, followed to the letter: what comes of it works on real servers. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, freshDatabase, freshPrefix, servers, type FreshDatabase } from '../support/servers.ts'
import { copyProject, readActions, type ProjectCopy } from './recipe.ts'

const readme = new URL('../../README.md', import.meta.url)
const steps = 'fear-and-greed,detect-sentiment-swings,timescale-sentiment,timescale-patterns'
const day = 86_400
const newest = 1_754_006_400
/** As the index answers: newest first, numbers as text. */
const values = [71, 70, 52, 46, 40]
const answer = JSON.stringify({
  name: 'Fear and Greed Index',
  data: values.map((value, index) => ({
    value: String(value),
    value_classification: 'Neutral',
    timestamp: String(newest - index * day),
  })),
  metadata: { error: null },
})

describe('the recipe for a new step', () => {
  let copy: ProjectCopy
  let source: Server
  let database: FreshDatabase
  let env: Record<string, string>
  let worker: ChildProcess | undefined

  beforeAll(async () => {
    copy = copyProject()
    source = createServer((_request, response) => response.end(answer)).listen(0, '127.0.0.1')
    const [{ brokers, registryUrl, redisUrl }] = await Promise.all([servers(), once(source, 'listening')])
    database = await freshDatabase()
    const address = source.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const watchFile = join(copy.folder, 'watch.yaml')
    writeFileSync(watchFile, `sentiment: { url: 'http://127.0.0.1:${port}' }\n`)
    env = {
      KAFKA_BROKERS: brokers,
      SCHEMA_REGISTRY_URL: registryUrl,
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl,
      NAMESPACE: freshPrefix().replace(/-$/, ''),
      WATCH_FILE: watchFile,
      METRICS_HOST: '127.0.0.1',
      METRICS_PORT: '0',
      LOG_LEVEL: 'warn',
    }
  })

  afterAll(async () => {
    if (worker?.exitCode === null && worker.kill('SIGTERM')) await once(worker, 'exit')
    source?.close()
    await database?.drop()
    copy?.remove()
  })

  it('gives code that checks, and a processor whose test passes', { timeout: 120_000 }, async () => {
    const actions = readActions(readFileSync(readme, 'utf8'), 'Adding a step')
    expect(actions.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['file', 'change', 'command']))
    for (const action of actions) await copy.follow(action)
  })

  it('brings readings from the source to the tables, each once', { timeout: 120_000 }, async () => {
    await Promise.all(
      ['topics apply', 'schemas register', 'migrate'].map((command) =>
        copy.run(`node workers/main.ts ${command}`, env),
      ),
    )
    let said = ''
    worker = spawn(process.execPath, ['workers/main.ts', 'run', 'crypto-intel', '--step', steps], {
      cwd: copy.folder,
      env: { ...process.env, ...env },
    })
    worker.stdout?.on('data', (chunk) => (said += String(chunk)))
    worker.stderr?.on('data', (chunk) => (said += String(chunk)))
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    try {
      await eventually(
        async () => {
          if (worker?.exitCode !== null) throw new Error(`the worker ended: ${said}`)
          const readings = await pool.query('SELECT value FROM market_sentiment ORDER BY ts DESC')
          expect(readings.rows).toEqual(values.map((value) => ({ value })))
          const swings = await pool.query('SELECT pattern, subject, summary FROM pattern_matches')
          const summary = 'Sentiment went from 52 to 70 of 100.'
          expect(swings.rows).toEqual([{ pattern: 'sentiment-swing', subject: 'fear-and-greed', summary }])
        },
        { timeoutMs: 60_000 },
      )
    } finally {
      await pool.end()
    }
    // Warnings are of what has mended itself, such as a broker that was slow.
    expect(said.split('\n').filter((line) => line !== '' && !line.startsWith('{"level":"warn"'))).toEqual([])
  })
})
