/**
 * Positions: where a record stands in its writer's sequence, as text that sorts as the sequence does, and the one rule by
 * which every reader drops what it has already seen or what does not extend what it has accepted.
 */

import { guarded } from './test-switches.ts'

/** Digits of Number.MAX_SAFE_INTEGER, so that any safe integer sorts as text. */
const wide = 16
/** Generations and emissions of one input: ten thousand and a hundred million are out of reach. */
const generationDigits = 4
const indexDigits = 8

/** Position in a sequence that the source itself numbers: a trade id, a block's sequence in the log. */
export const sequencePosition = (sequence: number): string => String(sequence).padStart(wide, '0')

/**
 * Position in a sequence that has no numbers of its own.
 * @param session the later of connect time (milliseconds) and last session + 1
 * @param counter counts within the session
 */
export const sessionPosition = (session: number, counter: number): string =>
  `${sequencePosition(session)}.${sequencePosition(counter)}`

/** Start of the positions of what a processor emits for the input at `offset`; `emissionIndex` completes it. */
export const emissionBase = (generation: number, offset: number): string =>
  `${String(generation).padStart(generationDigits, '0')}.${sequencePosition(offset)}.`

/** The index of an emission among those of one input. */
export const emissionIndex = (index: number): string => firstIndexes[index] ?? paddedIndex(index)

const paddedIndex = (index: number): string => String(index).padStart(indexDigits, '0')
/** Most inputs lead to few emissions. */
const firstIndexes = Array.from({ length: 16 }, (_, index) => paddedIndex(index))

/** Position of the `index`th record that a processor emits for the input at `offset`. */
export const emissionPosition = (generation: number, offset: number, index: number): string =>
  emissionBase(generation, offset) + emissionIndex(index)

/** The number that a `sequencePosition` stands for. */
export const sequenceOf = (position: string): number => Number.parseInt(position, 10)

const rule = guarded('position-rule')

/** The highest position accepted of an origin and, for journals, the tip that the accepted messages have led to. */
export interface Accepted {
  readonly position: string
  readonly tip: string | undefined
}

/** What a message's headers say of its place. */
export interface Placed {
  readonly origin: string
  readonly position: string
  readonly link?: { readonly extends: string; readonly tip: string } | undefined
}

/**
 * The positions that one reader has accepted of one input partition.
 *
 * A message is accepted if its position is higher than the highest accepted of its origin and, where it is a journal's,
 * if it extends the tip. Everything else was written again (a restart, a resent batch, a replay) or by a writer that
 * had been overtaken.
 */
export class Positions {
  readonly #accepted = new Map<string, { -readonly [Field in keyof Accepted]: Accepted[Field] }>()
  readonly #changed = new Set<string>()

  /** @param stored what `changes` gave before, origin → text */
  constructor(stored: Iterable<readonly [string, string]> = []) {
    for (const [origin, text] of stored) this.#accepted.set(origin, decodeAccepted(text))
  }

  /** @returns whether the message is new; if so it counts as accepted. */
  accept(message: Placed): boolean {
    const last = this.#accepted.get(message.origin)
    if (last !== undefined && rule) {
      if (message.position <= last.position) return false
      if (message.link !== undefined && last.tip !== undefined && message.link.extends !== last.tip) return false
    }
    const { origin, position, link } = message
    if (last === undefined) this.#accepted.set(origin, { position, tip: link?.tip })
    else {
      last.position = position
      last.tip = link?.tip
    }
    this.#changed.add(origin)
    return true
  }

  /** @returns the origins that changed since the last call, as text to store. */
  changes(): [origin: string, text: string][] {
    const changed = [...this.#changed].map((origin): [string, string] => [
      origin,
      encodeAccepted(this.#accepted.get(origin) ?? { position: '', tip: undefined }),
    ])
    this.#changed.clear()
    return changed
  }

  get(origin: string): Accepted | undefined {
    return this.#accepted.get(origin)
  }
}

const encodeAccepted = (accepted: Accepted): string =>
  accepted.tip === undefined ? accepted.position : `${accepted.position} ${accepted.tip}`

function decodeAccepted(text: string): Accepted {
  const [position = '', tip] = text.split(' ')
  return { position, tip }
}
