/** What an engine takes besides records, and what it gives back: marks, outputs, changes of what is stored. */
import type { Micros, Topic } from '../definitions.ts'
import type { Input } from './cell.ts'

/** How far an origin's time has come, as connectors and decode-block say it. */
export interface Mark {
  readonly origin: string
  readonly time: Micros
  /** For chains: which, the block whose records have all gone by, and the newest final one. */
  readonly chainId?: number | null
  readonly block: number | null
  readonly finalized: number | null
  /** True: blocks above `block` were removed, time goes back. */
  readonly removed: boolean
}

/** A change of one stored field; null deletes it. */
export type Change = readonly [field: string, text: string | null]

/** Publishes a derived record with its provenance. */
export type Publish = (topic: Topic, record: object) => void

/** What a slot calls back. */
export interface Outlet {
  publish: Publish
  /** Passes a mark on to every partition of the outputs. */
  mark(mark: Mark): void
  /** Offset of the message at hand. */
  readonly offset?: number
  /** @throws whatever `publish` would throw of the record; publishes nothing */
  check?(topic: Topic, record: object): void
  /**
   * The step threw while inputs were folded again, which was undone. Where nobody is told, it is thrown on.
   * @param cause the input, which is left out from now on; or when the wake-up was due, which stays due
   */
  refoldThrew?(key: string, cause: Input | Micros, error: unknown): void
}
