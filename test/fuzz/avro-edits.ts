/** Hostile changes of an encoded record: of one part, by what the part says, or of the whole value. */
import type { Random } from '../../ops/local/chain/random.ts'
import { counted, varint, type Token } from './avro-tokens.ts'
import { hostileDoubles, hostileInteger, hostileText } from './hostile.ts'
import type { Edit } from './kind.ts'

/** Bytes of a value that are replaced by others. */
export interface ValueEdit extends Edit {
  readonly on: 'value'
  readonly from: number
  readonly to: number
  /** null: the message has no value. */
  readonly bytes: Uint8Array | null
  /** Whether the record must be refused by everyone who reads it. */
  readonly isBad: boolean
  /** Whether what stands behind is read as before. */
  readonly isAligned: boolean
  /** Whether the bytes are the only ones for what they say, so that a reader who writes what it read writes the same. */
  readonly isExact: boolean
}

type Change = Pick<ValueEdit, 'label' | 'bytes'> &
  Partial<Pick<ValueEdit, 'from' | 'to' | 'isBad' | 'isAligned' | 'isExact'>>

const misaligned = { isAligned: false, isExact: false } as const
const bad = { isBad: true } as const
/** Bytes of the wire format before the record: zero, the schema's id. */
export const prefixBytes = 5
/** Beyond it repeated items are not made: a record has a size that its topic takes. */
const longestList = 200_000

/** A hostile change of one part of a record. */
export function editOf(random: Random, token: Token, value: Buffer): ValueEdit {
  const change = random.next() < 0.05 ? garbled(random, token, value) : changeOf(random, token, value)
  return complete(token, change)
}

const complete = ({ from, to }: Pick<Token, 'from' | 'to'>, change: Change): ValueEdit => ({
  on: 'value',
  from,
  to,
  isBad: false,
  isAligned: true,
  isExact: true,
  ...change,
})

function changeOf(random: Random, token: Token, value: Buffer): Change {
  switch (token.role) {
    case 'string':
    case 'key':
      return random.next() < 0.15 ? length(random, token, value) : text(random, token, value)
    case 'bytes':
      return length(random, token, value)
    case 'long':
    case 'int':
      return random.next() < 0.1 ? overlong(random, token, value) : integer(random, token, value)
    case 'double':
      return double(random)
    case 'boolean':
      return { label: 'boolean that is none', bytes: Buffer.from([random.pick([2, 0x7f, 0xff])]), isExact: false }
    case 'enum':
      return choice(random, token, 'symbol')
    case 'union':
      return random.next() < 0.5 ? choice(random, token, 'branch') : branch(random, token)
    case 'count':
      return count(random, token)
    case 'list':
      return list(random, token, value)
  }
}

function text(random: Random, token: Token, value: Buffer): Change {
  const { start, end } = contentOf(token, value)
  const { label, bytes, isNoText } = hostileText(random, value.toString('utf8', start, end))
  const isKey = token.role === 'key'
  return { label: isKey ? `${label} as a key` : label, bytes: counted(bytes), ...(isNoText === true ? bad : {}) }
}

/** Where the bytes of a text are. */
function contentOf({ from, to }: Token, value: Buffer): { start: number; end: number } {
  let start = from
  while ((value[start++] ?? 0) > 0x7f);
  return { start, end: to }
}

/** A length that is not that of the bytes behind it. */
function length(random: Random, token: Token, value: Buffer): Change {
  const { start, end } = contentOf(token, value)
  const content = value.subarray(start, end)
  const [label, number] = random.pick([
    ['length one too large', BigInt(content.length + 1)],
    ['length one too small', BigInt(Math.max(0, content.length - 1))],
    ['negative length', -1n],
    ['negative length', -(2n ** 62n)],
    ['length beyond the value', 2n ** 31n],
    ['length beyond the value', 2n ** 40n],
    ['length beyond the value', 2n ** 53n],
    ['length beyond the value', 2n ** 62n],
  ] as const)
  const isBad = label === 'negative length' || label === 'length beyond the value'
  return { label, bytes: Buffer.concat([varint(number), content]), ...misaligned, isBad }
}

