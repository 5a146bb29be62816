/**
 * One thread of the thread host: a pool of one, so that its slots always meet the same thread. A record that kills its thread
 * (out of memory, no end in sight, process.exit) does not end the process: the thread is replaced, its slots are told
 * to open again, and the slot whose task ran is told at which record. Whatever else kills a thread is fatal to those who waited for
 * it: a file that does not load, or a state that does not fit, would kill its successor too.
 */
import { Piscina } from 'piscina'
import { FatalError, RetryableError } from './errors.ts'
import type { ChangesRequest, CloseRequest, OpenRequest, RunAnswer, ThreadTask, ThreadWatch } from './thread.ts'
import type { Change } from './state/engine.ts'
import { threadTimeMs } from './thread-time.ts'

export interface LaneOptions {
  /** Memory of the thread's older objects in MiB; undefined: what Node gives it. */
  readonly memoryMb?: number | undefined
  /** Processor time on one record after which the thread is ended, in milliseconds. */
  readonly recordTimeoutMs?: number
  /** Told of a death that nothing waits for. */
  readonly onError: (error: Error) => void
}

/** The slot's thread is gone, and with it the slot's memory: it must be opened again. */
export class ThreadDied extends RetryableError {
  /** The record that ran when the thread died, where it was one of this call's task. */
  readonly offset: number | undefined
  /** Whether it is a removal or a mark, which cannot be left out. */
  readonly required: boolean

  constructor(slot: string, offset: number | undefined, cause: unknown, required = false) {
    const where = offset === undefined ? 'beside another slot' : `at offset ${offset}`
    super('thread-died', `the thread of ${slot} died ${where}`, { cause })
    this.offset = offset
    this.required = required
  }
}

/** Tasks on their way to one thread: one that runs and one that waits. */
const tasksInFlight = 2
const usualRecordTimeoutMs = 10_000
/** How often a thread is looked at within the time that a record may take. */
const looks = 4
const none = -1

/** A thread from its start to its death. */
interface Life {
  readonly pool: Piscina
  /** Shared with the thread, and there when it is gone: the number of the task and the offset that it is at. */
  readonly watch: ThreadWatch
  readonly slots: Set<string>
  dead: boolean
  /** Why we ended it. */
  reason: Error | undefined
}

export class Lane {
  readonly #options: LaneOptions
  readonly #waiting: (() => void)[] = []
  readonly #watchdog: NodeJS.Timeout
  readonly #recordTimeoutMs: number
  #free = tasksInFlight
  #life: Life
  #tasks = 0
  #closing = false
  /** The task and record that the thread was seen at, and the thread's processor time then. */
  #seen = { task: none, offset: none, timeMs: 0 }

  constructor(options: LaneOptions) {
    this.#options = options
    this.#recordTimeoutMs = options.recordTimeoutMs ?? usualRecordTimeoutMs
    this.#life = this.#begin()
    this.#watchdog = setInterval(() => this.#look(), Math.ceil(this.#recordTimeoutMs / looks)).unref()
  }

  /** @throws FatalError where the thread dies of it, and whatever opening throws there */
  async open(request: OpenRequest): Promise<void> {
    const life = this.#life
    await this.#alive(life, request.slot, none, life.pool.run(request))
    life.slots.add(request.slot)
  }

  /** Runs a task; waits where enough are before it. @throws ThreadDied where the slot must be opened again */
  async run(request: ThreadTask): Promise<RunAnswer> {
    await this.#acquire()
    try {
      const life = this.#lifeOf(request.slot)
      const number = ++this.#tasks
      const call: Promise<RunAnswer> = life.pool.run({ ...request, number }, { transferList: [request.task] })
      return await this.#alive(life, request.slot, number, call)
    } finally {
      this.#release()
    }
  }

  /** @throws ThreadDied where the slot must be opened again */
  async changes(request: ChangesRequest): Promise<readonly Change[]> {
    const life = this.#lifeOf(request.slot)
    const call: Promise<readonly Change[]> = life.pool.run(request)
    return this.#alive(life, request.slot, none, call)
  }

  async close(request: CloseRequest): Promise<void> {
    const { pool, slots } = this.#life
    if (slots.delete(request.slot)) await pool.run(request).catch(() => {})
  }

  async destroy(): Promise<void> {
    this.#closing = true
    clearInterval(this.#watchdog)
    await this.#life.pool.destroy()
  }

  #begin(): Life {
    const watch: ThreadWatch = new Float64Array(new SharedArrayBuffer(32)).fill(none)
    const { memoryMb, onError } = this.#options
    const pool = new Piscina({
      filename: new URL('thread.ts', import.meta.url).href,
      minThreads: 1,
      maxThreads: 1,
      idleTimeout: Number.MAX_SAFE_INTEGER,
      atomics: 'async',
      workerData: watch,
      ...(memoryMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: memoryMb } }),
    })
    const life: Life = { pool, watch, slots: new Set(), dead: false, reason: undefined }
    pool.on('error', onError)
    pool.on('workerDestroy', () => this.#ended(life))
    return life
  }

  /** Called before those who wait for the thread hear of its death. */
  #ended(life: Life): void {
    if (this.#closing || life.dead) return
    life.dead = true
    this.#life = this.#begin()
    // The pool would start a thread of its own for the tasks that wait, whose slots do not live there.
    queueMicrotask(() => void life.pool.destroy().catch(() => {}))
  }

  async #alive<T>(life: Life, slot: string, number: number, call: Promise<T>): Promise<T> {
    try {
      return await call
    } catch (error) {
      if (!life.dead) throw error
      const offset = offsetOf(life)
      if (offset === undefined) {
        const hint = 'where memory ran out, set THREAD_MEMORY_MB'
        throw new FatalError('state', `the thread of ${slot} died, and not of a record`, { cause: error, hint })
      }
      const own = life.watch[0] === number
      throw new ThreadDied(slot, own ? offset : undefined, life.reason ?? error, own && life.watch[2] === 1)
    }
  }

  #lifeOf(slot: string): Life {
    if (!this.#life.slots.has(slot)) throw new ThreadDied(slot, undefined, undefined)
    return this.#life
  }

  /** Ends the thread when it has worked on the same record for too long. */
  #look(): void {
    const life = this.#life
    const [task = none, offset = none, , thread = NaN] = life.watch
    if (offset === none) return
    const timeMs = threadTimeMs(thread)
    if (task !== this.#seen.task || offset !== this.#seen.offset) this.#seen = { task, offset, timeMs }
    else if (timeMs - this.#seen.timeMs >= this.#recordTimeoutMs) {
      life.reason = new Error(`one record took more than ${this.#recordTimeoutMs} ms of processor time`)
      this.#ended(life)
    }
  }

  async #acquire(): Promise<void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #release(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}

/** @returns the record that the thread is at or died at, if any. */
function offsetOf({ watch }: Life): number | undefined {
  const [, offset = none] = watch
  return offset === none ? undefined : offset
}
