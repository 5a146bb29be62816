/** Made-up values of any type that our schemas use. */
import avro, { type Type } from 'avsc'
import fc from 'fast-check'

interface Leaves {
  readonly text: fc.Arbitrary<string>
  readonly long: fc.Arbitrary<number>
  readonly double?: fc.Arbitrary<number>
  readonly key?: fc.Arbitrary<string>
}

const oddText = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ minLength: 15, maxLength: 90 }),
  fc.constantFrom('x'.repeat(63), 'x'.repeat(64), 'é'.repeat(33), 'x'.repeat(9_000), '\ud800', `${'x'.repeat(40)}é`),
)
const oddLong = fc.oneof(
  fc.maxSafeInteger().map((value) => Math.trunc(value / 2)),
  fc.integer(),
  fc.constantFrom(0, -1, 63, 64, 2 ** 30, 2 ** 31, 2 ** 52 - 1, 2 ** 52, -(2 ** 52), 9_007_199_254_740_990),
)

/** Values as records mostly have them: text in ASCII, and numbers that are exact. */
export const plainValuesOf = (type: Type): fc.Arbitrary<unknown> =>
  valuesOf(type, {
    text: fc.string({ maxLength: 30 }),
    long: fc.maxSafeInteger().map((value) => Math.trunc(value / 2)),
  })

/** Odd values, but none that a record cannot keep: text that is none, numbers that are not finite or not exact. */
export const soundValuesOf = (type: Type): fc.Arbitrary<unknown> =>
  valuesOf(type, {
    // U+FFFD is what broken text would become.
    text: oddText.filter((text) => text.isWellFormed() && !text.includes('\ufffd')),
    long: oddLong,
    double: fc.double({ noDefaultInfinity: true, noNaN: true }),
    key: fc.string({ unit: 'binary' }).filter((key) => key.isWellFormed() && key !== '__proto__'),
  })

/** Odd ones among them, unless others are given. */
export function valuesOf(type: Type, leaves: Leaves = { text: oddText, long: oddLong }): fc.Arbitrary<unknown> {
  const { types } = avro
  const of = (inner: Type): fc.Arbitrary<unknown> => valuesOf(inner, leaves)
  if (type instanceof types.StringType) return leaves.text
  if (type instanceof types.LongType) return leaves.long
  if (type instanceof types.IntType) return fc.integer()
  if (type instanceof types.DoubleType) return leaves.double ?? fc.double()
  if (type instanceof types.BooleanType) return fc.boolean()
  if (type instanceof types.NullType) return fc.constant(null)
  if (type instanceof types.BytesType) return fc.uint8Array().map((bytes) => Buffer.from(bytes))
  if (type instanceof types.EnumType) return fc.constantFrom(...type.symbols)
  if (type instanceof types.ArrayType) return fc.array(of(type.itemsType), { maxLength: 3 })
  if (type instanceof types.MapType)
    return fc.dictionary(leaves.key ?? fc.string(), of(type.valuesType), { maxKeys: 3 })
  if (type instanceof types.UnwrappedUnionType) return fc.oneof(...type.types.map(of))
  if (type instanceof types.RecordType)
    return fc.record(Object.fromEntries(type.fields.map((field) => [field.name, of(field.type)])))
  throw new Error(`no values for ${type.typeName}`)
}
