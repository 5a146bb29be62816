/** Hostile messages: a good one of the corpus, where it is put, and what is changed of its value, headers or key. */
import type { Random } from '../../ops/local/chain/random.ts'
import { applied, certaintyOf, ordered, type ValueEdit } from './avro-edits.ts'
import { counted, tokensOf, type Token } from './avro-tokens.ts'
import type { Corpus, Log } from './corpus.ts'
import type { Edit, Fields, Input } from './kind.ts'
import { positionAt, schemaOf, wirePrefix, type HeaderList, type Loose } from './system/messages.ts'

/** Headers of a name that are replaced, taken out (no values) or doubled (several). */
export interface HeaderEdit extends Edit {
  readonly on: 'header'
  readonly name: string
  readonly values: readonly (Uint8Array | null)[]
  /** Whether the record must be refused by everyone who reads it. */
  readonly isBad: boolean
}

export interface KeyEdit extends Edit {
  readonly on: 'key'
  readonly key: Uint8Array | null
}

export type MessageEdit = ValueEdit | HeaderEdit | KeyEdit

export interface MessageInput extends Input {
  readonly edits: readonly MessageEdit[]
  /** Index of the log. */
  readonly log: number
  /** Index of the good message that it is made of. */
  readonly base: number
  /** Index of the good message behind which it is put; -1: at the beginning. */
  readonly at: number
  /**
   * Whether it has a key, an origin and an id of its own. Then good messages must come out as if it were not there, whatever becomes
   * of it; else as if it were not there where it was refused.
   */
  readonly isApart: boolean
  /** Makes its key and position its own. */
  readonly nonce: number
}

/** A hostile message as it is appended, and what is certain of it. */
export interface Hostile {
  readonly loose: Loose
  /** Whether everyone who reads its value must refuse it. */
  readonly isBad: boolean
  /** Whether every step must refuse it for its headers. */
  readonly isNowhere: boolean
  /** Whether its value must be refused, or be the same when it is written again. */
  readonly isExact: boolean
}

/** Positions between two good messages. */
const mostBetween = 1_000

/** The logs of a corpus by topic, and the records in each. */
interface Sources {
  readonly topics: readonly (readonly number[])[]
  readonly records: readonly (readonly number[])[]
}

const known = new WeakMap<Corpus, Sources>()

function sourcesOf(corpus: Corpus): Sources {
  let sources = known.get(corpus)
  if (sources === undefined) {
    const topics = [...Map.groupBy(corpus.logs.keys(), (index) => corpus.logs[index]?.topic).values()]
    const records = corpus.logs.map(({ messages }) =>
      messages.flatMap(({ value }, index) => (value === null ? [] : [index])),
    )
    known.set(corpus, (sources = { topics, records }))
  }
  return sources
}

/** @returns a place for a hostile message, without changes yet */
export function placed(random: Random, corpus: Corpus): Omit<MessageInput, 'edits'> {
  const { topics, records } = sourcesOf(corpus)
  const log = random.pick(random.pick(topics))
  const { topic = '', messages = [] } = corpus.logs[log] ?? {}
  const base = random.pick(records[log] ?? [])
  // Mostly where its time is that of its neighbours.
  const at = random.next() < 0.7 ? base : random.int(-1, messages.length - 1)
  const isApart = isJournal(messages[base]) || random.next() < 0.5
  return { target: topic, log, base, at, isApart, nonce: random.int(1, 1e9) }
}

/** Whether messages extend each other, so that one between them breaks what follows. */
const isJournal = (message: Loose | undefined): boolean =>
  message?.headers.some(([name]) => textOf(name) === 'extends') ?? false

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
const bytesOf = (text: string): Buffer => Buffer.from(text)

const taken = new WeakMap<Loose, readonly Token[]>()

/** @returns the parts of a good message's value */
export function partsOf(log: Log, base: number): readonly Token[] {
  const message = log.messages[base]
  if (message === undefined || message.value === null) return []
  let tokens = taken.get(message)
  if (tokens === undefined)
    taken.set(message, (tokens = tokensOf(schemaOf(log.topic), Buffer.from(message.value), wirePrefix)))
  return tokens
}

