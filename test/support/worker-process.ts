/** Steps in a process of their own, as `npm start -- run` starts them; a test that ends leaves none behind. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFailed, onTestFinished } from 'vitest'
import { leanWorker } from '../../ops/local/paths.ts'
import { groupsEmpty } from './topics.ts'

const main = fileURLToPath(new URL('../../workers/main.ts', import.meta.url))
const watchFile = fileURLToPath(new URL('../../watch.example.yaml', import.meta.url))

export interface WorkerProcess {
  /** Resolves when the steps run. Rejects with what the process said where it ends before. */
  readonly up: Promise<void>
  /** Resolves when the process has ended, with its exit code and what it wrote to stderr. */
  readonly ended: Promise<{ readonly code: unknown; readonly said: string }>
  /** What its log says of units that have failed. */
  failures(): string[]
  /** @returns the text of its /metrics, once it runs */
  scrape(): Promise<string>
  /** Asks the process to stop. */
  stop(): void
  /** Kills the process where it still runs, and resolves when its groups know. */
  kill(): Promise<void>
}

/**
 * Starts steps of crypto-intel, from within a test.
 * @param steps separated by commas
 * @param lives `test`: is killed when the test ends; `file`: only where the test fails, since later ones use it
 */
export function startWorker(
  steps: string,
  env: Readonly<Record<string, string>>,
  lives: 'test' | 'file' = 'test',
): WorkerProcess {
  const child = spawn(process.execPath, [main, 'run', 'crypto-intel', '--step', steps], {
    env: { ...leanWorker, ...env, WATCH_FILE: watchFile, METRICS_PORT: '0' },
  })
  let [said, log] = ['', '']
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const running = new Promise<string>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      const [, port] = /"port":(\d+),"msg":"running"/.exec((log += chunk.toString())) ?? []
      if (port !== undefined) resolve(port)
    })
  })
  const ended = once(child, 'close').then(([code]: unknown[]) => ({ code, said }))
  const early = ended.then(() => Promise.reject(new Error(`${steps} did not start: ${said}${log}`)))
  const port = Promise.race([running, early])
  const up = port.then(() => {})
  for (const promise of [early, port, up]) promise.catch(() => {})
  const kill = async (): Promise<void> => {
    if (!child.kill('SIGKILL')) return
    await ended
    await groupsEmpty(env, steps.split(','))
  }
  if (lives === 'test') onTestFinished(kill)
  else onTestFailed(kill)
  const scrape = async (): Promise<string> => (await fetch(`http://127.0.0.1:${await port}/metrics`)).text()
  const failures = (): string[] => failuresIn(log)
  return { up, ended, failures, scrape, stop: () => void child.kill('SIGTERM'), kill }
}

/** The errors of the lines that say that a unit has failed; the last line may not be whole yet. */
function failuresIn(log: string): string[] {
  return log.split('\n').flatMap((line) => {
    if (!line.endsWith('}')) return []
    const entry: { readonly unit?: string; readonly level?: string; readonly error?: string } = JSON.parse(line)
    return entry.unit === undefined || entry.level !== 'error' ? [] : [entry.error ?? '']
  })
}
