/**
 * What a step has emitted because of inputs that are not final. It is kept as it was published, and so a removal takes back just
 * that, whatever code and settings have become since.
 */
import type { Draft, Micros, Topic } from '../definitions.ts'
import { PoisonError } from '../errors.ts'

export interface Emitted {
  readonly topic: Topic
  readonly id: string
  /** The draft as JSON; two outputs of a topic are the same if this is. */
  readonly text: string
  /** When the timer was due that led to it; undefined where an input did. */
  readonly wake: Micros | undefined
  /** As published: the newest block that it follows from, and how often its id had been removed before. */
  block: number | null
  revision: number
}

/** An emitted output as JSON holds it. */
export type StoredOutput = readonly [
  topic: string,
  draft: object,
  block: number | null,
  revision: number,
  wake?: Micros,
]

/** @throws PoisonError where the draft holds a number that JSON does not carry: it could not be taken back */
export function emittedOf(topic: Topic, draft: Draft<object>, wake: Micros | undefined, block: number | null): Emitted {
  const text = JSON.stringify(draft)
  // NaN and Infinity become null, and nothing else is looked for.
  if (text.includes('null')) assertFinite(draft, topic.name)
  return { topic, id: idOf(draft), text, wake, block, revision: 0 }
}

/** @returns the record that was published, or takes back what was: provenance is the runtime's. */
export function recordOf({ text, block, revision }: Emitted, finalized: number | null, removed: boolean): object {
  const draft: object = JSON.parse(text)
  return { ...draft, block, finalized, removed, revision }
}

/** @returns outputs as JSON, to be read by `restoredOutputs`. */
export function storedOutputs(outputs: readonly Emitted[]): string {
  const texts = outputs.map(({ topic, text, block, revision, wake }) => {
    const rest = wake === undefined ? [block, revision] : [block, revision, wake]
    return `[${JSON.stringify(topic.name)},${text},${rest.join()}]`
  })
  return `[${texts.join()}]`
}

/**
 * @param topics what the step writes, by name
 * @throws Error where the step does not write a topic any more: what stands there cannot be taken back
 */
export function restoredOutputs(stored: readonly StoredOutput[], topics: ReadonlyMap<string, Topic>): Emitted[] {
  return stored.map(([name, draft, block, revision, wake]) => {
    const topic = topics.get(name)
    if (topic === undefined)
      throw new Error(
        `outputs to ${name} are not final, and the step does not write it any more: they could not be removed`,
      )
    return { topic, id: idOf(draft), text: JSON.stringify(draft), wake, block, revision }
  })
}

/** What tells outputs apart. */
export const sameness = ({ topic, text }: Emitted): string => `${topic.name} ${text}`

/**
 * Compares what was emitted with what follows now. An output that still follows stands as it was published.
 * @returns what no longer follows, and what newly does, each in its order
 */
export function difference(
  before: readonly Emitted[],
  now: readonly Emitted[],
): { readonly gone: readonly Emitted[]; readonly fresh: readonly Emitted[] } {
  const standing = new Map<string, Emitted[]>()
  for (const output of before) {
    const name = sameness(output)
    const alike = standing.get(name)
    if (alike === undefined) standing.set(name, [output])
    else alike.push(output)
  }
  const kept = new Set<Emitted>()
  const fresh = now.filter((output) => {
    const same = standing.get(sameness(output))?.shift()
    if (same === undefined) return true
    kept.add(same)
    output.block = same.block
    output.revision = same.revision
    return false
  })
  return { gone: before.filter((output) => !kept.has(output)), fresh }
}

/** Whether two lists would be stored alike. */
export const areAlike = (some: readonly Emitted[], others: readonly Emitted[]): boolean =>
  some.length === others.length && some.every((output, at) => isLike(output, others[at]))

const isLike = (one: Emitted, other: Emitted | undefined): boolean =>
  one.topic === other?.topic &&
  one.text === other.text &&
  one.wake === other.wake &&
  one.block === other.block &&
  one.revision === other.revision

const idOf = (draft: object): string => ('id' in draft && typeof draft.id === 'string' ? draft.id : '')

function assertFinite(value: unknown, where: string): void {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new PoisonError('unprocessable', `${where} is ${value}, which state cannot hold`)
  if (typeof value !== 'object' || value === null) return
  for (const [name, part] of Object.entries(value)) assertFinite(part, `${where}.${name}`)
}
