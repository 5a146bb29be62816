/** One symbol's market: a fair price that wanders, makers who quote around it, takers who trade with them. */
import { Book } from './book.ts'
import type { BookSide, DepthDiff, DepthSpeed } from './book.ts'
import { seededRandom } from './random.ts'
import type { Random } from './random.ts'
import type { SymbolInfo } from './symbols.ts'
import { TradeLog } from './trade-log.ts'
import type { AggregateTrade, Trade } from './trade-log.ts'

/** Best bid and offer; prices in ticks, quantities in lots. */
export interface Quote {
  readonly updateId: number
  readonly bid: number
  readonly bidQuantity: number
  readonly ask: number
  readonly askQuantity: number
}

/** Takes what markets publish; `at` is the event time in milliseconds since the epoch. */
export interface MarketSink {
  trade(market: Market, trade: Trade, at: number): void
  aggregate(market: Market, trade: AggregateTrade, at: number): void
  quote(market: Market, quote: Quote): void
  depth(market: Market, diff: DepthDiff, speed: DepthSpeed, at: number): void
}

/** How taker orders arrive: at random with a rate a second, or evenly with gaps of so many milliseconds. */
export type Pace = { readonly perSecond: number } | { readonly gapMs: readonly [number, number] }

/** One step of time. */
export interface Step {
  /** Start, in milliseconds since the epoch. */
  readonly at: number
  readonly ms: number
  /** Standard normal that all markets share. */
  readonly factor: number
  /** Multiplies the rates of the market. */
  readonly activity: number
  readonly trading: boolean
}

/** What a plant or decoy does to a market: multiplies its fair price, and its activity, at a time. */
export interface Bend {
  price(at: number): number
  activity(at: number): number
}

/** Trades a taker order makes on average, by the sizes and splits below. */
export const FILLS_PER_ORDER = 1.8
const YEAR_MS = 31_557_600_000
/** Share of the common factor in a market's returns. */
const LOADING = 0.4
/** No market that is open pauses longer by chance, so that a silence can be told from luck. */
const LONGEST_PAUSE_MS = 4_000
const LEVELS = { least: 40, most: 60 }

export class Market {
  readonly info: SymbolInfo
  readonly book: Book
  readonly log: TradeLog
  bend: Bend | undefined
  private readonly random: Random
  private readonly pace: Pace
  private readonly lot: number
  private walk: number
  private fair: number
  private flow = 0
  private nextOrderAt = 0
  private quietSince = 0
  private aggregateId: number
  private quoted: Quote | undefined

  constructor(info: SymbolInfo, pace: Pace, seed: string) {
    this.info = info
    this.pace = pace
    this.random = seededRandom(`${seed}:${info.symbol}`)
    this.walk = info.price * 10 ** info.priceDecimals * this.random.between(0.9, 1.1)
    this.fair = this.walk
    // A median taker order is worth 250 quote units.
    this.lot = (10 ** info.quantityDecimals / info.price) * 250
    const firstId = 1_000_000 + Math.floor(this.random.next() * info.share * 10_000_000)
    this.log = new TradeLog(firstId, info.priceDecimals, info.quantityDecimals)
    this.aggregateId = Math.floor(firstId * 0.8)
    this.book = new Book(firstId * 13)
    this.requote()
  }

  /** Moves the market on by one step and publishes what happens in it. */
  step(step: Step, sink: MarketSink | undefined): void {
    this.wander(step)
    const activity = step.activity * (this.bend?.activity(step.at) ?? 1)
    const orders = this.arrivals(step, activity)
    if (step.trading) {
      for (let order = 0; order < orders; order++) {
        this.take(step.at + Math.floor((step.ms * (order + this.random.next())) / orders), step.at + step.ms, sink)
      }
    }
    const makers = this.random.poisson(((this.orderRate() * 2.5 + 1.5) * activity * step.ms) / 1_000)
    for (let maker = 0; maker < makers; maker++) {
      this.requote()
      this.publishQuote(sink)
    }
  }

  private orderRate(): number {
    return 'perSecond' in this.pace ? this.pace.perSecond / FILLS_PER_ORDER : 0.4
  }

  private arrivals(step: Step, activity: number): number {
    if ('perSecond' in this.pace) {
      const orders = this.random.poisson((this.orderRate() * activity * step.ms) / 1_000)
      if (orders > 0) this.quietSince = step.at
      if (activity < 1 || step.at - this.quietSince < LONGEST_PAUSE_MS) return orders
      this.quietSince = step.at
      return 1
    }
    if (step.at < this.nextOrderAt) return 0
    this.nextOrderAt = step.at + this.random.between(...this.pace.gapMs)
    return 1
  }