/** @returns the message of an input; a corpus that lacks its log gives none */
export function hostileOf(input: MessageInput, corpus: Corpus): Hostile {
  const log = corpus.logs[input.log]
  const base = log?.messages[input.base]
  if (log === undefined || base === undefined) throw new Error('the corpus is another one')
  const appended = log.messages[Math.max(0, input.at)]?.appended ?? 0
  if (input.raw !== undefined) return { loose: fromFields(input.raw, appended), isBad: false, isNowhere: false, isExact: false } // prettier-ignore
  const changes = ordered(input.edits.filter((edit) => edit.on === 'value'))
  const all = input.isApart ? ordered([...changes, ...ownId(log, input, changes)]) : changes
  const value = base.value === null ? null : applied(Buffer.from(base.value), all)
  const key = input.edits.find((edit) => edit.on === 'key')
  const headers = input.edits.filter((edit) => edit.on === 'header')
  const { isBad, isExact } = certaintyOf(changes)
  return {
    loose: {
      key: key === undefined ? (input.isApart ? bytesOf(`fuzz:${input.nonce}`) : base.key) : key.key,
      value,
      headers: edited(ownHeaders(base.headers, input), headers),
      appended,
    },
    isBad,
    isNowhere: headers.some((edit) => edit.isBad),
    isExact,
  }
}

/** The id stands first; a sink knows records by it. */
function ownId(log: Log, { base, nonce }: MessageInput, others: readonly ValueEdit[]): ValueEdit[] {
  const id = partsOf(log, base)[0]
  if (id?.field !== 'id' || others.some(({ from, to }) => from < id.to && to >= id.from)) return []
  const { from, to } = id
  const bytes = counted(bytesOf(`fuzz:${nonce}`))
  return [{ on: 'value', label: 'an id of its own', from, to, bytes, isBad: false, isAligned: true, isExact: true }]
}

/** @returns the position that a message has behind the good one at `at`, in the form of another */
export const positionOf = (form: string, { at, nonce }: Pick<MessageInput, 'at' | 'nonce'>): string =>
  positionAt(form, at + 1 + (1 + (nonce % mostBetween)) / (mostBetween + 24))

function ownHeaders(headers: HeaderList, input: MessageInput): HeaderList {
  return headers.map(([name, value]) => {
    const [which, content] = [textOf(name), value === null ? '' : textOf(value)]
    if (which === 'origin' && input.isApart) return [name, bytesOf(`fuzz:${input.nonce}`)]
    return which === 'position' ? [name, bytesOf(positionOf(content, input))] : [name, value]
  })
}

function edited(headers: HeaderList, edits: readonly HeaderEdit[]): HeaderList {
  let all = [...headers]
  for (const { name, values } of edits) {
    all = all.filter(([one]) => textOf(one) !== name)
    all.push(...values.map((value) => [Buffer.from(name, 'latin1'), value] as const))
  }
  return all
}

/** The bytes of a message, each under the name that a report gives it. */
export function fieldsOf(input: MessageInput, corpus: Corpus): Fields {
  if (input.raw !== undefined) return input.raw
  const { loose } = hostileOf(input, corpus)
  return [
    ['key', loose.key],
    ['value', loose.value],
    ...loose.headers.flatMap(([name, value], index): Fields => [
      [`header ${index} name`, name],
      [`header ${index}`, value],
    ]),
  ]
}

function fromFields(fields: Fields, appended: number): Loose {
  const known = new Map(fields)
  const names = fields.filter(([name]) => /^header \d+ name$/.test(name))
  const headers = names.map(
    ([name, bytes]) => [bytes ?? Buffer.alloc(0), known.get(name.slice(0, -5)) ?? null] as const,
  )
  return { key: known.get('key') ?? null, value: known.get('value') ?? null, headers, appended }
}
