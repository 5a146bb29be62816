/**
 * The thread host: one per process, for all its processors. A slot lives in one thread from its opening to its closing, so
 * that its order and memory hold.
 */
import { Lane, type LaneOptions } from './lane.ts'
import type { OpenRequest, RunAnswer, ThreadTask } from './thread.ts'
import type { Change } from './state/engine.ts'

export class Threads {
  readonly #lanes: Lane[]
  #next = 0
  readonly #home = new Map<string, Lane>()

  /** @param onError told when a thread dies that nobody waits for; it is replaced, and its slots must be opened again */
  constructor(count: number, onError: (error: Error) => void, limits: Omit<LaneOptions, 'onError'> = {}) {
    this.#lanes = Array.from({ length: count }, () => new Lane({ ...limits, onError }))
  }

  /** Makes a slot live in a thread: the next in turn, and the same until it is closed. */
  async open(request: OpenRequest): Promise<void> {
    try {
      await this.#laneOf(request.slot).open(request)
    } catch (error) {
      this.#home.delete(request.slot)
      throw error
    }
  }

  /** Runs a task; waits where the thread already has enough before it. @throws ThreadDied where the slot must be opened again */
  async run(request: ThreadTask): Promise<RunAnswer> {
    return this.#laneOf(request.slot).run(request)
  }

  /** @returns what has changed in the slot since the last call. @throws ThreadDied where the slot must be opened again */
  async changes(slot: string): Promise<readonly Change[]> {
    return this.#laneOf(slot).changes({ op: 'changes', slot })
  }

  /** Forgets a slot; tasks that were sent before still run. */
  async close(slot: string): Promise<void> {
    const lane = this.#laneOf(slot)
    this.#home.delete(slot)
    await lane.close({ op: 'close', slot })
  }

  async destroy(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.destroy()))
  }

  #laneOf(slot: string): Lane {
    let lane = this.#home.get(slot)
    if (lane === undefined) {
      lane = this.#lanes[this.#next++ % this.#lanes.length]
      if (lane === undefined) throw new Error('a thread host needs a thread')
      this.#home.set(slot, lane)
    }
    return lane
  }
}
