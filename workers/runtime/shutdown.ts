/**
 * How a process ends: on a signal or a fatal error it winds down in order, within a deadline, and says what failed. After an error
 * that nobody caught its memory cannot be trusted: it ends at once, as if it were killed, and stores nothing any more.
 */
import { explain, oneLine } from './errors.ts'

export interface Shutdown {
  /** Aborts as soon as the process is asked to stop; whoever fetches or waits ends by it. */
  readonly signal: AbortSignal
  /**
   * Has `release` called at the end, the newest first.
   * @param name how a person knows it, for the line that says it did not end
   * @returns forgets it again, for what ended by itself
   */
  onStop(name: string, release: () => Promise<void> | void): () => void
  /** Winds down and ends the process: exit code 0, or 1 where something failed or did not end in time. */
  stop(): void
  /** Prints the error and winds down with exit code 1; later errors are mere consequences and not printed. */
  fatal(error: unknown): void
}

interface Releaser {
  readonly name: string
  readonly release: () => Promise<void> | void
}

/** npm repeats Ctrl-C to its child, which the terminal has signalled already; a person's second press comes later. */
const REPEAT_MS = 300

/**
 * Takes over the end of the process: SIGTERM and Ctrl-C stop it, a second Ctrl-C or an error that nobody caught ends it at once.
 * @param options.deadlineMs time for all releasers together
 */
export function createShutdown(options: { readonly deadlineMs: number }): Shutdown {
  const { deadlineMs } = options
  const controller = new AbortController()
  const releasers: Releaser[] = []
  let stoppedAt: number | undefined
  let failed = false

  const stop = () => {
    if (stoppedAt !== undefined) return
    stoppedAt = performance.now()
    controller.abort()
    void windDown(releasers, deadlineMs).then((faults) => {
      if (faults.length > 0) print(`Shutting down: ${faults.join('; ')}`)
      process.exit(failed || faults.length > 0 ? 1 : 0)
    })
  }
  const fatal = (error: unknown) => {
    if (!failed) print(explain(error))
    failed = true
    stop()
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', () => {
    if (stoppedAt !== undefined && performance.now() - stoppedAt > REPEAT_MS) process.exit(130)
    stop()
  })
  process.on('uncaughtException', exitWith)
  process.on('unhandledRejection', exitWith)

  return {
    signal: controller.signal,
    onStop(name, release) {
      const releaser = { name, release }
      releasers.push(releaser)
      return () => {
        const index = releasers.indexOf(releaser)
        if (index >= 0) releasers.splice(index, 1)
      }
    },
    stop,
    fatal,
  }
}

/** Ends the process at once with one clear line and exit code 1: for errors before there is anything to wind down. */
export function exitWith(error: unknown): never {
  print(explain(error))
  process.exit(1)
}

/** Runs the releasers, newest first, and tells what failed or did not end in time. */
async function windDown(releasers: Releaser[], deadlineMs: number): Promise<string[]> {
  const faults: string[] = []
  const late = Symbol('late')
  const deadline = new Promise<typeof late>((resolve) => setTimeout(resolve, deadlineMs, late))
  for (let next = releasers.pop(); next; next = releasers.pop()) {
    const { name, release } = next
    const end = Promise.resolve()
      .then(release)
      .catch((error: unknown) => void faults.push(`${name}: ${oneLine(error)}`))
    if ((await Promise.race([end, deadline])) === late) {
      const untouched = releasers.map((releaser) => releaser.name).reverse()
      const rest = untouched.length > 0 ? `, and was to be followed by ${untouched.join(', ')}` : ''
      return [...faults, `${name} did not end within ${deadlineMs} ms${rest}`]
    }
  }
  return faults
}

function print(line: string): void {
  process.stderr.write(`${line}\n`)
}
