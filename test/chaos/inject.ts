/** Does to the running pipeline what the plan says. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { seeded, type Random } from '../../ops/local/chain/random.ts'
import type { ServerName, Stack } from '../../ops/local/stack.ts'
import type { FaultPlace } from '../../workers/runtime/test-errors.ts'
import type { ErrorFile } from './dirty/error-file.ts'
import type { RegistryDoor } from './dirty/registry-door.ts'
import type { Fleet, Replica } from './fleet.ts'
import { type Injection, type Kind, type WorkerFault } from './plan.ts'
import type { Proxy } from './proxy.ts'

export interface Targets {
  readonly fleet: Fleet
  readonly servers: Stack['servers']
  readonly proxies: Readonly<Record<ServerName, Proxy>>
  /** Of the workers' groups; a frozen worker stays so for longer. */
  readonly sessionMs: number
  readonly errors: ErrorFile
  readonly door: RegistryDoor
  /** Called while the registry answers as an empty one. */
  readonly hidden: () => Promise<void>
}

/** Beside the first one; more would only be slow. */
const mostReplicas = 2
const readyMs = 60_000
const snapshotWaitMs = 15_000
/** A process may end a little later than the errors. */
const afterMs = 5_000
/** Of the calls at each place, those that throw: as many as leave something to go on with. */
const shares: Readonly<Record<FaultPlace, number>> = { publish: 0.1, 'dead-letter': 0.5, copy: 0.3, commit: 0.2, checkpoint: 0.2, cursor: 0.5 } // prettier-ignore

export class Injector {
  readonly #targets: Targets
  readonly #random: Random

  constructor(targets: Targets, seed: number) {
    this.#targets = targets
    this.#random = seeded(`victims ${seed}`)
  }

  /**
   * @param struck called when the fault begins
   * @returns when the fault itself is over; what it struck may still recover
   */
  async inject(injection: Injection, struck: () => void): Promise<void> {
    if (injection.fault === 'restart') await this.#restart(injection.on, injection.awayMs, struck)
    else if (injection.fault === 'empty') await this.#empty(struck)
    else if (injection.fault === 'throw') await this.#throw(injection, struck)
    else if (injection.fault === 'hide') await this.#hide(injection.forMs, struck)
    else await this.#strike(injection.fault, injection.on, struck)
  }

  async #restart(name: ServerName, awayMs: number, struck: () => void): Promise<void> {
    const { servers, proxies } = this.#targets
    struck()
    await servers[name]?.kill()
    await proxies[name].close()
    await sleep(awayMs)
    await servers[name]?.restart()
    await proxies[name].open()
  }

  /** Has workers throw at a place. Where all that a process runs fails of it, the process ends. */
  async #throw({ on, sort, forMs }: Injection & { fault: 'throw' }, struck: () => void): Promise<void> {
    const { errors, fleet } = this.#targets
    if (sort === 'unknown') fleet.mayEnd(forMs + afterMs)
    struck()
    errors.write({ ...errors.content, places: { [on]: { share: shares[on], sort } } })
    await sleep(forMs)
    errors.write({ ...errors.content, places: {} })
  }

  async #hide(forMs: number, struck: () => void): Promise<void> {
    const { door, hidden } = this.#targets
    door.emptied = true
    struck()
    await Promise.all([hidden(), sleep(forMs)])
    door.emptied = false
  }

  /** Redis runs on and knows nothing any more; first a snapshot is waited for, so that there is something to go on from. */
  async #empty(struck: () => void): Promise<void> {
    const before = await this.#snapshots()
    for (let waited = 0; waited < snapshotWaitMs && (await this.#snapshots()) === before; waited += 500)
      await sleep(500)
    const redis = new Redis(this.#targets.servers.redis?.port ?? 0, '127.0.0.1')
    try {
      await redis.flushall()
    } finally {
      redis.disconnect()
    }
    struck()
  }

  /** Those that the workers have written, as far as they tell. */
  async #snapshots(): Promise<number> {
    const text = (await this.#targets.fleet.scrape()).join('\n')
    const series = text.matchAll(/^crypto_intel_snapshots_total\{.*\} (\d+)$/gm)
    return [...series].reduce((sum, [, value]) => sum + Number(value), 0)
  }

  async #strike(fault: WorkerFault, on: Kind, struck: () => void): Promise<void> {
    const { fleet, proxies, sessionMs } = this.#targets
    switch (fault) {
      case 'kill':
        fleet.kill(await this.#victim(on))
        return struck()
      case 'cut': {
        const { pid } = await this.#victim(on)
        for (const proxy of Object.values(proxies)) proxy.cut(pid)
        return struck()
      }
      case 'add':
        struck()
        if (fleet.replicas(on).length >= mostReplicas) await fleet.remove(await this.#victim(on))
        await fleet.add(on)
        return
      case 'remove':
        if (fleet.replicas(on).length < 2) await fleet.add(on)
        struck()
        return fleet.remove(await this.#victim(on))
      case 'freeze': {
        // Somebody has to take over, or there is no zombie.
        if (fleet.replicas(on).length < 2) await fleet.add(on)
        const victim = await this.#victim(on)
        fleet.freeze(victim)
        struck()
        await sleep(sessionMs + this.#random.int(1_500, 4_000))
        return fleet.thaw(victim)
      }
    }
  }

  /** A worker that runs; waits for one where all are starting. */
  async #victim(on: Kind): Promise<Replica> {
    for (let waited = 0; waited < readyMs; waited += 100) {
      const running = this.#targets.fleet.running(on)
      if (running.length > 0) return this.#random.pick(running)
      await sleep(100)
    }
    throw new Error(`no ${on} got ready within ${readyMs} ms`)
  }
}
