/** The trades of one symbol: contiguous ids, paged columns in memory, exact totals. */
import { canonical } from './decimal.ts'

export interface Trade {
  readonly id: number
  /** Aggregate id: fills of one taker order at one price share it. */
  readonly aggregateId: number
  /** In ticks. */
  readonly price: number
  /** In lots. */
  readonly quantity: number
  /** Milliseconds since the epoch. */
  readonly time: number
  /** True where the taker sold. */
  readonly buyerMaker: boolean
}

/** Fills of one taker order at one price. */
export interface AggregateTrade extends Trade {
  readonly firstId: number
  readonly lastId: number
}

/** A trade as a check compares it with a stored row: decimals without trailing zeros. */
export interface TradeRow {
  readonly id: number
  readonly price: string
  readonly quantity: string
  readonly time: number
  readonly buyerMaker: boolean
}

/** Everything traded so far, exact. */
export interface Totals {
  readonly firstId: number
  /** Below `firstId` while nothing was traded. */
  readonly lastId: number
  readonly count: number
  /** Decimal string, in base. */
  readonly volume: string
  /** Decimal string, in quote. */
  readonly notional: string
}

const PAGE = 4_096

interface Page {
  readonly price: Float64Array
  readonly quantity: Float64Array
  readonly time: Float64Array
  readonly aggregateId: Float64Array
  readonly buyerMaker: Uint8Array
}

export class TradeLog {
  readonly priceDecimals: number
  readonly quantityDecimals: number
  private readonly firstId: number
  private readonly capacity: number
  private readonly pages: Page[] = []
  private pageStart: number
  private nextId: number
  private missing = 0
  private lots = 0n
  private tickLots = 0n

  /** @param capacity - how many of the newest trades are kept at least; the totals cover all. */
  constructor(firstId: number, priceDecimals: number, quantityDecimals: number, capacity = 200_000) {
    this.firstId = firstId
    this.pageStart = firstId
    this.nextId = firstId
    this.priceDecimals = priceDecimals
    this.quantityDecimals = quantityDecimals
    this.capacity = capacity
  }

  get lastId(): number {
    return this.nextId - 1
  }

  get lastAggregateId(): number {
    return this.get(this.lastId)?.aggregateId ?? 0
  }

  append(trade: Omit<Trade, 'id'>): Trade {
    const id = this.write(trade)
    this.lots += BigInt(trade.quantity)
    this.tickLots += BigInt(trade.price) * BigInt(trade.quantity)
    return { id, ...trade }
  }

  /**
   * Leaves out the ids before the next trade's.
   * @throws Error where that is more than the log keeps
   */
  skipTo(id: number): void {
    const missing = id - this.nextId
    if (missing > this.capacity) throw new Error(`trades ${this.nextId} to ${id - 1} are missing`)
    const last = this.get(this.lastId)
    for (let left = missing; left > 0; left--)
      this.write({ price: 0, time: 0, aggregateId: 0, buyerMaker: false, ...last, quantity: 0 })
    this.missing += missing
  }

  /** A trade that is still kept; one without a quantity stands for an id that was left out. */
  get(id: number): Trade | undefined {
    const at = id - this.pageStart
    const page = id < this.nextId ? this.pages[Math.floor(at / PAGE)] : undefined
    if (!page) return undefined
    const row = at % PAGE
    return {
      id,
      aggregateId: page.aggregateId[row] ?? 0,
      price: page.price[row] ?? 0,
      quantity: page.quantity[row] ?? 0,
      time: page.time[row] ?? 0,
      buyerMaker: page.buyerMaker[row] === 1,
    }
  }

  /** Trades from an id on (or from the oldest that is kept), ascending. */
  from(id: number, limit: number): Trade[] {
    const trades: Trade[] = []
    for (let next = Math.max(id, this.pageStart); trades.length < limit; next++) {
      const trade = this.get(next)
      if (!trade) break
      if (trade.quantity > 0) trades.push(trade)
    }
    return trades
  }

  /** Aggregates from an aggregate id on, ascending. */
  aggregatesFrom(aggregateId: number, limit: number): AggregateTrade[] {
    const aggregates: AggregateTrade[] = []
    let open: AggregateTrade | undefined
    for (let id = this.firstIdWhere((trade) => trade.aggregateId >= aggregateId); ; id++) {
      const trade = this.get(id)
      if (trade?.quantity === 0) continue
      if (open && trade?.aggregateId === open.aggregateId) {
        open = { ...open, quantity: open.quantity + trade.quantity, lastId: id }
        continue
      }
      if (open) aggregates.push(open)
      if (!trade || aggregates.length === limit) return aggregates
      open = { ...trade, firstId: id, lastId: id }
    }
  }

  /** Aggregate id of the first trade at or after a time; beyond the last where there is none. */
  aggregateAt(time: number): number {
    const trade = this.get(this.firstIdWhere((candidate) => candidate.time >= time))
    return trade?.aggregateId ?? this.lastAggregateId + 1
  }

  /** Trades between two ids, both included, as rows to compare. */
  rows(fromId: number, toId: number): TradeRow[] {
    const most = Math.max(0, toId - Math.max(fromId, this.pageStart) + 1)
    const trades = this.from(fromId, most).filter(({ id }) => id <= toId)
    return trades.map((trade) => ({
      id: trade.id,
      price: canonical(BigInt(trade.price), this.priceDecimals),
      quantity: canonical(BigInt(trade.quantity), this.quantityDecimals),
      time: trade.time,
      buyerMaker: trade.buyerMaker,
    }))
  }

  totals(): Totals {
    return {
      firstId: this.firstId,
      lastId: this.lastId,
      count: this.nextId - this.firstId - this.missing,
      volume: canonical(this.lots, this.quantityDecimals),
      notional: canonical(this.tickLots, this.priceDecimals + this.quantityDecimals),
    }
  }

  private firstIdWhere(holds: (trade: Trade) => boolean): number {
    let low = this.pageStart
    let high = this.nextId
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const trade = this.get(middle)
      if (trade && holds(trade)) high = middle
      else low = middle + 1
    }
    return low
  }

  private write(trade: Omit<Trade, 'id'>): number {
    const id = this.nextId++
    const at = (id - this.pageStart) % PAGE
    if (at === 0) this.turnPage()
    const page = this.pages.at(-1)
    if (page) {
      page.price[at] = trade.price
      page.quantity[at] = trade.quantity
      page.time[at] = trade.time
      page.aggregateId[at] = trade.aggregateId
      page.buyerMaker[at] = trade.buyerMaker ? 1 : 0
    }
    return id
  }

  private turnPage(): void {
    this.pages.push({
      price: new Float64Array(PAGE),
      quantity: new Float64Array(PAGE),
      time: new Float64Array(PAGE),
      aggregateId: new Float64Array(PAGE),
      buyerMaker: new Uint8Array(PAGE),
    })
    if ((this.pages.length - 1) * PAGE >= this.capacity + PAGE) {
      this.pages.shift()
      this.pageStart += PAGE
    }
  }
}