  /** Geometric Brownian motion with a common factor; the balance of takers reverts to zero within about 20 s. */
  private wander(step: Step): void {
    const noise = LOADING * step.factor + Math.sqrt(1 - LOADING ** 2) * this.random.normal()
    this.walk *= Math.exp(this.info.volatility * Math.sqrt(step.ms / YEAR_MS) * noise)
    this.fair = this.walk * (this.bend?.price(step.at) ?? 1)
    this.flow += (-this.flow * step.ms) / 20_000 + Math.sqrt(step.ms / 20_000) * this.random.normal()
  }

  private take(time: number, at: number, sink: MarketSink | undefined): void {
    const { book, random } = this
    const bid = book.bids[0]?.price ?? 0
    const ask = book.asks[0]?.price ?? 0
    // Takers lean on the side that the quotes have left behind.
    const pull = Math.max(-0.4, Math.min(0.4, (this.fair - (bid + ask) / 2) / (2 * (ask - bid))))
    const buys = random.next() < 0.5 + 0.1 * Math.tanh(this.flow) + pull
    const side: BookSide = buys ? 'ask' : 'bid'
    const levels = buys ? book.asks : book.bids
    let left = this.size(1, 1.2)
    for (let depth = 0; depth < 3 && left > 0; depth++) {
      const best = levels[0]
      if (!best) break
      const taken = Math.min(left, best.quantity)
      left -= taken
      this.fill(best.price, taken, !buys, time, at, sink)
      book.set(side, best.price, best.quantity - taken)
    }
    this.refill(side)
    this.publishQuote(sink)
  }

  /** Up to four makers fill a taker at one price. */
  private fill(
    price: number,
    quantity: number,
    buyerMaker: boolean,
    time: number,
    at: number,
    sink: MarketSink | undefined,
  ): void {
    const aggregateId = ++this.aggregateId
    const makers = Math.min(quantity, 1 + Math.floor(4 * this.random.next() ** 3))
    let left = quantity
    let firstId = 0
    for (let maker = makers; maker > 0; maker--) {
      const part = maker === 1 ? left : Math.max(1, Math.floor((left / maker) * this.random.between(0.5, 1)))
      left -= part
      const trade = this.log.append({ aggregateId, price, quantity: part, time, buyerMaker })
      if (maker === makers) firstId = trade.id
      sink?.trade(this, trade, at)
    }
    const lastId = this.log.lastId
    sink?.aggregate(this, { id: lastId, firstId, lastId, aggregateId, price, quantity, time, buyerMaker }, at)
  }

  /** A maker pulls what the fair price has passed, quotes at the touch and changes a level. */
  private requote(): void {
    const { book, random, fair } = this
    const half = Math.max(0.5, fair * 0.00002)
    const bid = Math.max(1, Math.round(fair - half))
    const ask = Math.max(bid + 1, Math.round(fair + half))
    for (let best = book.bids[0]; best && best.price > bid; best = book.bids[0]) book.set('bid', best.price, 0)
    for (let best = book.asks[0]; best && best.price < ask; best = book.asks[0]) book.set('ask', best.price, 0)
    if (book.bids[0]?.price !== bid) book.set('bid', bid, this.size(8, 0.8))
    if (book.asks[0]?.price !== ask) book.set('ask', ask, this.size(8, 0.8))
    const side: BookSide = random.next() < 0.5 ? 'bid' : 'ask'
    const levels = side === 'bid' ? book.bids : book.asks
    const level = levels[Math.floor(levels.length * random.next() ** 2)]
    if (level) book.set(side, level.price, this.size(8, 0.8))
    this.refill('bid')
    this.refill('ask')
  }

  /** Keeps a side's depth within bounds. */
  private refill(side: BookSide): void {
    const { book, random } = this
    const levels = side === 'bid' ? book.bids : book.asks
    for (let worst = levels.at(-1); worst && levels.length > LEVELS.most; worst = levels.at(-1))
      book.set(side, worst.price, 0)
    while (levels.length < LEVELS.least) {
      const worst = levels.at(-1)?.price ?? Math.round(this.fair) + (side === 'bid' ? -1 : 1)
      const gap = 1 + Math.floor(this.fair * 0.0002 * random.next())
      const price = side === 'bid' ? worst - gap : worst + gap
      if (price < 1) return
      book.set(side, price, this.size(12, 0.8))
    }
  }

  /** A log-normal quantity in lots: so many times the median taker order. */
  private size(medians: number, spread: number): number {
    return Math.max(1, Math.round(this.lot * medians * Math.exp(spread * this.random.normal())))
  }

  private publishQuote(sink: MarketSink | undefined): void {
    const bid = this.book.bids[0]
    const ask = this.book.asks[0]
    if (!sink || !bid || !ask) return
    const last = this.quoted
    if (
      last?.bid === bid.price &&
      last.ask === ask.price &&
      last.bidQuantity === bid.quantity &&
      last.askQuantity === ask.quantity
    )
      return
    this.quoted = {
      updateId: this.book.updateId,
      bid: bid.price,
      bidQuantity: bid.quantity,
      ask: ask.price,
      askQuantity: ask.quantity,
    }
    sink.quote(this, this.quoted)
  }
}