function integer(random: Random, token: Token, value: Buffer): Change {
  const { label, value: number } = hostileInteger(random, longAt(value, token.from))
  const most = token.role === 'int' ? 2n ** 31n : 2n ** 53n
  const isBeyond = number >= most || number < -most
  return { label: isBeyond ? `${token.role} beyond its bounds` : label, bytes: varint(number), isBad: isBeyond }
}

function longAt(value: Buffer, from: number): number {
  let [number, scale, at] = [0, 1, from]
  for (; (value[at] ?? 0) > 0x7f; at++, scale *= 128) number += ((value[at] ?? 0) & 0x7f) * scale
  number += (value[at] ?? 0) * scale
  return number % 2 === 0 ? number / 2 : -(number + 1) / 2
}

/** A number with more bytes than it needs, which says the same as long as they fit a long. */
function overlong(random: Random, { from, to }: Token, value: Buffer): Change {
  const most = random.pick([1, 1, 4, 30, 2_000])
  const bytes = Buffer.concat([value.subarray(from, to), Buffer.alloc(most, 0x80), Buffer.alloc(1)])
  bytes[to - from - 1] = (bytes[to - from - 1] ?? 0) | 0x80
  return { label: 'overlong number', bytes, isExact: false }
}

function double(random: Random): Change {
  const { label, value } = random.pick(hostileDoubles)
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return { label, bytes, isBad: !Number.isFinite(value) }
}

/** A branch or a symbol by its number. */
function choice(random: Random, { choices = 0, chosen = 0 }: Token, of: 'symbol' | 'branch'): Change {
  const number = random.pick([BigInt(choices), -1n, 2n ** 31n, 2n ** 53n, 2n ** 62n, null])
  if (number !== null) return { label: `${of} that is not there`, bytes: varint(number), ...misaligned, ...bad }
  const other = choices < 2 ? chosen : (chosen + random.int(1, choices - 1)) % choices
  if (of === 'symbol') return { label: 'another symbol', bytes: varint(other) }
  return { label: 'another branch with the old content', bytes: varint(other), ...misaligned }
}

function branch(random: Random, { end = 0, chosen = 0, branches = [] }: Token): Change {
  const others = branches.filter((_, index) => index !== chosen)
  return { label: 'another branch', to: end, bytes: others.length === 0 ? Buffer.alloc(1) : random.pick(others) }
}

function count(random: Random, { chosen = 0 }: Token): Change {
  const kind = random.next()
  if (kind < 0.3) return { label: 'one more item than there is', bytes: varint(chosen + 1), ...misaligned }
  if (kind < 0.4) return { label: 'no item though there are', bytes: varint(0), ...misaligned }
  const number = random.pick([10n ** 5n, 10n ** 8n, 2n ** 31n, 2n ** 40n, 2n ** 53n, 2n ** 62n])
  if (kind < 0.75) return { label: 'count beyond the value', bytes: varint(number), ...misaligned, ...bad }
  // A negative count is followed by the size of the block.
  const size = random.pick([0n, 1n, -1n, 2n ** 40n])
  const bytes = Buffer.concat([varint(-number), varint(size)])
  return { label: 'negative count beyond the value', bytes, ...misaligned, ...bad }
}

/** The same items in other blocks, or more often than they were. */
function list(random: Random, { from, to, items = [] }: Token, value: Buffer): Change {
  const isSplit = random.next() < 0.4
  const all = items.map(([start, end]) => value.subarray(start, end))
  if (isSplit) {
    const blocks = all.map((item) => [varint(-1), varint(random.pick([item.length, 0, 2 ** 31])), item])
    return { label: 'a block for each item', from, bytes: Buffer.concat([...blocks.flat(), varint(0)]), isExact: false }
  }
  const size = Math.max(1, to - from)
  const times = Math.max(1, Math.min(random.pick([2, 50, 2_000]), Math.floor(longestList / size)))
  const repeated = Array.from({ length: times }).flatMap(() => all)
  if (repeated.length === 0) return { label: 'a block of no item', from, bytes: Buffer.from([0]) }
  const bytes = Buffer.concat([varint(repeated.length), ...repeated, varint(0)])
  return { label: times > 40 ? 'items again and again' : 'items twice', from, bytes, isExact: false }
}

