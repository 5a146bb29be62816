/** Decoding records of any writer: what cannot be read, or cannot be kept, is one record's fault and says why. */
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { Decoder, schemaText, typeOf } from '../../../workers/runtime/codec.ts'
import { oneLine, PoisonError } from '../../../workers/runtime/errors.ts'
import { noon, trade } from '../records.ts'

const framed = (id: number, bytes: Buffer): Buffer => {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(id, 1)
  return Buffer.concat([prefix, bytes])
}
const bytesOf = (record: object): Buffer => framed(1, typeOf(topics.marketTrades.name).toBuffer(record))

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
