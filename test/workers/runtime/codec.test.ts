/** Decoding records of any writer: what cannot be read, or cannot be kept, is one record's fault and says why. */
import avro, { type Type } from 'avsc'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { Decoder, Encoder, schemaText, typeOf } from '../../../workers/runtime/codec.ts'
import { defineProcessor, type Topic } from '../../../workers/runtime/definitions.ts'
import { oneLine, PoisonError } from '../../../workers/runtime/errors.ts'
import { FrameWriter } from '../../../workers/runtime/packing.ts'
import { packRecord, readOutputs, SlotTask } from '../../../workers/runtime/slot-task.ts'
import { marketRisk, match, walletRisk } from '../../sinks/records.ts'
import { schemaIds } from '../../support/driver.ts'
import { noon, trade } from '../records.ts'

const framed = (id: number, bytes: Buffer): Buffer => {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(id, 1)
  return Buffer.concat([prefix, bytes])
}
const bytesOf = (record: object): Buffer => framed(1, typeOf(topics.marketTrades.name).toBuffer(record))

const knowing = (topic: Topic): Decoder<object> => {
  const decoder = new Decoder<object>(topic)
  decoder.learn(1, schemaText(topic.name))
  return decoder
}

/** @returns code and text of what decoding throws. */
function refusalOf(decoder: Decoder<object>, value: Buffer): string {
  try {
    return `read ${JSON.stringify(decoder.decode(value))}`
  } catch (error) {
    return error instanceof PoisonError ? `${error.code} ${oneLine(error)}` : `threw ${String(error)}`
  }
}

describe('a schema that is not the topic’s', () => {
  const good = trade(1, noon, '100')
  const fieldsOf = (name: string): { name: string }[] => {
    const schema: { fields: { name: string }[] } = JSON.parse(schemaText(name))
    return schema.fields
  }
  const lacking = (): string => {
    const schema: object = JSON.parse(schemaText(topics.marketTrades.name))
    return JSON.stringify({
      ...schema,
      fields: fieldsOf(topics.marketTrades.name).filter(({ name }) => name !== 'price'),
    })
  }

  it.each([
    ['another topic’s', schemaText(topics.deadLetters.name), /no alias found for cryptointel.DeadLetter/],
    ['one that lacks a field', lacking(), /no matching field for default-less cryptointel.MarketTrade.price/],
    ['no record', '"string"', /it is no record but string$/],
    ['JSON Schema', '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}', /unknown type: "object"/],
    ['Protobuf', 'syntax = "proto3"; message Trade {}', /Unexpected token/],
    ['nothing', '', /Unexpected end of JSON input/],
    ['a number', '7', /unknown type/],
    ['null', 'null', /invalid type: null/],
    [
      'a type that nobody defined',
      '{"type":"record","name":"A","fields":[{"name":"b","type":"B"}]}',
      /undefined type name/,
    ],
    [
      'lists within lists without end',
      `${'{"type":"array","items":'.repeat(20_000)}"int"${'}'.repeat(20_000)}`,
      /call stack/,
    ],
    [
      'one of many megabytes',
      JSON.stringify({ ...trade(1, 1, 1), doc: 'x'.repeat(2_000_000) }),
      /it is longer than 1048576 characters$/,
    ],
  ])('makes its records undecodable, and no others: %s', (_what, schema, why) => {
    const decoder = new Decoder<object>(topics.marketTrades)
    decoder.learn(7, schema)
    decoder.learn(1, schemaText(topics.marketTrades.name))
    expect(decoder.knows(7)).toBe(true)
    expect(refusalOf(decoder, framed(7, Buffer.from([1, 2, 3])))).toMatch(
      /^undecodable the value does not decode as market.trades.v1, schema 7: the schema cannot be read as this topic's: /,
    )
    expect(refusalOf(decoder, framed(7, Buffer.alloc(0)))).toMatch(why)
    expect(decoder.decode(bytesOf(good))).toEqual(good)
  })
})

/** The paths of a type's doubles, through records, lists and options. */
function doublesOf(type: Type, path: readonly string[] = []): (readonly string[])[] {
  const { types } = avro
  if (type instanceof types.DoubleType) return [path]
  if (type instanceof types.RecordType) return type.fields.flatMap((one) => doublesOf(one.type, [...path, one.name]))
  if (type instanceof types.ArrayType) return doublesOf(type.itemsType, [...path, '0'])
  if (type instanceof types.UnwrappedUnionType) return type.types.flatMap((one) => doublesOf(one, path))
  return []
}

function changed(value: unknown, [name, ...rest]: readonly string[], to: unknown): unknown {
  if (name === undefined) return to
  if (Array.isArray(value)) return [changed(value[0], rest, to)]
  return { ...Object(value), [name]: changed(Object(value)[name], rest, to) }
}