/** Bytes of a part turned over, whatever it says. */
function garbled(random: Random, { from, to }: Token, value: Buffer): Change {
  const bytes = Buffer.from(value.subarray(from, Math.max(to, from + 1)))
  for (let flips = random.int(1, 3); flips > 0; flips--) {
    const at = random.int(0, Math.max(0, bytes.length - 1))
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(0, 7))
  }
  return { label: 'bits turned over', bytes, ...misaligned }
}

/** Ids that stand for what they should not. */
export interface SchemaIds {
  /** Of other topics, and of nothing. */
  readonly wrong: readonly number[]
  /** Of earlier versions of the topic, or of schemas that can be read as its own. */
  readonly older: readonly number[]
}

/** A hostile change of a value as a whole. */
export function editOfWhole(random: Random, value: Buffer, ids: SchemaIds): ValueEdit {
  const { length: end } = value
  const whole = { from: 0, to: end }
  const id = (number: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(number)
    return bytes
  }
  const idPlace = { from: 1, to: prefixBytes }
  switch (random.int(0, 9)) {
    case 0:
    case 1:
      return complete({ from: random.int(0, end - 1), to: end }, { label: 'cut off', bytes: Buffer.alloc(0), ...bad })
    case 2:
      return complete({ from: end, to: end }, { label: 'bytes left over', bytes: noise(random, random.pick([1, 9, 999])), ...bad }) // prettier-ignore
    case 3:
      return complete({ from: 0, to: 1 }, { label: 'not in the wire format', bytes: Buffer.from([random.int(1, 255)]), ...bad }) // prettier-ignore
    case 4:
      return complete(idPlace, { label: "another topic's schema", bytes: id(random.pick(ids.wrong)), ...bad })
    case 5:
      return complete(idPlace, { label: 'a schema that nobody knows', bytes: id(random.pick([0, 0x7fffffff, 0xffffffff])), ...bad }) // prettier-ignore
    case 6:
      return complete(idPlace, {
        label: 'another version of the schema',
        bytes: id(random.pick(ids.older)),
        ...misaligned,
      })
    case 7:
      return complete(whole, { label: 'no value', bytes: null, ...bad })
    case 8:
      return complete(whole, { label: 'empty value', bytes: value.subarray(0, random.int(0, prefixBytes)), ...bad })
    default:
      return complete({ from: prefixBytes, to: end }, { label: 'random bytes', bytes: noise(random, random.int(1, 400)), ...misaligned }) // prettier-ignore
  }
}

const noise = (random: Random, bytes: number): Buffer => Buffer.from(random.hex(2 * bytes), 'hex')

/** @returns those of the edits that do not overlap with one before them, in the order of the value */
export function ordered(edits: readonly ValueEdit[]): ValueEdit[] {
  const sorted = edits.toSorted((a, b) => a.from - b.from || a.to - b.to)
  let end = -1
  return sorted.filter(({ from, to }) => {
    const fits = from >= end
    if (fits) end = Math.max(to, from + 1)
    return fits
  })
}

/** What edits, in order, make of a value. */
export function applied(value: Buffer, edits: readonly ValueEdit[]): Buffer | null {
  const parts: Uint8Array[] = []
  let at = 0
  for (const { from, to, bytes } of edits) {
    if (bytes === null) return null
    parts.push(value.subarray(at, from), bytes)
    at = to
  }
  return Buffer.concat([...parts, value.subarray(at)])
}

/** What is certain of a record with these edits, in order; behind one that misaligns it nothing is. */
export function certaintyOf(edits: readonly ValueEdit[]): { isBad: boolean; isExact: boolean } {
  const first = edits.findIndex(({ isAligned }) => !isAligned)
  const certain = first < 0 ? edits : edits.slice(0, first + 1)
  return { isBad: certain.some((edit) => edit.isBad), isExact: edits.every((edit) => edit.isExact) }
}
