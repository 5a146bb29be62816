/** FULL compatibility of two Avro schemas: whoever knows one reads what was written in the other. */
import avro, { type Schema, type Type } from 'avsc'

/** How a fault reads, for one direction of reading. */
interface Direction {
  readonly unreadable: string
  readonly absent: string
}
const olderData: Direction = {
  unreadable: 'older data cannot be read',
  absent: 'is new and has no default: older data cannot be read',
}
const olderCode: Direction = {
  unreadable: 'older code cannot read newer data',
  absent: 'is gone and had no default: older code cannot read newer data',
}

/** @returns every fault, each with its field; none where old and new code read old and new data. */
export function incompatibilities(now: Schema, before: Schema): string[] {
  const [present, past] = [avro.Type.forSchema(now), avro.Type.forSchema(before)]
  return [...faults(present, past, '', olderData), ...faults(past, present, '', olderCode)]
}

/** Where `reader` cannot read what `writer` wrote; goes into records, so that a fault names its field. */
function faults(reader: Type, writer: Type, path: string, direction: Direction): string[] {
  const cause = refusal(reader, writer)
  if (cause === undefined) return []
  const inner = innerFaults(reader, writer, path, direction)
  return inner.length > 0 ? inner : [`${path || 'the record'}: ${direction.unreadable} (${cause})`]
}

function innerFaults(reader: Type, writer: Type, path: string, direction: Direction): string[] {
  const { RecordType, ArrayType, MapType } = avro.types
  if (reader instanceof RecordType && writer instanceof RecordType) {
    return reader.fields.flatMap((field) => {
      const place = path === '' ? field.name : `${path}.${field.name}`
      const written = writer.fields.find(({ name }) => name === field.name)
      if (written !== undefined) return faults(field.type, written.type, place, direction)
      return field.defaultValue() === undefined ? [`${place} ${direction.absent}`] : []
    })
  }
  if (reader instanceof ArrayType && writer instanceof ArrayType) {
    return faults(reader.itemsType, writer.itemsType, `${path}[]`, direction)
  }
  if (reader instanceof MapType && writer instanceof MapType) {
    return faults(reader.valuesType, writer.valuesType, `${path}{}`, direction)
  }
  return []
}

function refusal(reader: Type, writer: Type): string | undefined {
  try {
    reader.createResolver(writer)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.split('\n')[0] : String(error)
  }
}
