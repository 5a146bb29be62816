/** Messages whose headers or key are hostile: places that are none, watermarks that say nothing, names that nobody knows. */
import type { Random } from '../../../ops/local/chain/random.ts'
import { hostileText } from '../hostile.ts'
import type { Kind } from '../kind.ts'
import { fieldsOf, placed, positionOf, type HeaderEdit, type KeyEdit, type MessageInput } from '../message-input.ts'
import { MessageRun } from '../message-run.ts'

type Place = Omit<MessageInput, 'edits'>
type Change = Pick<HeaderEdit, 'label' | 'name' | 'values'> & { readonly isBad?: boolean }

export const headers: Kind<MessageInput> = {
  name: 'headers',
  module: import.meta.url,
  about: 'message headers and keys: missing, doubled, long, with NUL, positions and watermarks that are none',
  batch: 10_000,
  generate(random, corpus) {
    const place = placed(random, corpus)
    const form = positionIn(corpus.logs[place.log]?.messages[place.base]?.headers ?? [])
    const edits: (HeaderEdit | KeyEdit)[] = []
    for (let count = 1 + Math.floor(4 * random.next() ** 3); count > 0; count--) edits.push(editOf(random, place, form))
    // A later change of a header takes the place of an earlier one.
    const names = edits.map((edit) => (edit.on === 'key' ? 'the key' : edit.name))
    return { ...place, edits: edits.filter((_, index) => names.lastIndexOf(names[index] ?? '') === index) }
  },
  fields: fieldsOf,
  start: (corpus, bounds) => Promise.resolve(new MessageRun(corpus, bounds)),
}

function positionIn(headers: readonly (readonly [name: Uint8Array, value: Uint8Array | null])[]): string {
  const found = headers.find(([name]) => Buffer.from(name).toString() === 'position')
  return Buffer.from(found?.[1] ?? []).toString()
}

const editOf = (random: Random, place: Place, form: string): HeaderEdit | KeyEdit => {
  if (random.next() < 0.12) return keyEdit(random, place)
  return { on: 'header', isBad: false, ...change(random, place, form) }
}

function change(random: Random, place: Place, form: string): Change {
  const chance = random.next()
  if (chance < 0.25) return position(random, place, form)
  if (chance < 0.4) return origin(random)
  if (chance < 0.65) return watermark(random)
  if (chance < 0.75) return some(random, 'chain', ['abc', '-1', '1.5', '', '4294967296', '9'.repeat(30), 'NaN', '1e9'])
  if (chance < 0.82) return some(random, random.pick(['extends', 'tip']), ['', 'a,b', 'a b', '0x00', 'x'.repeat(5_000)])
  if (chance < 0.87) return some(random, 'only-step', ['', 'build-candles', 'no-step', '\0', '__proto__'])
  if (chance < 0.9) return some(random, 'traceparent', ['', '00', '00-x-y-01', '\0', 'x'.repeat(50_000)])
  return unknown(random)
}

const text = (value: string): Buffer => Buffer.from(value)
/** Longer ones are refused. */
const longOrigin = 3_000

/** A known header with a hostile value, none, or two. */
function some(random: Random, name: string, values: readonly string[]): Change {
  const value = text(random.pick(values))
  const chance = random.next()
  if (chance < 0.1) return { label: `${name} without a value`, name, values: [null] }
  if (chance < 0.2) return { label: `${name} twice`, name, values: [value, text(random.pick(values))] }
  if (chance < 0.4) return { label: `${name} of odd text`, name, values: [hostileText(random, '').bytes] }
  return { label: `${name} that is none`, name, values: [value] }
}

