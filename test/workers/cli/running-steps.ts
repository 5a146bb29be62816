/** Steps that run in a process of their own, as `npm start -- run` starts them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Env } from './harness.ts'

const main = fileURLToPath(new URL('../../../workers/main.ts', import.meta.url))
const watchFile = fileURLToPath(new URL('../../../watch.example.yaml', import.meta.url))

export interface RunningSteps {
  /** Asks the process to stop. @returns its exit code */
  stop(): Promise<unknown>
  kill(): void
}

/** Starts steps of crypto-intel and waits until they run. */
export async function startSteps(steps: string, env: Env): Promise<RunningSteps> {
  const child = spawn(process.execPath, [main, 'run', 'crypto-intel', '--step', steps], {
    env: { ...env, WATCH_FILE: watchFile, METRICS_PORT: '0', METRICS_HOST: '127.0.0.1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  let said = ''
  const up = new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('"msg":"running"')) resolve()
    })
    child.once('exit', () => reject(new Error(`the steps did not start: ${said}`)))
  })
  await up
  return {
    async stop() {
      child.kill('SIGTERM')
      const [code]: unknown[] = await ended
      return code
    },
    kill: () => void child.kill('SIGKILL'),
  }
}
