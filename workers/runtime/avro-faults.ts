/** What avsc would write of a record although nobody can read it back: text that is none, numbers that are none, lost keys. */
import avro, { type Type } from 'avsc'

/** Below it avsc's doubled number is odd and not exact any more. */
const leastLong = -(2 ** 52)

/**
 * Looks through a value of a type; what does not fit the type it leaves to avsc, which refuses it.
 * @returns what is wrong, the field first, or undefined
 */
export function valueFault(type: Type, value: unknown, path = ''): string | undefined {
  const { types } = avro
  if (typeof value === 'string') return textFault(value, path)
  if (typeof value === 'number') return numberFault(type, value, path)
  if (typeof value !== 'object' || value === null) return undefined
  if (type instanceof types.RecordType) return fieldsFault(type, value, path)
  if (type instanceof types.ArrayType && Array.isArray(value))
    return first(value, (item: unknown) => valueFault(type.itemsType, item, `${path}[]`))
  if (type instanceof types.MapType)
    return first(Object.entries(value), ([key, item]) => {
      if (key === '__proto__') return `${path}: no key can be __proto__`
      return textFault(key, `a key of ${path}`) ?? valueFault(type.valuesType, item, `${path}{}`)
    })
  if (type instanceof types.UnwrappedUnionType) {
    const name = Array.isArray(value) ? 'array' : undefined
    const branch = type.types.find(({ typeName }) =>
      name === undefined ? /^(record|map)$/.test(typeName) : typeName === name,
    )
    return branch && valueFault(branch, value, path)
  }
  return undefined
}

const textFault = (text: string, path: string): string | undefined =>
  text.isWellFormed() ? undefined : `${path}: the text holds half a character`

function numberFault(type: Type, value: number, path: string): string | undefined {
  if (!Number.isFinite(value)) return `${path}: ${value} is not finite`
  const { types } = avro
  const isLong = (one: Type): boolean => one instanceof types.LongType
  const holdsLong = type instanceof types.UnwrappedUnionType ? type.types.some(isLong) : isLong(type)
  return holdsLong && value < leastLong ? `${path}: ${value} is too large to be exact` : undefined
}

const fieldsFault = (type: avro.types.RecordType, record: object, path: string): string | undefined =>
  first(type.fields, ({ name, type: inner }) =>
    valueFault(inner, Reflect.get(record, name), path === '' ? name : `${path}.${name}`),
  )

function first<Item>(items: readonly Item[], fault: (item: Item) => string | undefined): string | undefined {
  for (const item of items) {
    const found = fault(item)
    if (found !== undefined) return found
  }
  return undefined
}
