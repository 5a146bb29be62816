/** Does to the running pipeline what the plan says. */
import { setTimeout as sleep } from 'node:timers/promises'
import { seeded, type Random } from '../../ops/local/chain/random.ts'
import type { ServerName, Stack } from '../../ops/local/stack.ts'
import type { Fleet, Replica } from './fleet.ts'
import { type Injection, type Kind, type WorkerFault } from './plan.ts'
import type { Proxy } from './proxy.ts'

export interface Targets {
  readonly fleet: Fleet
  readonly servers: Stack['servers']
  readonly proxies: Readonly<Record<ServerName, Proxy>>
  /** Of the workers' groups; a frozen worker stays so for longer. */
  readonly sessionMs: number
}

/** Beside the first one; more would only be slow. */
const mostReplicas = 2
const readyMs = 60_000

export class Injector {
  readonly #targets: Targets
  readonly #random: Random

  constructor(targets: Targets, seed: number) {
    this.#targets = targets
    this.#random = seeded(`victims ${seed}`)
  }

  /** @returns when the fault itself is over; what it struck may still recover */
  async inject(injection: Injection): Promise<void> {
    if (injection.fault === 'restart') await this.#restart(injection.on, injection.awayMs)
    else await this.#strike(injection.fault, injection.on)
  }

  async #restart(name: ServerName, awayMs: number): Promise<void> {
    const { servers, proxies } = this.#targets
    await servers[name]?.kill()
    await proxies[name].close()
    await sleep(awayMs)
    await servers[name]?.restart()
    await proxies[name].open()
  }

  async #strike(fault: WorkerFault, on: Kind): Promise<void> {
    const { fleet, proxies, sessionMs } = this.#targets
    switch (fault) {
      case 'kill':
        return fleet.kill(await this.#victim(on))
      case 'cut': {
        const { pid } = await this.#victim(on)
        for (const proxy of Object.values(proxies)) proxy.cut(pid)
        return
      }
      case 'add':
        if (fleet.replicas(on).length >= mostReplicas) await fleet.remove(await this.#victim(on))
        await fleet.add(on)
        return
      case 'remove':
        if (fleet.replicas(on).length < 2) await fleet.add(on)
        return fleet.remove(await this.#victim(on))
      case 'freeze': {
        // Somebody has to take over, or there is no zombie.
        if (fleet.replicas(on).length < 2) await fleet.add(on)
        const victim = await this.#victim(on)
        fleet.freeze(victim)
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
