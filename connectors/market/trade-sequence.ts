/**
 * Puts the trades of one feed into the venue's order, each id exactly once: what goes out, what must be fetched, what
 * is lost. Pure: it is told of frames, pages of history and time, and does no I/O.
 */
import type { Micros } from '../../workers/runtime/definitions.ts'

/** A trade of a venue that numbers its trades one by one. */
export interface Numbered {
  readonly id: number
}

/** Ids that are missing, both ends included. */
export interface MissingIds {
  readonly from: number
  readonly to: number
}

/** Whether the venue may have more after a page of history, or had no more when it answered. */
export type PageEnd = 'more' | 'end'

export interface TradeSequenceOptions<T extends Numbered> {
  /** Takes the trades in order, each id once. */
  readonly emit: (trade: T) => void
  /** How many trades to hold behind a gap; beyond it only their range is remembered and fetched. */
  readonly hold: number
}

export class TradeSequence<T extends Numbered> {
  readonly #emit: (trade: T) => void
  readonly #bound: number
  /** Trades from the stream that wait behind a gap, all of them newer than the last doubt; ids are above `#next`. */
  readonly #held = new Map<number, T>()
  /** The id that goes out next. */
  #next: number | undefined
  /** The highest id that the venue is known to have given. */
  #known = -1
  /** The lowest id seen before it was decided where to begin. */
  #first: number | undefined
  #begun = false
  /** When to look for trades that the stream may have missed; undefined when it cannot have missed any. */
  #doubt: Micros | undefined
  /** Where history goes on behind a hole that it has itself. */
  #resume: number | undefined

  constructor(options: TradeSequenceOptions<T>) {
    this.#emit = options.emit
    this.#bound = options.hold
  }

  /** The id that goes out next, where one is known. */
  get next(): number | undefined {
    return this.#next
  }

  /** True while an id that exists has not gone out. */
  get missing(): boolean {
    return this.#next !== undefined && this.#next <= this.#known
  }

  /** True when everything that the venue has given by now has gone out, as far as can be known. */
  get settled(): boolean {
    return this.#begun && this.#doubt === undefined && !this.missing
  }

  /**
   * Decides where the feed begins; live trades are held until then.
   * @param next the first id to send; without one the first live trade begins
   */
  begin(next?: number): void {
    this.#begun = true
    this.#next = next ?? this.#first
    if (next !== undefined) this.#doubt = Infinity
    for (const id of this.#held.keys()) if (id < (this.#next ?? 0)) this.#held.delete(id)
    this.#drain()
  }

  /** Trades may have been missed: unless a live one proves otherwise, look for them at `checkAt` (never: Infinity). */
  doubt(checkAt: Micros): void {
    if (this.#next === undefined) return
    this.#doubt = checkAt
    this.#held.clear()
  }

  /**
   * A trade from the stream.
   * @returns 'old' where its id has gone out before
   */
  live(trade: T): 'new' | 'old' {
    if (!this.#admit(trade.id)) return 'old'
    if (trade.id === this.#next) {
      this.#doubt = undefined
      this.#send(trade)
      this.#drain()
    } else {
      if (this.#held.size >= this.#bound) this.#held.clear()
      this.#held.set(trade.id, trade)
    }
    return 'new'
  }

  /** A trade from the stream that there is no room for: it will be fetched. */
  skip(id: number): 'new' | 'old' {
    return this.#admit(id) ? 'new' : 'old'
  }

  /** The id from which history must be fetched now, if it must. */
  fetchFrom(now: Micros): number | undefined {
    if (this.missing || (this.#doubt !== undefined && now >= this.#doubt)) return this.#next
    return undefined
  }

  /** A page of history, ids rising, asked for at `askedAt` from what `fetchFrom` said. */
  page(trades: readonly T[], end: PageEnd, askedAt: Micros): void {
    this.#resume = undefined
    this.#known = Math.max(this.#known, trades.at(-1)?.id ?? -1)
    for (const trade of trades) {
      if (trade.id === this.#next) this.#send(trade)
      else if (trade.id > (this.#next ?? 0)) {
        this.#resume = trade.id
        break
      }
    }
    this.#drain()
    if (!this.missing && end === 'end' && this.#doubt !== undefined && this.#doubt <= askedAt) this.#doubt = undefined
  }

  /**
   * History does not have what is missing: goes on behind it.
   * @returns the ids that are lost, or undefined where none were known to be missing
   */
  abandon(): MissingIds | undefined {
    const from = this.#next
    if (from === undefined || !this.missing) {
      this.#doubt = undefined
      return undefined
    }
    let to = (this.#resume ?? this.#known + 1) - 1
    for (const id of this.#held.keys()) to = Math.min(to, id - 1)
    this.#resume = undefined
    this.#next = to + 1
    this.#drain()
    return { from, to }
  }

  #admit(id: number): boolean {
    if (!this.#begun) this.#first = Math.min(this.#first ?? id, id)
    else this.#next ??= id
    if (this.#next !== undefined && id < this.#next) return false
    this.#known = Math.max(this.#known, id)
    return true
  }

  #send(trade: T): void {
    this.#emit(trade)
    // The stream has gone on where history ended.
    if (this.#held.size > 0 && this.#held.delete(trade.id)) this.#doubt = undefined
    this.#next = trade.id + 1
  }

  #drain(): void {
    if (this.#held.size === 0) return
    let trade = this.#held.get(this.#next ?? -1)
    while (trade !== undefined) {
      this.#send(trade)
      trade = this.#held.get(this.#next ?? -1)
    }
  }
}
