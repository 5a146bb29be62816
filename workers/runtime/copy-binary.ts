/** Encodes rows in PostgreSQL's binary COPY format, into memory that is used again for the next batch. */
import type { Column, ColumnType, ColumnValue } from './definitions.ts'
import { PoisonError } from './errors.ts'

const signature = Buffer.from('PGCOPY\n\xff\r\n\0' + '\0'.repeat(8), 'latin1')
/** PostgreSQL counts from 2000-01-01. */
const unixToPostgres = 946_684_800_000_000
const textOid = 25

/**
 * Encodes one batch after the other. The chunks of a batch are views of the encoder's own memory: they hold until the
 * next call of `encode`, which must wait until the server has answered the COPY.
 *
 * Format: https://www.postgresql.org/docs/current/sql-copy.html (Binary Format); each type's own is that of its send
 * and receive functions in PostgreSQL's src/backend/utils/adt.
 */
export class CopyEncoder {
  readonly #out = new Slabs();

  /**
   * @returns chunks that together are the body of the COPY
   * @throws PoisonError `refused` that names the column, where a value does not fit it
   */
  *encode<Row>(columns: readonly Column<Row>[], records: Iterable<Row>): Generator<Buffer, void> {
    const out = this.#out
    out.restart()
    out.bytes(signature)
    const fields = columns.map((column) => ({ column, value: column.value, write: writerOf[column.type] }))
    for (const record of records) {
      out.int16(fields.length)
      for (const { column, value: valueOf, write } of fields) {
        const value = valueOf(record)
        if (value === null) out.int32(-1)
        else if (value === undefined || !write(out, value)) throw refusal(column, value)
      }
      if (out.full.length > 0) yield* out.takeFull()
    }
    out.int16(-1)
    yield* out.takeFull()
    yield out.rest()
  }
}

function refusal({ name, type }: { name: string; type: ColumnType }, value: ColumnValue | undefined): PoisonError {
  const shown = JSON.stringify(value) ?? 'undefined'
  return new PoisonError('refused', `column ${name} takes ${type}, not ${shown.slice(0, 80)}`)
}

/** Writes the length and the value; returns false where the value does not fit the type. */
type Writer = (out: Slabs, value: Exclude<ColumnValue, null>) => boolean

const writerOf: Record<ColumnType, Writer> = {
  text: (out, value) => typeof value === 'string' && out.text(value),
  timestamptz: (out, value) => typeof value === 'number' && writeInt64(out, value - unixToPostgres),
  bigint: (out, value) => (typeof value === 'string' ? writeBigint(out, value) : writeInt64(out, value)),
  integer(out, value) {
    if (typeof value !== 'number' || (value | 0) !== value) return false
    out.int32(4)
    out.int32(value)
    return true
  },
  double(out, value) {
    if (typeof value !== 'number') return false
    out.int32(8)
    out.float64(value)
    return true
  },
  boolean(out, value) {
    if (typeof value !== 'boolean') return false
    out.int32(1)
    out.int8(value ? 1 : 0)
    return true
  },
  numeric: (out, value) => typeof value === 'string' && writeNumeric(out, value),
  'text[]': (out, value) => Array.isArray(value) && writeTextArray(out, value),
  jsonb(out, value) {
    const text = Buffer.from(JSON.stringify(value))
    out.int32(text.length + 1)
    out.int8(1)
    out.bytes(text)
    return true
  },
}

function writeInt64(out: Slabs, value: unknown): boolean {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) return false
  const at = out.reserve(12)
  const { view } = out
  const high = Math.floor(value / 2 ** 32)
  view.setInt32(at, 8)
  view.setInt32(at + 4, high)
  view.setInt32(at + 8, value - high * 2 ** 32)
  return true
}

function writeBigint(out: Slabs, text: string): boolean {
  if (!/^-?\d{1,19}$/.test(text)) return false
  const value = BigInt(text)
  if (BigInt.asIntN(64, value) !== value) return false
  out.int32(8)
  out.bigint(value)
  return true
}

const [minus, zero] = [0x2d, 0x30]
/** Source: numeric_recv in PostgreSQL's numeric.c; NUMERIC_NEG. */
const negative = 0x4000
/** The most digits behind a point; amounts on chains have 78 in all. */
const most = 16_383

