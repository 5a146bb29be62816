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

/** Adds a tick not older than the newest and forgets those older than `within`; amortised constant time. */
export function addTick(window: PriceWindow, tick: Tick, within: Micros): void {
  while ((window.falling.at(-1)?.price ?? Infinity) <= tick.price) window.falling.pop()
  while ((window.rising.at(-1)?.price ?? -Infinity) >= tick.price) window.rising.pop()
  for (const queue of [window.falling, window.rising]) {
    queue.push(tick)
    while ((queue[0]?.ts ?? tick.ts) < tick.ts - within) queue.shift()
  }
  window.recent.push(tick.ts)
  if (window.recent.length > 3) window.recent.shift()
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
