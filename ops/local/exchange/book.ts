/** An order book in ticks and lots, with the update ids and the windows of changes that the depth streams send. */

export type BookSide = 'bid' | 'ask'
export type DepthSpeed = '100ms' | '1000ms'

export interface Level {
  /** In ticks. */
  readonly price: number
  /** In lots. */
  quantity: number
}

/** The changes of one window: quantities are absolute, 0 removes. */
export interface DepthDiff {
  readonly firstUpdateId: number
  readonly lastUpdateId: number
  readonly bids: readonly Level[]
  readonly asks: readonly Level[]
}

export class Book {
  /** Best first. */
  readonly bids: Level[] = []
  /** Best first. */
  readonly asks: Level[] = []
  private readonly windows: Record<DepthSpeed, Window>
  private lastUpdateId: number

  constructor(firstUpdateId: number) {
    this.lastUpdateId = firstUpdateId
    this.windows = { '100ms': emptyWindow(firstUpdateId), '1000ms': emptyWindow(firstUpdateId) }
  }

  /** Id of the newest change. */
  get updateId(): number {
    return this.lastUpdateId
  }

  /** Sets a level's quantity, 0 removes it: one update id. */
  set(side: BookSide, price: number, quantity: number): void {
    const levels = side === 'bid' ? this.bids : this.asks
    const index = levels.findIndex((level) => (side === 'bid' ? level.price <= price : level.price >= price))
    const at = index < 0 ? levels.length : index
    const level = levels[at]
    if (level?.price !== price) {
      if (quantity > 0) levels.splice(at, 0, { price, quantity })
    } else if (quantity === 0) levels.splice(at, 1)
    else level.quantity = quantity

    this.lastUpdateId++
    const changed = side === 'bid' ? 'bids' : 'asks'
    this.windows['100ms'][changed].set(price, quantity)
    this.windows['1000ms'][changed].set(price, quantity)
  }

  /** Closes a window and opens the next; undefined where nothing changed. */
  flush(speed: DepthSpeed): DepthDiff | undefined {
    const window = this.windows[speed]
    if (window.after === this.lastUpdateId) return undefined
    this.windows[speed] = emptyWindow(this.lastUpdateId)
    return {
      firstUpdateId: window.after + 1,
      lastUpdateId: this.lastUpdateId,
      bids: levelsOf(window.bids).sort((left, right) => right.price - left.price),
      asks: levelsOf(window.asks).sort((left, right) => left.price - right.price),
    }
  }
}

interface Window {
  /** The last update id before the window. */
  readonly after: number
  readonly bids: Map<number, number>
  readonly asks: Map<number, number>
}

const emptyWindow = (after: number): Window => ({ after, bids: new Map(), asks: new Map() })

const levelsOf = (changes: ReadonlyMap<number, number>): Level[] =>
  Array.from(changes, ([price, quantity]) => ({ price, quantity }))