describe.each([
  [topics.riskMarkets, marketRisk],
  [topics.riskWallets, walletRisk],
  [topics.patternsMatches, match],
] as const)('a number of $name that is not finite', (topic: Topic, record: object) => {
  const paths = doublesOf(typeOf(topic.name))
  const cases = paths.flatMap((path) => [NaN, Infinity, -Infinity].map((value) => [path, value] as const))

  it.each(cases)('is refused by name: %j %d', (path, value) => {
    const spoilt = Object(changed(record, path, value))
    const name = path.join('.').replace('.0', '[]')
    const bytes = framed(1, typeOf(topic.name).toBuffer(spoilt))
    expect(refusalOf(knowing(topic), bytes)).toBe(`invalid ${name}: ${value} is not finite`)
    expect(() => new Encoder(new Map([[topic.name, 1]])).encode(topic, spoilt)).toThrow(
      `a record of ${topic.name} cannot be kept: ${name}: ${value} is not finite`,
    )
  })
})

describe('what cannot be kept', () => {
  const facts: Record<string, string> = JSON.parse('{"a":"1","__proto__":"2"}')
  const encode = (record: object) => (): Buffer =>
    new Encoder(new Map([[topics.patternsMatches.name, 1]])).encode(topics.patternsMatches, record)

  it.each([
    ['half a character', { summary: 'x\ud800y' }, 'summary: the text holds half a character'],
    ['half a character of a long text', { summary: 'x'.repeat(300) + '\udc00' }, 'summary: the text holds half'],
    ['half a character in a list', { wallets: ['a', '\ud800'] }, 'wallets[]: the text holds half a character'],
    ['half a character of a fact', { facts: { a: '\ud800' } }, 'facts{}: the text holds half a character'],
    ['half a character of a fact’s name', { facts: { '\ud800': 'a' } }, 'a key of facts: the text holds half'],
    ['a fact called __proto__', { facts }, 'facts: no key can be __proto__'],
    ['a number that avsc would write wrongly', { ts: -(2 ** 52) - 1 }, 'ts: -4503599627370497 is too large'],
    ['a number in an option', { block: -(2 ** 52) - 1 }, 'block: -4503599627370497 is too large'],
  ])('is not written: %s', (_what, rest, fault) => {
    expect(encode({ ...match, ...rest })).toThrow(fault)
  })

  it('is written and read where it only looks odd', () => {
    const odd = { ...match, summary: '\ufffd', facts: { constructor: 'é', toString: '𝒳', '': '\u0000' }, wallets: [''] }
    expect(knowing(topics.patternsMatches).decode(encode(odd)())).toEqual({ ...odd, facts: { ...odd.facts } })
  })

  it('is told alike of short, long and odd records', () => {
    for (const rest of [{}, { venue: 'é' }, { venue: 'x'.repeat(2_000) }]) {
      const refused = refusalOf(knowing(topics.marketTrades), bytesOf({ ...trade(1, noon, '0'), ...rest }))
      expect(refused).toBe('invalid price: "0" is no price')
    }
  })
})

it('reads broken text of any length as none', () => {
  const good = trade(1, noon, '100', { venue: 'x'.repeat(30), tradeId: 'y'.repeat(8) })
  for (const [letter, name] of [
    ['x', 'venue'],
    ['y', 'tradeId'],
  ] as const) {
    const bytes = bytesOf(good)
    bytes[bytes.indexOf(letter)] = 0xff
    expect(refusalOf(knowing(topics.marketTrades), bytes)).toBe(`invalid ${name}: the text is not UTF-8`)
  }
})

describe('a step that emits what is no record', () => {
  const emits = (change: object) =>
    defineProcessor<object, { seen: number }>({
      name: 'emits',
      module: import.meta.url,
      inputs: [topics.marketTrades],
      outputs: [topics.riskMarkets],
      state: { version: 1, empty: () => ({ seen: 0 }) },
      process(record, state, emit) {
        state.seen++
        const bad = 'tradeId' in record && record.tradeId === '2' ? change : {}
        emit(topics.riskMarkets, { ...marketRisk, observations: state.seen, ...bad })
      },
    })

  it.each([
    ['a number that is not finite', { volatility: NaN }, /volatility: NaN is not finite/],
    ['a price of 0', { price: '0' }, /what it emits to risk.markets.v1 is invalid: price: "0" is no price/],
    ['a name without end', { symbol: 'x'.repeat(2_000) }, /what it emits to risk.markets.v1 is invalid: symbol: /],
    ['half a character', { symbol: '\ud800' }, /symbol: the text holds half a character/],
  ])('leaves that input out, and goes on as if it had not been there: %s', (_what, change, error) => {
    const slot = new SlotTask({ processor: emits(change), topic: topics.marketTrades, settings: undefined, schemaIds, stored: [], careful: true }) // prettier-ignore
    slot.learn([[1, schemaText(topics.marketTrades.name)]])
    const frames = new FrameWriter()
    for (const id of [1, 2, 3])
      packRecord(frames, id, 0, noon + id, Buffer.from('k'), bytesOf(trade(id, noon + id, '100')))
    const { outputs, faults } = slot.run(frames.finish(), ['o'])
    expect(faults).toMatchObject([
      { offset: 2, reason: 'poison', code: 'unprocessable', error: expect.stringMatching(error) },
    ])
    const decoder = new Decoder(topics.riskMarkets)
    decoder.learn(schemaIds.get(topics.riskMarkets.name) ?? 0, schemaText(topics.riskMarkets.name))
    const seen = [...readOutputs(outputs)].map(({ value }) => value && decoder.decode(Buffer.from(value)).observations)
    expect(seen).toEqual([1, 2])
  })
})
