/**
 * Positions: where a record stands in its writer's sequence, as text that sorts as the sequence does, and the one rule by
 * which every reader drops what it has already seen or what does not extend what it has accepted.
 */

import { GrowingNumber } from './growing-number.ts'
import { guarded } from './test-switches.ts'

/** Digits of Number.MAX_SAFE_INTEGER, so that any safe integer sorts as text. */
const wide = 16
/** Generations and emissions of one input: ten thousand and a hundred million are out of reach. */
const generationDigits = 4
const indexDigits = 8

/** Put before the origin of a redriven record within its task: it comes long after its time, and says nothing of finality. */
export const redriven = 'dlq:'

/** Position in a sequence that the source itself numbers: a trade id, a block's sequence in the log. */
export const sequencePosition = (sequence: number): string => String(sequence).padStart(wide, '0')

/**
 * Position in a sequence that has no numbers of its own.
 * @param session the later of connect time (milliseconds) and last session + 1
 * @param counter counts within the session
 */
export const sessionPosition = (session: number, counter: number): string =>
  `${sequencePosition(session)}.${sequencePosition(counter)}`

/** `sequencePosition` for many in a row. */
export const sequencePositions = (): GrowingNumber => new GrowingNumber('', wide)

/** `sessionPosition` for the counters of one session. */
export const sessionPositions = (session: number): GrowingNumber =>
  new GrowingNumber(`${sequencePosition(session)}.`, wide)

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

/** Lengths of the three forms: 16 digits, 16.16 and 4.16.8. */
const sessionLength = wide + 1 + wide
const emissionLength = generationDigits + 1 + wide + 1 + indexDigits

/**
 * Whether a text has one of the three forms of above; each has a length of its own.
 * @param position as text or in bytes
 */
export function isPosition(position: string | Uint8Array): boolean {
  const { length } = position
  if (length === wide) return isNumbers(position, length, length)
  if (length === sessionLength) return isNumbers(position, wide, wide)
  return length === emissionLength && isNumbers(position, generationDigits, generationDigits + 1 + wide)
}

/** Whether all is digits but for points at two places, which may lie behind the end or be one. */
function isNumbers(position: string | Uint8Array, first: number, second: number): boolean {
  for (let at = 0; at < position.length; at++) {
    const code = typeof position === 'string' ? position.charCodeAt(at) : (position[at] ?? 0)
    const fits = at === first || at === second ? code === 46 : code >= 48 && code <= 57
    if (!fits) return false
  }
  return true
}

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

/** Messages that extend each other, and where they led to, the newest last. */
interface Branch {
  readonly position: string
  readonly tips: readonly string[]
}

/** What a reader remembers of an origin. */
interface Known {
  position: string
  tip: string | undefined
  /** Of a journal whose beginning is not settled: where each message led to, and the newest ones that do not fit. */
  young: { readonly tips: readonly string[]; readonly rival: Branch | undefined } | undefined
}

/** Origins that a task remembers at most: as many feeds are out of reach. */
const mostOrigins = 10_000

/** Messages after which a reader that began in the middle of a journal believes what it has accepted. */
const settledAfter = 16

/**
 * The positions that one reader has accepted of one input partition.
 *
 * A message is accepted if its position is higher than the highest accepted of its origin and, where it is a journal's,
 * if it extends the tip. Everything else was written again (a restart, a resent batch, a replay) or by a writer that
 * had been overtaken.
 *
 * A reader that begins in the middle of a journal, where retention has cut it or a replay begins, cannot tell whether the
 * first message is an overtaken writer's, and would then drop everything else for ever. So until it has accepted 16 it
 * remembers what does not fit, and goes on with that as soon as it is the longer chain.
 */
export class Positions {
  readonly #known = new Map<string, Known>()
  readonly #changed = new Set<string>()

  /** @param stored what `changes` gave before, origin → text */
  constructor(stored: Iterable<readonly [string, string]> = []) {
    for (const [origin, text] of stored) this.#known.set(origin, decodeKnown(text))
  }

  /**
   * Tells a message that cannot have its place from a repetition, which `accept` drops alike.
   * @returns what is wrong: the position has another form than those of its origin before, or the origin is one too many
   */
  fault({ origin, position }: Placed): string | undefined {
    const last = this.#known.get(origin)
    if (last === undefined)
      return this.#known.size < mostOrigins ? undefined : `origin: it is new, and ${mostOrigins} are known`
    return position.length === last.position.length
      ? undefined
      : `position: it has another form than ${last.position}, the last of its origin`
  }

  /** @returns whether the message is new; if so it counts as accepted. */
  accept(place: Placed): boolean {
    const { origin, position, link } = place
    const last = this.#known.get(origin)
    if (last === undefined) {
      if (this.fault(place) !== undefined) return false
      const young = link === undefined ? undefined : { tips: [link.tip], rival: undefined }
      this.#known.set(origin, { position, tip: link?.tip, young })
      this.#changed.add(origin)
      return true
    }
    if (position.length !== last.position.length) return false
    if (rule) {
      if (link !== undefined && last.tip !== undefined && link.extends !== last.tip) {
        if (!this.#outgrows(origin, last, position, link)) return false
      } else if (position <= last.position) return false
      else if (last.young !== undefined && link !== undefined) last.young = grown(last.young.tips, link.tip)
    }
    last.position = position
    last.tip = link?.tip
    this.#changed.add(origin)
    return true
  }

  /** Remembers a message that does not extend the tip. @returns whether its chain is now longer than the accepted one */
  #outgrows(origin: string, last: Known, position: string, link: NonNullable<Placed['link']>): boolean {
    if (last.young === undefined) return false
    const { tips, rival } = last.young
    this.#changed.add(origin)
    // What leads to where we have been was written again.
    if (tips.includes(link.tip)) {
      last.young = { tips, rival: undefined }
      return false
    }
    const continues = rival !== undefined && rival.tips.at(-1) === link.extends && rival.position < position
    const branch = { position, tips: continues ? [...rival.tips, link.tip] : [link.tip] }
    const longer = branch.tips.length > tips.length && position > last.position
    last.young = longer ? grown(branch.tips.slice(0, -1), link.tip) : { tips, rival: branch }
    return longer
  }

  /** @returns the origins that changed since the last call, as text to store. */
  changes(): [origin: string, text: string][] {
    const changed = [...this.#changed].flatMap((origin): [string, string][] => {
      const known = this.#known.get(origin)
      return known === undefined ? [] : [[origin, encodeKnown(known)]]
    })
    this.#changed.clear()
    return changed
  }

  get(origin: string): Accepted | undefined {
    return this.#known.get(origin)
  }
}

const grown = (tips: readonly string[], tip: string): Known['young'] =>
  tips.length + 1 < settledAfter ? { tips: [...tips, tip], rival: undefined } : undefined

/** `position`, of journals followed by the tip, and as long as they are young by the tips and those of the rival. */
function encodeKnown({ position, tip, young }: Known): string {
  const rival = young?.rival
  return [position, tip, young?.tips.join(), rival?.position, rival?.tips.join()]
    .filter((part) => part !== undefined)
    .join(' ')
}

function decodeKnown(text: string): Known {
  const [position = '', tip, tips, rivalPosition, rivalTips = ''] = text.split(' ')
  if (tips === undefined) return { position, tip, young: undefined }
  const rival = rivalPosition === undefined ? undefined : { position: rivalPosition, tips: rivalTips.split(',') }
  return { position, tip, young: { tips: tips.split(','), rival } }
}
