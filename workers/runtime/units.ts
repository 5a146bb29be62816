/**
 * What fails alone: a partition task, a connector's feeds, a sink's service. A unit that fails is reported, keeps the process from
 * being ready, and is tried again after a pause; the others go on. Only when all of a process have failed does it end.
 */
import type { Context } from './definitions.ts'
import { FatalError, oneLine } from './errors.ts'
import type { Health } from './health.ts'

const firstPauseMs = 1_000
const longestPauseMs = 300_000

/** Where a unit belongs, and what is said of it. */
export interface UnitName {
  readonly step: string
  /** As a person knows it: `market.trades.v1:0`, `feeds`. */
  readonly unit: string
  /** Whether the step can do nothing while it has failed, as without its group. */
  readonly whole?: true
}

export interface Unit {
  /** Whether it has failed and has not recovered since. */
  readonly failed: boolean
  /**
   * Something happened that trying again at once does not mend.
   * @param about facts for the log: topic, partition, offset
   * @returns how long it rests, in milliseconds
   */
  fail(error: unknown, about?: Readonly<Record<string, unknown>>): number
  /** It has come on since. */
  recovered(): void
  /** It is not this process's any more. */
  remove(): void
}

export interface UnitsOptions {
  readonly context: Pick<Context, 'log' | 'metrics'>
  readonly health: Pick<Health, 'register'>
  /** Whether a unit is tried again; else its first failure ends everything, as in a command that is to give a result. */
  readonly alone: boolean
  /** Ends the process. */
  fatal(error: unknown): void
}

interface State {
  readonly name: UnitName
  error: unknown
  failures: number
  unregister: (() => void) | undefined
}

export class Units {
  readonly #options: UnitsOptions
  readonly #states = new Set<State>()

  constructor(options: UnitsOptions) {
    this.#options = options
  }

  register(name: UnitName): Unit {
    const state: State = { name, error: undefined, failures: 0, unregister: undefined }
    this.#states.add(state)
    return {
      get failed() {
        return state.unregister !== undefined
      },
      fail: (error, about = {}) => this.#fail(state, error, about),
      recovered: () => {
        if (state.unregister === undefined) return
        this.#options.context.log.warn({ ...name }, 'what had failed goes on again')
        this.#mended(state)
      },
      remove: () => {
        this.#states.delete(state)
        this.#mended(state)
      },
    }
  }

  #fail(state: State, error: unknown, about: Readonly<Record<string, unknown>>): number {
    const { context, health, alone } = this.#options
    const { step, unit } = state.name
    const pauseMs = Math.min(firstPauseMs * 2 ** state.failures, longestPauseMs)
    state.failures++
    state.error = error
    context.metrics.errors.inc({ step, class: 'fatal' })
    if (!alone) {
      this.#options.fatal(error)
      return longestPauseMs
    }
    const line = oneLine(error)
    context.log.error({ step, unit, ...about, error: line, triedAgainInMs: pauseMs }, 'failed: mend what the error names; nothing is committed until it is tried again') // prettier-ignore
    state.unregister ??= health.register(`${step} ${unit}`, () => ({ ready: false, live: true, detail: oneLine(state.error) })) // prettier-ignore
    this.#report(step)
    if (this.#allFailed()) this.#options.fatal(this.#end())
    return pauseMs
  }

  #mended(state: State): void {
    state.failures = 0
    state.error = undefined
    state.unregister?.()
    state.unregister = undefined
    this.#report(state.name.step)
  }

  #report(step: string): void {
    const failed = [...this.#states].filter(({ name, unregister }) => name.step === step && unregister !== undefined)
    this.#options.context.metrics.failedUnits.set({ step }, failed.length)
  }

  /** Whether no step of the process does anything any more. */
  #allFailed(): boolean {
    const steps = Map.groupBy(this.#states, ({ name }) => name.step)
    return [...steps.values()].every((states) => {
      const failed = (state: State): boolean => state.unregister !== undefined
      const parts = states.filter(({ name }) => name.whole === undefined)
      return states.some((state) => state.name.whole && failed(state)) || (parts.length > 0 && parts.every(failed))
    })
  }

  #end(): FatalError {
    const failed = [...this.#states].filter(({ unregister }) => unregister !== undefined)
    const details = failed.map(({ name, error }) => `${name.step} ${name.unit}: ${oneLine(error)}`)
    return new FatalError('failed', 'everything that this process runs has failed', { details: [...new Set(details)] })
  }
}
