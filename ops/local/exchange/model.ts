/** The whole exchange without a network: markets that a given clock moves on, their history, plants and decoys. */
import { Market } from './market.ts'
import type { MarketSink } from './market.ts'
import { castParts, drift, flashCrash } from './plants.ts'
import type { Cast, Decoy, Planted, PlantTimes } from './plants.ts'
import { seededRandom } from './random.ts'
import type { Random } from './random.ts'
import { listed, SYMBOLS } from './symbols.ts'
import type { SymbolInfo } from './symbols.ts'

export interface ModelOptions {
  /** Decides everything but the time. */
  readonly seed: string | number
  /** Venue or project names; all twenty where it is not given. */
  readonly symbols?: readonly string[]
  /** Of all symbols together; 150 where it is not given. */
  readonly tradesPerSecond?: number
  /** Seconds of trades before the start, at a tenth of the rate; 600 where it is not given. */
  readonly historyS?: number
  /** Milliseconds since the epoch at which the model starts. */
  readonly startMs: number
}

const STEP_MS = 10
const HISTORY_STEP_MS = 100
/** How many steps make a window of 100 ms and of 1 s. */
const WINDOW = 10
const LONG_WINDOW = 100

/** A pure state machine: the same options give the same markets, however `advance` is sliced. */
export class MarketModel {
  readonly markets: ReadonlyMap<string, Market>
  readonly decoys: readonly Decoy[]
  private readonly cast: Cast
  private readonly seed: string
  private readonly startMs: number
  private readonly factor: Random
  private steps = 0
  private state: 'running' | 'trades-paused' | 'paused' = 'running'
  private plants: readonly Planted[] = []
  private silence: { readonly symbol: string; readonly from: number; readonly until: number } | undefined

  /** @throws Error where a symbol is not listed */
  constructor(options: ModelOptions) {
    this.seed = String(options.seed)
    this.startMs = options.startMs
    this.factor = seededRandom(`${this.seed}:factor`)
    const infos = options.symbols?.map(listedOrThrow) ?? SYMBOLS
    const shares = infos.reduce((sum, { share }) => sum + share, 0)
    const rateOf = (info: SymbolInfo) => ((options.tradesPerSecond ?? 150) * info.share) / shares
    this.cast = castParts(infos, rateOf, this.seed)
    this.decoys = [
      ...(this.cast.drift ? [{ what: 'drift' as const, symbol: this.cast.drift.pair }] : []),
      ...(this.cast.slow ? [{ what: 'slow-trading' as const, symbol: this.cast.slow.pair }] : []),
    ]
    this.markets = new Map(
      infos.map((info) => {
        const pace = info === this.cast.slow ? { gapMs: [2_000, 3_000] as const } : { perSecond: rateOf(info) }
        return [info.symbol, new Market(info, pace, this.seed)]
      }),
    )
    this.makeHistory((options.historyS ?? 600) * 1_000)
  }

  /** How far the model has come, in milliseconds since the epoch. */
  get time(): number {
    return this.startMs + this.steps * STEP_MS
  }

  /** Moves the markets on to a time (whole steps of 10 ms) and publishes what happens. */
  advance(toMs: number, sink: MarketSink): void {
    for (; this.time + STEP_MS <= toMs; this.steps++) {
      const factor = this.factor.normal()
      if (this.state === 'paused') continue
      const step = { at: this.time, ms: STEP_MS, factor, activity: 1, trading: this.state === 'running' }
      let index = 0
      for (const market of this.markets.values()) {
        // Windows of different symbols close at different steps, as no exchange sends them all at once.
        const turn = this.steps + index++
        if (this.silent(market)) continue
        market.step(step, sink)
        if (turn % WINDOW === 0) this.publishDepth(market, turn, sink)
      }
    }
  }

  /** Plants what has a time; seconds count from now. */
  arm(times: PlantTimes): void {
    const plants: Planted[] = []
    const { crash, silent, drift: drifting } = this.cast
    if (times.flashCrashAtS !== undefined && crash) {
      const at = this.time + times.flashCrashAtS * 1_000
      const { bend, fall, fallMs } = flashCrash(at, this.seed)
      this.bend(crash, bend)
      plants.push({ what: 'flash-crash', symbol: crash.pair, at: at * 1_000, until: (at + fallMs) * 1_000, fall })
    }
    if (times.silenceAtS !== undefined && silent) {
      const from = this.time + times.silenceAtS * 1_000
      const until = from + (times.silenceS ?? 15) * 1_000
      this.silence = { symbol: silent.symbol, from, until }
      plants.push({ what: 'silent-feed', symbol: silent.pair, at: from * 1_000, until: until * 1_000 })
    }
    if (drifting) this.bend(drifting, drift(this.time, (times.driftS ?? 60) * 1_000, this.seed))
    this.plants = plants
  }

  /** What was planted and has begun. */
  planted(): readonly Planted[] {
    return this.plants.filter(({ at }) => at < this.time * 1_000)
  }

  /** Stops trades alone, or everything that markets publish. */
  pause(what: 'trades' | 'all'): void {
    this.state = what === 'trades' ? 'trades-paused' : 'paused'
  }

  resume(): void {
    this.state = 'running'
  }

  private makeHistory(lengthMs: number): void {
    for (let at = this.startMs - lengthMs; at < this.startMs; at += HISTORY_STEP_MS) {
      const step = { at, ms: HISTORY_STEP_MS, factor: this.factor.normal(), activity: 0.1, trading: true }
      for (const market of this.markets.values()) market.step(step, undefined)
    }
    for (const { book } of this.markets.values()) {
      book.flush('100ms')
      book.flush('1000ms')
    }
  }

  private silent(market: Market): boolean {
    const silence = this.silence
    return market.info.symbol === silence?.symbol && this.time >= silence.from && this.time < silence.until
  }

  private publishDepth(market: Market, turn: number, sink: MarketSink): void {
    const at = this.time + STEP_MS
    const diff = market.book.flush('100ms')
    if (diff) sink.depth(market, diff, '100ms', at)
    const long = turn % LONG_WINDOW === 0 ? market.book.flush('1000ms') : undefined
    if (long) sink.depth(market, long, '1000ms', at)
  }

  private bend(info: SymbolInfo, bend: Market['bend']): void {
    const market = this.markets.get(info.symbol)
    if (market) market.bend = bend
  }
}

function listedOrThrow(name: string): SymbolInfo {
  const info = listed(name)
  if (!info) throw new Error(`${name} is not listed; listed are ${SYMBOLS.map(({ pair }) => pair).join(', ')}`)
  return info
}
