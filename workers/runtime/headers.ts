/** Message headers: origin and position of every record, links of journals, and marks of time. */
import type { Mark } from './state/engine.ts'
import type { Placed } from './position.ts'

/** What every message carries; values as Kafka gives them. */
export type Headers = Record<string, Buffer | string | (Buffer | string)[] | undefined>

/** @returns the place that a message's headers name, or undefined where it has none. */
export function placeOf(headers: Headers | undefined): Placed | undefined {
  const origin = text(headers?.origin)
  const position = text(headers?.position)
  if (origin === undefined || position === undefined) return undefined
  const [before, tip] = [text(headers?.extends), text(headers?.tip)]
  if (before === undefined || tip === undefined) return { origin, position }
  return { origin, position, link: { extends: before, tip } }
}

/** The headers of a record or mark at a place. */
export function placeHeaders(place: Placed): Headers {
  const { origin, position, link } = place
  return link === undefined ? { origin, position } : { origin, position, extends: link.extends, tip: link.tip }
}

/**
 * The headers of a mark: `mark` is the time, for chains followed by the block, the finalized block and
 * the word removed, and `chain` is which.
 * A mark without a position (a market connector's) can be read twice without harm, since time only moves forward.
 */
export function markHeaders(mark: Mark, position: string | undefined): Headers {
  const parts = [mark.time, ...(mark.block === null ? [] : [mark.block, mark.finalized ?? '-'])]
  const headers: Headers = { origin: mark.origin, mark: parts.join(' ') + (mark.removed ? ' removed' : '') }
  if (mark.chainId !== null && mark.chainId !== undefined) headers.chain = String(mark.chainId)
  return position === undefined ? headers : { ...headers, position }
}

/** @returns the mark that the headers hold, or undefined where the message is a record. */
export function markOf(headers: Headers | undefined): Mark | undefined {
  const value = text(headers?.mark)
  const origin = text(headers?.origin)
  if (value === undefined || origin === undefined) return undefined
  const [time, block, finalized, removed] = value.split(' ')
  const chainId = text(headers?.chain)
  return {
    origin,
    time: Number(time),
    chainId: chainId === undefined ? null : Number(chainId),
    block: block === undefined ? null : Number(block),
    finalized: finalized === undefined || finalized === '-' ? null : Number(finalized),
    removed: removed === 'removed',
  }
}

/** What the headers of a redriven dead letter say. */
export interface Redrive {
  /** The step that it is meant for; others pass it over. */
  readonly step: string
  /** Where the record stands in the topic, which is the copy's. */
  readonly offset: number
  /** Whether the record is given up: there is nothing to process. */
  readonly skip: boolean
}

/**
 * The headers that a redriven copy of a record has besides the record's own: for which step it is, and where the record
 * stands. Readers that know neither drop it by its position, which they have seen.
 */
export function redriveHeaders({ step, offset, skip }: Redrive): Headers {
  return { 'only-step': step, 'left-out': `${offset}${skip ? ' skip' : ''}` }
}

/** @returns what a redriven message says; undefined where it is none that can be understood. */
export function redriveOf(headers: Headers | undefined): Redrive | undefined {
  const step = text(headers?.['only-step'])
  const [, digits, skip] = /^(\d{1,16})( skip)?$/.exec(text(headers?.['left-out']) ?? '') ?? []
  return step === undefined || digits === undefined
    ? undefined
    : { step, offset: Number(digits), skip: skip !== undefined }
}

/** Whether a message is meant for one step alone, and no part of its origin's sequence for others. */
export const isRedriven = (headers: Headers | undefined): boolean => headers?.['only-step'] !== undefined

function text(value: Headers[string]): string | undefined {
  const first = Array.isArray(value) ? value[0] : value
  return first === undefined ? undefined : first.toString()
}
