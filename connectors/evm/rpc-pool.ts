/** The nodes of a chain: asks the fastest that is well, sets failing ones aside, and tries again elsewhere. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../../workers/runtime/definitions.ts'
import { classify, FatalError, oneLine, RetryableError, type RetryableCode } from '../../workers/runtime/errors.ts'
import { RpcError, RpcProvider, type ProviderOptions } from './rpc-provider.ts'

/** Share of block fetches that go to another node than the fastest, so that its latency is known. */
const exploration = 0.05
const backoffMs = { first: 125, most: 5_000 } as const
/** Those that a node has besides the codes of its own error objects. */
const codes: readonly RetryableCode[] = [
  'unavailable',
  'timeout',
  'rate-limited',
  'stale-upstream',
  'inconsistent-upstream',
]

export interface PoolOptions extends ProviderOptions {
  readonly chainId: number
  readonly context: Pick<Context, 'metrics' | 'now' | 'log'>
  /** From 0 to 1: jitter and exploration. */
  readonly random: () => number
}

export interface UseOptions {
  /** How often to try before the error passes through; twice each node and twice more unless told. */
  readonly tries?: number
  /** Lets another than the preferred node answer now and then. */
  readonly explore?: true
}

export class RpcPool {
  readonly providers: readonly RpcProvider[]
  readonly #options: PoolOptions
  #preferred: RpcProvider | undefined

  /** @param urls http or https, at least one */
  constructor(urls: readonly string[], options: PoolOptions) {
    this.providers = urls.map((url) => new RpcProvider(url, options))
    this.#options = options
    const { metrics } = options.context
    for (const { label: provider } of this.providers)
      for (const code of codes) metrics.rpcErrors.inc({ provider, code }, 0)
  }

  /**
   * Runs an attempt against one node after the other until it succeeds. All calls of an attempt go to the same node,
   * so that its answers fit each other.
   * @throws the last retryable error when the tries are over; any other error at once
   */
  async use<T>(attempt: (provider: RpcProvider) => Promise<T>, options: UseOptions = {}): Promise<T> {
    const failed = new Set<RpcProvider>()
    let backoff: number = backoffMs.first
    for (let tries = options.tries ?? this.providers.length * 2 + 2; ; tries -= 1) {
      const provider = await this.#pick(failed, options.explore === true)
      try {
        await this.#check(provider)
        const result = await attempt(provider)
        provider.succeeded()
        return result
      } catch (error) {
        if (classify(error) !== 'retryable' || this.#options.signal.aborted) throw error
        this.#blame(provider, error)
        failed.add(provider)
        if (tries <= 1) throw error
      }
      if (failed.size === this.providers.length) {
        failed.clear()
        await this.#sleep(backoff * (0.5 + this.#options.random()))
        backoff = Math.min(backoff * 2, backoffMs.most)
      }
    }
  }

  /** Asks every node but one, each once; nodes that fail are left out. */
  async askOthers<T>(one: RpcProvider, question: (provider: RpcProvider) => Promise<T>): Promise<T[]> {
    const others = this.providers.filter((provider) => provider !== one)
    const answers = await Promise.allSettled(
      others.map(async (provider) => {
        await this.#check(provider)
        return question(provider)
      }),
    )
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
  }

  /** Sets a node aside that answers but lags, where there is another, and has it checked again before its next use. */
  distrust(provider: RpcProvider, ms: number): void {
    provider.checked = false
    if (this.providers.length > 1) provider.setAside(ms)
  }

  /** The node that is asked first; stays the same while it is well, since nodes differ in what they call the head. */
  get preferred(): RpcProvider | undefined {
    return this.#preferred
  }

  #blame(provider: RpcProvider, error: unknown): void {
    const { log, metrics } = this.#options.context
    const known = error instanceof RetryableError ? error : undefined
    const code = known instanceof RpcError ? String(known.rpcCode) : (known?.code ?? 'unavailable')
    metrics.rpcErrors.inc({ provider: provider.label, code })
    // Failing is a node's everyday life; an answer that does not hold together is not.
    const level = known?.code === 'inconsistent-upstream' ? 'warn' : 'debug'
    log[level]({ provider: provider.label, reason: oneLine(error) }, 'an RPC node is asked no more for a while')
    provider.setAside(known?.retryAfterMs)
  }

  async #pick(failed: ReadonlySet<RpcProvider>, explore: boolean): Promise<RpcProvider> {
    for (;;) {
      const left = this.providers.filter((provider) => !failed.has(provider))
      const well = left.filter(({ waitMs }) => waitMs === 0)
      const { random } = this.#options
      if (explore && random() < exploration) {
        const other = well[Math.floor(random() * well.length)]
        if (other !== undefined) return other
      }
      const best = this.#best(well)
      if (best !== undefined) return best
      await this.#sleep(Math.max(10, Math.min(...left.map(({ waitMs }) => waitMs))))
    }
  }

  #best(well: readonly RpcProvider[]): RpcProvider | undefined {
    const fastest = well.toSorted((a, b) => a.latencyMs - b.latencyMs)[0]
    const present = this.#preferred
    const stays = present !== undefined && well.includes(present)
    if (fastest !== undefined && (!stays || fastest.latencyMs * 2 < present.latencyMs)) this.#preferred = fastest
    return fastest === undefined ? undefined : this.#preferred
  }

  /** @throws FatalError where the node is of another chain, RetryableError where it is still syncing */
  async #check(provider: RpcProvider): Promise<void> {
    if (provider.checked) return
    const [chainId, syncing] = await Promise.all([
      provider.request('eth_chainId', []),
      provider.request('eth_syncing', []).catch(() => false),
    ])
    if (Number(chainId) !== this.#options.chainId) {
      const what = `${provider.label} is a node of chain ${Number(chainId)}, not of chain ${this.#options.chainId}`
      throw new FatalError('configuration', what, { hint: 'correct EVM_RPC_URLS' })
    }
    if (syncing !== false) throw new RetryableError('stale-upstream', `${provider.label} is still syncing`)
    provider.checked = true
  }

  #sleep(ms: number): Promise<void> {
    return sleep(ms, undefined, { signal: this.#options.signal })
  }
}
