/** Made-up values of any type that our schemas use, odd ones among them. */
import avro, { type Type } from 'avsc'
import fc from 'fast-check'

const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ minLength: 15, maxLength: 90 }),
  fc.constantFrom('x'.repeat(63), 'x'.repeat(64), 'é'.repeat(33), 'x'.repeat(9_000), '\ud800', `${'x'.repeat(40)}é`),
)
const long = fc.oneof(
  fc.maxSafeInteger().map((value) => Math.trunc(value / 2)),
  fc.integer(),
  fc.constantFrom(0, -1, 63, 64, 2 ** 30, 2 ** 31, 2 ** 52 - 1, 2 ** 52, -(2 ** 52), 9_007_199_254_740_990),
)

export function valuesOf(type: Type): fc.Arbitrary<unknown> {
  const { types } = avro
  if (type instanceof types.StringType) return text
  if (type instanceof types.LongType) return long
  if (type instanceof types.IntType) return fc.integer()
  if (type instanceof types.DoubleType) return fc.double()
  if (type instanceof types.BooleanType) return fc.boolean()
  if (type instanceof types.NullType) return fc.constant(null)
  if (type instanceof types.BytesType) return fc.uint8Array().map((bytes) => Buffer.from(bytes))
  if (type instanceof types.EnumType) return fc.constantFrom(...type.symbols)
  if (type instanceof types.ArrayType) return fc.array(valuesOf(type.itemsType), { maxLength: 3 })
  if (type instanceof types.MapType) return fc.dictionary(fc.string(), valuesOf(type.valuesType), { maxKeys: 3 })
  if (type instanceof types.UnwrappedUnionType) return fc.oneof(...type.types.map(valuesOf))
  if (type instanceof types.RecordType)
    return fc.record(Object.fromEntries(type.fields.map((field) => [field.name, valuesOf(field.type)])))
  throw new Error(`no values for ${type.typeName}`)
}
