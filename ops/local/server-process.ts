/** One server as a child process: started, probed until it answers, stopped, killed, restarted, and never left behind. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { assertPortFree } from './ports.ts'
import { writeMark } from './process-mark.ts'

/** What to run. Written anew at each start, so that folders can be prepared and old locks removed. */
export type Launch = {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv
  /** The user to run as, where the server refuses to be root. */
  readonly user?: { readonly uid: number; readonly gid: number }
  /** Runs when the process has ended; `inOrder` where no signal cut it off, `how` as `exit code 0` or `SIGKILL`. */
  readonly afterExit?: (inOrder: boolean, how: string) => void
}

/** A server that can be started: made by one file of `servers/` each. */
export type ServerPlan = {
  readonly name: string
  /** Every port it listens on; the first is the one that clients use. */
  readonly ports: readonly [number, ...number[]]
  /** What clients put into their environment. */
  readonly address: string
  /** The signal of an orderly stop. */
  readonly stopSignal: NodeJS.Signals
  launch(): Promise<Launch>
  /** Resolves when a client gets an answer, throws while it does not. */
  probe(): Promise<void>
}

/** Where a server writes what it says, and where its pid is noted while it runs. */
export type ServerFiles = { readonly log: string; readonly pid: string }

export type ServerHandle = {
  readonly name: string
  /** The server's own process, no wrapper. Changes with `restart()`. */
  readonly pid: number
  readonly port: number
  readonly logFile: string
  /** Ends it in order (`signal` if not the server's usual one) and waits; SIGKILL after 20 s. Nothing if it does not run. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>
  /** Stops it where it still runs, starts it on the same ports and data, and waits until it answers. */
  restart(): Promise<void>
}

/**
 * Runs beside each server, as no child of it: when the pipe on descriptor 3 closes without a word, the process that started the
 * server is gone, in whatever way, and the server has to go too. `exec` keeps the server's pid that of the spawned process.
 */
const withWatchdog = `
exec 3<&0 </dev/null
( ( read -r _ <&3 && exit 0
    kill -INT $$
    n=0
    while kill -0 $$ && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
    kill -KILL $$ ) >/dev/null 2>&1 & )
exec "$@" 3<&-`

const startTimeoutMs = 90_000
const stopTimeoutMs = 20_000

type Running = { readonly child: ChildProcess; readonly pid: number; readonly ended: Promise<string> }

/**
 * Starts a server and waits until it answers.
 * @throws one line, with the end of its log, when a port is taken, the server ends or does not answer within 90 s.
 */
export async function startServer(plan: ServerPlan, files: ServerFiles): Promise<ServerHandle> {
  let running = await start(plan, files, 'w')
  const end = async (signal: NodeJS.Signals) => {
    running.child.kill(signal)
    const giveUp = new AbortController()
    await Promise.race([
      running.ended,
      sleep(stopTimeoutMs, undefined, { signal: giveUp.signal }).catch(() => undefined),
    ])
    giveUp.abort()
    running.child.kill('SIGKILL')
    await running.ended
  }
  return {
    name: plan.name,
    port: plan.ports[0],
    logFile: files.log,
    get pid() {
      return running.pid
    },
    stop: (signal = plan.stopSignal) => end(signal),
    kill: () => end('SIGKILL'),
    async restart() {
      await end(plan.stopSignal)
      running = await start(plan, files, 'a')
    },
  }
}

async function start(plan: ServerPlan, files: ServerFiles, logMode: 'w' | 'a'): Promise<Running> {
  for (const port of plan.ports) await assertPortFree(port, plan.name)
  const launch = await plan.launch()
  const running = await spawnWatched(launch, files.log, logMode, plan.name)
  writeMark(files.pid, running.pid)
  let ended: string | undefined
  void running.ended.then((how) => {
    ended = how
    rmSync(files.pid, { force: true })
    launch.afterExit?.(!how.startsWith('SIG'), how)
  })
  const deadline = performance.now() + startTimeoutMs
  for (;;) {
    if (ended !== undefined) throw new Error(`${plan.name} ended at its start (${ended})${lastLines(files.log)}`)
    try {
      await plan.probe()
      return running
    } catch (cause) {
      if (performance.now() > deadline) {
        running.child.kill('SIGKILL')
        await running.ended
        throw new Error(`${plan.name} did not answer within ${startTimeoutMs / 1000} s${lastLines(files.log)}`, {
          cause,
        })
      }
      await sleep(25)
    }
  }
}

function spawnWatched(launch: Launch, logFile: string, logMode: 'w' | 'a', name: string): Promise<Running> {
  const log = openSync(logFile, logMode)
  const child = spawn('/bin/sh', ['-c', withWatchdog, name, launch.command, ...launch.args], {
    cwd: launch.cwd,
    env: launch.env ?? process.env,
    stdio: ['pipe', log, log],
    // Ctrl-C in a terminal reaches the whole foreground group: the servers end later than the workers that use them.
    detached: true,
    ...launch.user,
  })
  closeSync(log)
  const lifeline = child.stdin
  // The server may be gone before the word is said.
  lifeline?.on('error', () => undefined)
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      lifeline?.end('done\n')
      resolve(signal ?? `exit code ${code}`)
    })
  })
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new Error(`${name} cannot be started: ${cause.message}`, { cause })))
    child.once('spawn', () => {
      if (child.pid !== undefined) resolve({ child, pid: child.pid, ended })
    })
  })
}

function lastLines(logFile: string): string {
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5)
  return `; the end of ${logFile}:\n${lines.map((line) => `  ${line}`).join('\n')}`
}
