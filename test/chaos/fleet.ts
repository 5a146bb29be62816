/** Worker processes by kind of step, several replicas of each: killed, frozen, added, removed, and started again when they end. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { leanWorker, projectFolder } from '../../ops/local/paths.ts'
import { freePort } from '../../ops/local/ports.ts'
import { startServer, type ServerHandle } from '../../ops/local/server-process.ts'
import type { WorkerGroup } from '../../ops/local/demo/workers.ts'

export interface Replica {
  readonly group: string
  readonly name: string
  readonly port: number
  /** Undefined while it starts. */
  readonly pid: number | undefined
  readonly frozen: boolean
}

interface Member {
  readonly group: string
  readonly name: string
  readonly port: number
  handle: ServerHandle | undefined
  state: 'starting' | 'running' | 'frozen' | 'killed' | 'leaving'
}

/** Processes with the same steps, and what their environment has of their own. */
export interface FleetGroup extends WorkerGroup {
  readonly env?: Readonly<Record<string, string>>
  /** The checkout that they run from; this one where it is not given. */
  readonly project?: string
}

export interface FleetOptions {
  readonly topology: string
  readonly groups: readonly FleetGroup[]
  readonly env: Readonly<Record<string, string>>
  /** Where their logs go. */
  readonly folder: string
}

const restartMs = 500

export class Fleet {
  readonly groups: readonly FleetGroup[]
  /** Processes that ended without having been asked to, or in disorder. */
  readonly faults: string[] = []
  /** Processes that ended by themselves when they were expected to. */
  readonly expectedEnds: string[] = []
  readonly #options: FleetOptions
  readonly #members = new Set<Member>()
  #made = 0
  #mayEndUntil = -Infinity
  #stopping = false

  constructor(options: FleetOptions) {
    this.groups = options.groups
    this.#options = options
    mkdirSync(options.folder, { recursive: true })
  }

  /** The replicas of a group that are not on their way out. */
  replicas(group: string): readonly Replica[] {
    return [...this.#members].filter((member) => member.group === group && member.state !== 'leaving').map(replicaOf)
  }

  /** Those that can be killed, frozen or cut now. */
  running(group: string): readonly Replica[] {
    return [...this.#members].filter((member) => member.group === group && member.state === 'running').map(replicaOf)
  }

  /** Starts another replica. @returns when it is ready */
  async add(group: string): Promise<Replica> {
    const member: Member = { group, name: `${group}-${++this.#made}`, port: await freePort(), handle: undefined, state: 'starting' } // prettier-ignore
    this.#members.add(member)
    await this.#start(member)
    return replicaOf(member)
  }

  /** Stops a replica in order, which has to end with exit code 0. */
  async remove({ name }: Replica): Promise<void> {
    const member = this.#named(name)
    member.state = 'leaving'
    await member.handle?.stop()
    this.#members.delete(member)
  }

  /** As a crash: nothing is wound down. It is started again at once. */
  kill({ name }: Replica): void {
    const member = this.#named(name)
    member.state = 'killed'
    this.#signal(member, 'SIGKILL')
  }

  /** As a crash, for good. */
  async discard({ name }: Replica): Promise<void> {
    const member = this.#named(name)
    member.state = 'killed'
    this.#members.delete(member)
    await member.handle?.kill()
  }

  freeze({ name }: Replica): void {
    const member = this.#named(name)
    member.state = 'frozen'
    this.#signal(member, 'SIGSTOP')
  }

  thaw({ name }: Replica): void {
    const member = this.#named(name)
    if (member.state !== 'frozen') return
    member.state = 'running'
    this.#signal(member, 'SIGCONT')
  }

  /** For so long a process may end by itself, as it does when all that it runs has failed. */
  mayEnd(forMs: number): void {
    this.#mayEndUntil = performance.now() + forMs
  }

  /** What a replica has logged so far. */
  log({ name }: Replica): string {
    return readFileSync(join(this.#options.folder, `${name}.log`), 'utf8')
  }

  /** What all replicas have logged, those that are gone too. */
  logs(): string[] {
    const { folder } = this.#options
    const files = readdirSync(folder).filter((name) => name.endsWith('.log'))
    return files.map((name) => readFileSync(join(folder, name), 'utf8'))
  }

  /** The text of /metrics of each process that answers. */
  async scrape(): Promise<string[]> {
    const asked = [...this.#members].filter(({ state }) => state !== 'frozen')
    const texts = asked.map(async ({ port }) => {
      const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(2_000) })
      return answer.text()
    })
    return (await Promise.allSettled(texts)).flatMap((text) => (text.status === 'fulfilled' ? text.value : []))
  }

  /** Stops all in order. */
  async stop(): Promise<void> {
    this.#stopping = true
    const ending = [...this.#members].map(async (member) => {
      if (member.state === 'frozen') this.thaw(replicaOf(member))
      if (member.state === 'running') member.state = 'leaving'
      await member.handle?.stop()
    })
    await Promise.all(ending)
    this.#members.clear()
  }

  async #start(member: Member): Promise<void> {
    while (!this.#stopping && member.state === 'starting') {
      try {
        if (member.handle === undefined) member.handle = await startServer(this.#plan(member), this.#files(member))
        else await member.handle.restart()
        member.state = 'running'
      } catch {
        // A server may be away just now: whoever supervises workers tries again.
        await sleep(restartMs)
      }
    }
  }

  #plan(member: Member): Parameters<typeof startServer>[0] {
    const { topology, env, groups } = this.#options
    const group = groups.find(({ name }) => name === member.group)
    const cwd = group?.project ?? projectFolder
    const main = join(cwd, 'workers', 'main.ts')
    const { port } = member
    return {
      name: member.name,
      ports: [port],
      address: `http://127.0.0.1:${port}`,
      stopSignal: 'SIGTERM',
      launch: async () => ({
        command: process.execPath,
        args: [main, 'run', topology, '--step', (group?.steps ?? []).join(',')],
        cwd,
        env: {
          ...leanWorker,
          ...process.env,
          ...env,
          ...group?.env,
          METRICS_PORT: String(port),
          METRICS_HOST: '127.0.0.1',
        },
        afterExit: (_inOrder, how) => this.#ended(member, how),
      }),
      async probe() {
        const answer = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2_000) })
        if (!answer.ok) throw new Error(await answer.text())
      },
    }
  }

  #files({ name }: Member): { log: string; pid: string } {
    return { log: join(this.#options.folder, `${name}.log`), pid: join(this.#options.folder, `${name}.pid`) }
  }

  #ended(member: Member, how: string): void {
    if (!this.#members.has(member)) return
    if (member.state === 'leaving') {
      if (how !== 'exit code 0') this.faults.push(`${member.name} was asked to stop and ended with ${how}`)
      return
    }
    if (member.state === 'starting') return
    const expected = how === 'exit code 1' && performance.now() < this.#mayEndUntil
    if (member.state !== 'killed') (expected ? this.expectedEnds : this.faults).push(`${member.name} ended by itself with ${how}`) // prettier-ignore
    member.state = 'starting'
    setTimeout(() => void this.#start(member), restartMs)
  }

  #named(name: string): Member {
    const member = [...this.#members].find((one) => one.name === name)
    if (member === undefined) throw new Error(`there is no replica ${name}`)
    return member
  }

  #signal({ handle }: Member, signal: NodeJS.Signals): void {
    if (handle !== undefined) process.kill(handle.pid, signal)
  }
}

const replicaOf = ({ group, name, port, handle, state }: Member): Replica => ({
  group,
  name,
  port,
  pid: handle?.pid,
  frozen: state === 'frozen',
})
