/** The extremes of a price within a sliding window of time, by two monotonic queues. */
import type { Micros } from '../runtime/definitions.ts'

export interface Tick {
  readonly ts: Micros
  readonly price: number
  /** The price as the venue gave it. */
  readonly text: string
  /** The record that it comes from. */
  readonly id: string
}

/** Plain data. A queue holds what is an extreme now or may become one: prices that no later one has reached. */
export interface PriceWindow {
  falling: Tick[]
  rising: Tick[]
  /** Times of the newest three ticks. */
  recent: Micros[]
}

export const emptyPriceWindow = (): PriceWindow => ({ falling: [], rising: [], recent: [] })

/** Ticks of a queue: a price that falls with every trade of a busy window keeps all of them. */
const mostTicks = 2_048

/**
 * Adds a tick not older than the newest and forgets those older than `within`; amortised constant time. The extremes are exact
 * unless a queue grows beyond 2,048 ticks: then every other one is forgotten, never the oldest or the newest.
 * @param tick with a finite price
 */
export function addTick(window: PriceWindow, tick: Tick, within: Micros): void {
  const { falling, rising, recent } = window
  // An empty queue ends the loops, and not a price, which may be anything.
  for (let last = falling.at(-1); last !== undefined && last.price <= tick.price; last = falling.at(-1)) falling.pop()
  for (let last = rising.at(-1); last !== undefined && last.price >= tick.price; last = rising.at(-1)) rising.pop()
  window.falling = added(falling, tick, tick.ts - within)
  window.rising = added(rising, tick, tick.ts - within)
  recent.push(tick.ts)
  if (recent.length > 3) recent.shift()
}

function added(queue: Tick[], tick: Tick, from: Micros): Tick[] {
  queue.push(tick)
  let old = 0
  while ((queue[old]?.ts ?? from) < from) old++
  if (old > 0) queue.splice(0, old)
  return queue.length > mostTicks ? queue.filter((_, index) => index % 2 === 0) : queue
}

/** Whether the window holds three ticks or more. */
export const hasThree = (window: PriceWindow, within: Micros): boolean =>
  window.recent.length === 3 && (window.recent[0] ?? 0) >= (window.recent[2] ?? 0) - within

/** The larger move from an extreme of the window to the newest price: a fraction of the extreme, negative for a fall. */
export function largestMove(window: PriceWindow): { from: Tick; move: number } | undefined {
  const [high, low, last] = [window.falling[0], window.rising[0], window.rising.at(-1)]
  if (high === undefined || low === undefined || last === undefined) return undefined
  const fall = last.price / high.price - 1
  const rise = last.price / low.price - 1
  return -fall >= rise ? { from: high, move: fall } : { from: low, move: rise }
}
