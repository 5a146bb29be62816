/** A process that runs inputs, watched from outside: an endless loop, a crash and a lack of memory are told with their inputs. */
import { fork, type ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Answer, Request, Setup } from './protocol.ts'

/** Why a process ended, and the inputs that it was at. */
export class Died extends Error {
  readonly what: 'stalled' | 'ended the process' | 'took memory'
  readonly among: readonly number[]

  constructor(what: Died['what'], detail: string, among: readonly number[]) {
    super(detail)
    this.what = what
    this.among = among
  }
}

const lookMs = 100
/** Times the CPU time of a task that a step of a run may take. */
const patience = 3
const mostRssBytes = 2 * 1_024 ** 3
const heapMebibytes = 1_024
/** Of the error output, which a reader wants to see the end of. */
const toldCharacters = 2_000

export class Watched {
  readonly #child: ChildProcess
  readonly #setup: Setup
  #errors = ''
  #reason: Died['what'] | undefined
  #answer: { resolve(answer: Answer): void; reject(error: Error): void } | undefined
  #step = ''
  #cpuMs = 0

  constructor(setup: Setup) {
    this.#setup = setup
    this.#child = fork(fileURLToPath(new URL('child.ts', import.meta.url)), {
      execArgv: ['--expose-gc', `--max-old-space-size=${heapMebibytes}`, '--disable-warning=ExperimentalWarning'],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-toldCharacters)
    })
    this.#child.on('message', (answer: Answer) => this.#answer?.resolve(answer))
    const watch = setInterval(() => this.#look(), lookMs)
    // Its error output has been read to the end.
    this.#child.once('close', (code, signal) => {
      clearInterval(watch)
      this.#answer?.reject(this.#death(code, signal))
    })
  }

  static async start(setup: Setup): Promise<Watched> {
    const watched = new Watched(setup)
    await watched.ask({ op: 'setup', setup })
    return watched
  }

  /** @throws Died */
  async ask(request: Request): Promise<Answer> {
    this.#step = ''
    writeFileSync(this.#setup.progressFile, '')
    try {
      return await new Promise<Answer>((resolve, reject) => {
        this.#answer = { resolve, reject }
        if (this.#child.exitCode !== null || this.#child.signalCode !== null)
          reject(this.#death(this.#child.exitCode, this.#child.signalCode))
        else this.#child.send(request)
      })
    } finally {
      this.#answer = undefined
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }

  #look(): void {
    const { pid } = this.#child
    if (this.#answer === undefined || pid === undefined) return
    const [cpuMs, rss] = usageOf(pid)
    const step = this.#progress()
    if (step !== this.#step) [this.#step, this.#cpuMs] = [step, cpuMs]
    if (step === '') return
    if (rss > mostRssBytes) this.#end('took memory')
    else if (cpuMs - this.#cpuMs > patience * this.#setup.bounds.stallMs) this.#end('stalled')
  }

  #end(reason: Died['what']): void {
    this.#reason ??= reason
    this.#child.kill('SIGKILL')
  }

  #progress(): string {
    return readFileSync(this.#setup.progressFile, 'utf8').split('\n', 1)[0] ?? ''
  }

  #death(code: number | null, signal: string | null): Died {
    const [, numbers = ''] = this.#progress().split(' ')
    const among = numbers === '' ? [] : numbers.split(',').map(Number)
    const limit = `${patience * this.#setup.bounds.stallMs} ms of CPU time`
    switch (this.#reason) {
      case 'stalled':
        return new Died('stalled', `a step of the run took more than ${limit}`, among)
      case 'took memory':
        return new Died('took memory', `the process took more than ${mostRssBytes / 1_024 ** 2} MiB`, among)
      default:
        if (/heap out of memory/.test(this.#errors)) return new Died('took memory', 'the heap is full', among)
        return new Died('ended the process', `${errorIn(this.#errors)} (${code ?? signal})`, among)
    }
  }
}

/** The line of an uncaught error that says what it was. */
const errorIn = (text: string): string =>
  text.split('\n').find((line) => /^\w*(Error|Exception)\b/.test(line)) ?? text.trim().slice(-200)

const [ticksPerSecond, pageBytes] = [100, 4_096]

/** CPU time in milliseconds and resident memory of a process, as Linux tells them; elsewhere nothing. */
function usageOf(pid: number): [cpuMs: number, rss: number] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Its name stands in brackets and may hold anything.
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number)
    const [user = 0, system = 0, rss = 0] = [fields[11], fields[12], fields[21]]
    return [((user + system) * 1_000) / ticksPerSecond, rss * pageBytes]
  } catch {
    return [0, 0]
  }
}