function origin(random: Random): Change {
  const name = 'origin'
  const bad = { name, isBad: true }
  switch (random.int(0, 6)) {
    case 0:
      return { label: 'no origin', values: [], ...bad }
    case 1:
      return { label: 'origin without a value', values: [null], ...bad }
    case 2:
      return { label: 'empty origin', values: [text('')], ...bad }
    case 3:
      return { label: 'origin with NUL', values: [text('a\0b')], ...bad }
    case 4:
      return { label: 'long origin', values: [text('x'.repeat(random.pick([longOrigin, 20_000])))], ...bad }
    case 5:
      return { label: 'origin of a redriven letter', name, values: [text(`dlq:${random.hex(6)}`)] }
    default: {
      const { label, bytes, isNoText = false } = hostileText(random, '')
      return { label: `${label} as origin`, name, values: [bytes], isBad: isNoText || bytes.includes(0) || bytes.length >= longOrigin } // prettier-ignore
    }
  }
}

const noPositions = ['zzzz', '', ' ', '-1', 'NaN', 'Infinity', '1e16', '12', '0'.repeat(17), '00000000000000 5', `${'0'.repeat(15)}x`, '0'.repeat(5_000), '\0', '0000.0000000000000001', '.'] // prettier-ignore
/** Higher than any, which only an origin of its own may have: a genuine origin that says so is believed. */
const high: Readonly<Record<number, string>> = { 16: '9'.repeat(16), 33: `${'9'.repeat(16)}.${'9'.repeat(16)}` }

function position(random: Random, place: Place, form: string): Change {
  const name = 'position'
  const own = positionOf(form, place)
  const bad = { name, isBad: true }
  switch (random.int(0, 6)) {
    case 0:
      return { label: 'no position', values: [], ...bad }
    case 1:
      return { label: 'position without a value', values: [null], ...bad }
    case 2:
      return { label: 'position twice', name, values: [text(own), text('zzzz')] }
    case 3:
      return { label: 'position of another form', name, values: [text(otherForm(own))] }
    case 4:
      return { label: 'position of before', name, values: [text(positionOf(form, { at: -1, nonce: 1 }))] }
    case 5: {
      const value = place.isApart ? (high[form.length] ?? own) : own
      return { label: 'highest position', name, values: [text(value)] }
    }
    default:
      return { label: 'position that is none', values: [text(random.pick(noPositions))], ...bad }
  }
}

const otherForm = (position: string): string =>
  position.includes('.') ? position.slice(0, 16).padStart(16, '0').replaceAll('.', '0') : `${position}.${position}`

const now = '1723118400000000'
const watermarks = ['', ' ', 'abc', 'NaN', 'Infinity', '-Infinity', '1e400', '-1', '0', '9'.repeat(16), '9'.repeat(400), '1.5', `${now} abc`, `${now} 5 x`, `${now} -5 -3`, `${now} NaN NaN`, `${now} 9007199254740993 9007199254740993`, `${now} 5 3 removed`, 'removed', `${now} 1 2 3 4 5 6`, '\0'] // prettier-ignore

function watermark(random: Random): Change {
  const change = some(random, 'mark', watermarks)
  return { ...change, label: change.label.replace('mark', 'watermark') }
}

const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', ' ', 'ORIGIN', 'origin ', 'a\0b', '\xff\xfe', 'x'.repeat(3_000), 'length'] // prettier-ignore

function unknown(random: Random): Change {
  const name = random.next() < 0.8 ? random.pick(names) : random.hex(random.int(1, 40))
  const value = hostileText(random, '').bytes
  const chance = random.next()
  if (chance < 0.01) return { label: 'thousands of headers', name, values: Array.from({ length: 20_000 }, () => value.subarray(0, 9)) } // prettier-ignore
  if (chance < 0.1) return { label: 'dozens of headers', name, values: Array.from({ length: 60 }, () => value.subarray(0, 99)) } // prettier-ignore
  if (chance < 0.2) return { label: 'unknown header without a value', name, values: [null] }
  return { label: name === '__proto__' ? 'header __proto__' : 'unknown header', name, values: [value] }
}

function keyEdit(random: Random, { nonce }: Place): KeyEdit {
  if (random.next() < 0.2) return { on: 'key', label: 'no key', key: null }
  const { label, bytes } = hostileText(random, '')
  const isOwn = random.next() < 0.5
  return { on: 'key', label: `${label} as key`, key: isOwn ? Buffer.concat([bytes, text(String(nonce))]) : bytes }
}
