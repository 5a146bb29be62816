/** Runs what is measured in a process of its own, which says what it measured as one JSON line. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { leanWorker, projectFolder } from '../local/paths.ts'

/** What a measured process says of its run. */
export interface Run {
  readonly perSecond: number
  /** CPU time of the process and its threads, microseconds a record. */
  readonly cpuMicros: number
}

const longestMs = 300_000

/**
 * @param entry a file of this folder
 * @throws Error with what it wrote where it fails
 */
export async function runChild(
  entry: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  profiles?: string,
): Promise<Run> {
  const profiling = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`]
  const file = fileURLToPath(new URL(entry, import.meta.url))
  const child = spawn(process.execPath, ['--disable-warning=TimeoutNegativeWarning', ...profiling, file, ...args], {
    cwd: projectFolder,
    env: { ...leanWorker, ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: longestMs,
    killSignal: 'SIGKILL',
  })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  const line = out.split('\n').findLast((one) => one.startsWith('{"perSecond"'))
  if (line === undefined || code !== 0) throw new Error(`${entry} ${args.join(' ')} (${code}): ${out}${err}`)
  const run: Run = JSON.parse(line)
  return run
}

/** The first part of a run warms the compiler up and is not counted. */
const warmShare = 0.2

/** Measures from a fifth of the records on until all are done. */
export class Stopwatch {
  readonly #total: number
  #from: { readonly at: number; readonly count: number; readonly cpu: NodeJS.CpuUsage } | undefined

  constructor(total: number) {
    this.#total = total
  }

  /** @returns the run, once all is done */
  reached(count: number): Run | undefined {
    if (this.#from === undefined) {
      if (count >= warmShare * this.#total) this.#from = { at: performance.now(), count, cpu: process.cpuUsage() }
      return undefined
    }
    if (count < this.#total) return undefined
    const records = count - this.#from.count
    const { user, system } = process.cpuUsage(this.#from.cpu)
    return {
      perSecond: (records / (performance.now() - this.#from.at)) * 1_000,
      cpuMicros: (user + system) / records,
    }
  }
}