/** A decimal as groups of four digits, aligned to the point; the digits behind it, zeros too, are the scale. */
function writeNumeric(out: Slabs, text: string): boolean {
  const { length } = text
  const start = text.charCodeAt(0) === minus ? 1 : 0
  const dot = text.indexOf('.', start)
  const whole = (dot < 0 ? length : dot) - start
  const fraction = dot < 0 ? 0 : length - dot - 1
  if (whole === 0 || dot === length - 1 || length > most) return false
  const groupsBefore = (whole + 3) >> 2
  const groups = groupsBefore + ((fraction + 3) >> 2)
  let at = out.reserve(12 + 2 * groups)
  const { view } = out
  view.setInt32(at, 8 + 2 * groups)
  view.setInt16(at + 4, groups)
  view.setInt16(at + 6, groupsBefore - 1)
  view.setInt16(at + 8, start === 1 ? negative : 0)
  view.setInt16(at + 10, fraction)
  at += 12
  // Position of a digit within its group of four: the last before the point and the fourth behind it end a group.
  let left = ((whole - 1) & 3) + 1
  let group = 0
  for (let i = start; i < length; i++) {
    const digit = text.charCodeAt(i) - zero
    if (digit < 0 || digit > 9) {
      if (i === dot) continue
      return false
    }
    group = group * 10 + digit
    if (--left > 0) continue
    view.setInt16(at, group)
    at += 2
    group = 0
    left = 4
  }
  if (left < 4) view.setInt16(at, group * 10 ** left)
  return true
}

/** Source: array_recv in PostgreSQL's arrayfuncs.c: dimensions, has nulls, element type, length, first index. */
function writeTextArray(out: Slabs, values: readonly unknown[]): boolean {
  const size = values.reduce<number>((sum, value) => sum + 4 + Buffer.byteLength(String(value)), 0)
  out.int32(values.length === 0 ? 12 : 20 + size)
  out.int32(values.length === 0 ? 0 : 1)
  out.int32(0)
  out.int32(textOid)
  if (values.length === 0) return true
  out.int32(values.length)
  out.int32(1)
  return values.every((value) => typeof value === 'string' && out.text(value))
}

const slabBytes = 64 * 1024
/** Slabs beyond this are left to the garbage collector after an unusually large batch. */
const keptSlabs = 128
/** Up to this length a loop over the characters is faster than a call into the engine. */
const shortText = 24

interface Slab {
  readonly buffer: Buffer
  readonly view: DataView
}

function newSlab(size: number): Slab {
  const buffer = Buffer.allocUnsafeSlow(size)
  return { buffer, view: new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength) }
}

/** Memory that grows by slabs: what is written never moves, and full slabs can go out while the next is filled. */
class Slabs {
  readonly #slabs: Slab[] = []
  #used = 0
  #slab = newSlab(0)
  #at = 0
  #full: Buffer[] = []

  /** Chunks that nothing is added to any more. */
  get full(): readonly Buffer[] {
    return this.#full
  }

  takeFull(): readonly Buffer[] {
    const full = this.#full
    this.#full = []
    return full
  }

  /** The chunk that is being written. */
  rest(): Buffer {
    return this.#slab.buffer.subarray(0, this.#at)
  }

  get view(): DataView {
    return this.#slab.view
  }

  /** Begins anew: the chunks handed out so far are overwritten. */
  restart(): void {
    this.#slabs.length = Math.min(this.#slabs.length, keptSlabs)
    this.#used = 0
    this.#full = []
    this.#take(slabBytes)
  }

  #take(size: number): void {
    let slab = this.#slabs[this.#used]
    if (slab === undefined || slab.buffer.length < size) slab = newSlab(Math.max(size, slabBytes))
    this.#slabs[this.#used++] = slab
    this.#slab = slab
    this.#at = 0
  }

  /** @returns where in `view` the next `size` bytes are to be written */
  reserve(size: number): number {
    if (this.#at + size > this.#slab.buffer.length) {
      this.#full.push(this.rest())
      this.#take(size)
    }
    const at = this.#at
    this.#at += size
    return at
  }

  int8(value: number): void {
    const at = this.reserve(1)
    this.#slab.view.setInt8(at, value)
  }

  int16(value: number): void {
    const at = this.reserve(2)
    this.#slab.view.setInt16(at, value)
  }

  int32(value: number): void {
    const at = this.reserve(4)
    this.#slab.view.setInt32(at, value)
  }

  bigint(value: bigint): void {
    const at = this.reserve(8)
    this.#slab.view.setBigInt64(at, value)
  }

  float64(value: number): void {
    const at = this.reserve(8)
    this.#slab.view.setFloat64(at, value)
  }

  bytes(value: Buffer): void {
    const at = this.reserve(value.length)
    value.copy(this.#slab.buffer, at)
  }

  /** Length and UTF-8. */
  text(value: string): true {
    const start = this.reserve(4 + 3 * value.length) + 4
    const end = start + this.#utf8(value, start)
    this.#slab.view.setInt32(start - 4, end - start)
    this.#at = end
    return true
  }

  #utf8(value: string, start: number): number {
    const { buffer } = this.#slab
    if (value.length > shortText) return buffer.write(value, start)
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i)
      if (code > 0x7f) return buffer.write(value, start)
      buffer[start + i] = code
    }
    return value.length
  }
}
