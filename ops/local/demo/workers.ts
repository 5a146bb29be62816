/** The worker processes of the demo: started, watched, started again when they end, asked for their metrics. */
import { availableParallelism } from 'node:os'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Step } from '../../../workers/runtime/definitions.ts'
import { leanWorker, localFolder, projectFolder } from '../paths.ts'
import { freePort } from '../ports.ts'
import { startServer, type ServerHandle } from '../server-process.ts'

export interface WorkerGroup {
  readonly name: string
  readonly steps: readonly string[]
}

export interface Workers {
  readonly groups: readonly WorkerGroup[]
  /** The text of /metrics of each process that answers. */
  scrape(): Promise<string[]>
  /** How often a process ended without being asked to. */
  restarts(): number
  /** Kills a group's process as a crash would; it is started again. */
  kill(group: string): Promise<void>
  stop(): Promise<void>
}

/** Cores from which on each step gets a process of its own. */
const roomyCores = 8
const restartMs = 500

/** @returns which steps share a process: connectors, processors and sinks apart at the least. */
export function groupSteps(steps: readonly Step[], perStep: boolean): WorkerGroup[] {
  if (perStep || availableParallelism() >= roomyCores) return steps.map(({ name }) => ({ name, steps: [name] }))
  const names = (choose: (step: Step) => boolean): string[] => steps.filter(choose).map(({ name }) => name)
  const groups = [
    { name: 'connectors', steps: names(({ kind }) => kind === 'connector') },
    { name: 'processors', steps: names(({ kind }) => kind === 'processor') },
    { name: 'sinks', steps: names((step) => step.kind === 'sink' && step.serve === undefined) },
    { name: 'alerts', steps: names((step) => step.kind === 'sink' && step.serve !== undefined) },
  ]
  return groups.filter((group) => group.steps.length > 0)
}

/**
 * Starts the processes side by side and waits until all are ready.
 * @param name of the folder of their logs
 * @throws one line with the end of the log where one cannot start
 */
export async function startWorkers(
  topology: string,
  groups: readonly WorkerGroup[],
  env: NodeJS.ProcessEnv,
  onProgress: (line: string) => void,
  name = 'demo',
): Promise<Workers> {
  const handles: ServerHandle[] = []
  let [stopping, restarts] = [false, 0]
  const logs = join(localFolder, 'logs', name)
  mkdirSync(logs, { recursive: true })

  const start = async ({ name, steps }: WorkerGroup): Promise<void> => {
    const port = await freePort()
    let handle: ServerHandle | undefined
    const revive = (): void => {
      if (stopping || handle === undefined) return
      restarts++
      onProgress(`${name} ended and is started again; see ${handle.logFile}`)
      setTimeout(() => {
        if (!stopping) handle?.restart().catch((error: unknown) => onProgress(String(error)))
      }, restartMs)
    }
    const plan = {
      name,
      ports: [port] as const,
      address: `http://127.0.0.1:${port}`,
      stopSignal: 'SIGTERM' as const,
      launch: async () => ({
        command: process.execPath,
        args: [join(projectFolder, 'workers', 'main.ts'), 'run', topology, '--step', steps.join(',')],
        cwd: projectFolder,
        env: { ...leanWorker, ...process.env, ...env, METRICS_PORT: String(port), METRICS_HOST: '127.0.0.1' },
        afterExit: revive,
      }),
      probe: async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/readyz`)
        if (!answer.ok) throw new Error(await answer.text())
      },
    }
    handle = await startServer(plan, { log: join(logs, `${name}.log`), pid: join(logs, `${name}.pid`) })
    handles.push(handle)
    onProgress(`${name} ready (${steps.length} steps)`)
  }

  const stop = async (): Promise<void> => {
    stopping = true
    await Promise.all(handles.map((handle) => handle.stop()))
  }
  const failed = (await Promise.allSettled(groups.map(start))).find((outcome) => outcome.status === 'rejected')
  if (failed !== undefined) {
    await stop()
    throw failed.reason
  }
  return {
    groups,
    restarts: () => restarts,
    async kill(group) {
      await handles.find((handle) => handle.name === group)?.kill()
    },
    stop,
    async scrape() {
      const texts = handles.map(async ({ port }) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text())
      return (await Promise.allSettled(texts)).flatMap((outcome) =>
        outcome.status === 'fulfilled' ? outcome.value : [],
      )
    },
  }
}
