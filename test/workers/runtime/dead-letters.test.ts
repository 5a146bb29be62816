/** A dead letter fits its topic whatever the record was. */
import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { Decoder, Encoder, schemaText } from '../../../workers/runtime/codec.ts'
import { letterOf } from '../../../workers/runtime/dead-letters.ts'

const most = topics.deadLetters.maxMessageBytes ?? 0
const encoder = new Encoder(new Map([[topics.deadLetters.name, 1]]))
const decoder = new Decoder(topics.deadLetters)
decoder.learn(1, schemaText(topics.deadLetters.name))

const letter = (message: object, error = 'it is cut off') =>
  letterOf('step', topics.chainBlocks, 0, { key: null, value: null, timestamp: '1', attributes: 0, offset: '5', headers: {}, ...message }, { reason: 'poison', code: 'undecodable', error }) // prettier-ignore
const encoded = (made: object): Buffer => Buffer.from(encoder.encode(topics.deadLetters, made))

describe('a dead letter', () => {
  it('holds a record whole as long as it fits', () => {
    const value = randomBytes(15 * 1024 * 1024)
    const made = letter({ value, key: Buffer.from('1'), headers: { origin: Buffer.from('evm:1'), position: Buffer.from('1') } }) // prettier-ignore
    expect(made).toMatchObject({ cut: false, valueBytes: value.length, valueHash: null, origin: 'evm:1', offset: 5 })
    expect(Buffer.from(decoder.decode(encoded(made)).value ?? []).equals(value)).toBe(true)
  })

  it.each([
    ['value', { value: randomBytes(most) }],
    ['key', { key: randomBytes(most) }],
    ['header', { headers: { origin: Buffer.alloc(most, 'a'), position: Buffer.from('1') } }],
    ['headers', { headers: Object.fromEntries(Array.from({ length: 300_000 }, (_, n) => [`header-${n}`, randomBytes(60)])) }], // prettier-ignore
    ['everything', { value: randomBytes(most / 3), key: randomBytes(most / 3), headers: { x: randomBytes(most / 3) } }],
  ])('of a record whose %s is too large keeps where it stands, its beginning, size and hash', (_, message) => {
    const value = 'value' in message ? message.value : null
    const made = letter(message)
    expect(made).toMatchObject({ cut: true, topic: 'chain.blocks.v1', partition: 0, offset: 5, valueBytes: value?.length ?? -1 }) // prettier-ignore
    expect(made.valueHash).toBe(value === null ? null : createHash('sha256').update(value).digest('hex'))
    const bytes = encoded(made)
    expect(bytes.length).toBeLessThan(256 * 1024)
    expect(decoder.decode(bytes)).toMatchObject({ cut: true, offset: 5 })
  })

  it('takes text that is none', () => {
    const made = letter({ headers: { '\ud800': Buffer.of(0, 255), origin: Buffer.of(97, 0, 98), position: Buffer.of(255) } }, 'lone \udfff') // prettier-ignore
    expect(decoder.decode(encoded(made))).toMatchObject({ origin: 'a\0b', error: 'lone \ufffd', cut: false })
    expect(letter({}, 'e'.repeat(100_000)).error.length).toBeLessThan(5_000)
  })
})
