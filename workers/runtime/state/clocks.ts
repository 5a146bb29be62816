/** The clocks of one input partition, by the names of their origins. */
import { OriginClock, type StoredClock } from './clock.ts'
import { SharedClock, type StoredSharedClock } from './shared-clock.ts'

/** Chains that share a partition have blocks, times and finality of their own. */
export const clockName = (origin: string, chainId: number | null | undefined): string =>
  chainId === null || chainId === undefined ? origin : `${origin}#${chainId}`

export class Clocks {
  readonly #clocks = new Map<string, OriginClock>()

  /** @param stored what `changes` gave before, name → text */
  constructor(stored: ReadonlyMap<string, string> = new Map()) {
    const clocks = [...stored].map(([name, text]): [OriginClock, StoredClock] => {
      const fields: StoredClock = JSON.parse(text)
      return [new OriginClock(name, fields), fields]
    })
    for (const [clock] of clocks) this.#clocks.set(clock.name, clock)
    for (const [clock, { peers = [] }] of clocks)
      for (const [name, atMove, atReturn] of peers) clock.addPeer(this.of(name), atMove, atReturn)
    for (const [clock] of clocks) clock.changed = false
  }

  /** @returns the clock of that name, which begins where there was none. */
  of(name: string): OriginClock {
    let clock = this.#clocks.get(name)
    if (clock === undefined) {
      clock = new OriginClock(name)
      this.#clocks.set(name, clock)
    }
    return clock
  }

  /** @returns the clock of a stored key that several origins write. */
  shared({ names, floor }: StoredSharedClock): SharedClock {
    return new SharedClock(
      names.map((name) => this.of(name)),
      floor,
    )
  }

  /** @returns the clocks that changed since the last call, as text to store. */
  *changes(): Generator<readonly [name: string, text: string]> {
    for (const [name, clock] of this.#clocks) {
      if (!clock.changed) continue
      clock.changed = false
      yield [name, JSON.stringify(clock.store())]
    }
  }
}
