/**
 * The thread host: one per process, for all its processors. Each thread is a pool of one, so that a slot always meets the
 * same thread and its order and memory hold; a small semaphore bounds what is on its way to a thread.
 */
import { Piscina } from 'piscina'
import type { ThreadRequest, RunAnswer, RunRequest } from './thread.ts'
import type { Change } from './state/engine.ts'

/** Tasks on their way to one thread: one that runs and one that waits. */
const tasksInFlight = 2

interface Lane {
  readonly pool: Piscina
  free: number
  readonly waiting: (() => void)[]
}

export class Threads {
  readonly #lanes: Lane[]
  #next = 0
  readonly #home = new Map<string, Lane>()

  /** @param onError told when a thread dies or cannot be loaded */
  constructor(count: number, onError: (error: Error) => void) {
    const filename = new URL('thread.ts', import.meta.url).href
    this.#lanes = Array.from({ length: count }, () => {
      const pool = new Piscina({
        filename,
        minThreads: 1,
        maxThreads: 1,
        idleTimeout: Number.MAX_SAFE_INTEGER,
        atomics: 'async',
      })
      pool.on('error', onError)
      return { pool, free: tasksInFlight, waiting: [] }
    })
  }

  /** Makes a slot live in a thread: the next in turn, and the same until it is closed. */
  async open(request: Extract<ThreadRequest, { op: 'open' }>): Promise<void> {
    await this.#laneOf(request.slot).pool.run(request)
  }

  /** Runs a task; waits where the thread already has enough before it. */
  async run(request: RunRequest): Promise<RunAnswer> {
    const lane = this.#laneOf(request.slot)
    await acquire(lane)
    try {
      const answer: RunAnswer = await lane.pool.run(request, { transferList: [request.task] })
      return answer
    } finally {
      release(lane)
    }
  }

  /** @returns what has changed in the slot since the last call. */
  async changes(slot: string): Promise<readonly Change[]> {
    const changes: readonly Change[] = await this.#laneOf(slot).pool.run({ op: 'changes', slot })
    return changes
  }

  /** Forgets a slot; tasks that were sent before still run. */
  async close(slot: string): Promise<void> {
    const { pool } = this.#laneOf(slot)
    this.#home.delete(slot)
    await pool.run({ op: 'close', slot }).catch(() => {})
  }

  async destroy(): Promise<void> {
    await Promise.all(this.#lanes.map(({ pool }) => pool.destroy()))
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

async function acquire(lane: Lane): Promise<void> {
  if (lane.free > 0) {
    lane.free--
    return
  }
  await new Promise<void>((resolve) => lane.waiting.push(resolve))
}

function release(lane: Lane): void {
  const next = lane.waiting.shift()
  if (next === undefined) lane.free++
  else next()
}
