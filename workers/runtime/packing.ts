/**
 * Many small messages in one ArrayBuffer, so that a task goes to a thread and comes back by transfer instead of by clone.
 * A frame is a sequence of numbers (float64), and byte strings with their length in front; writer and reader agree on the order.
 */

const initialBytes = 64 * 1024
/** Length that stands for a missing byte string. */
const absent = 0xffffffff

export class FrameWriter {
  #bytes: Buffer<ArrayBuffer>
  #at = 0

  /** @param expected bytes that will be written, as far as is known */
  constructor(expected = initialBytes) {
    this.#bytes = Buffer.allocUnsafeSlow(expected)
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at
  }

  number(value: number): void {
    this.#room(8)
    this.#at = this.#bytes.writeDoubleLE(value, this.#at)
  }

  bytes(value: Uint8Array | null | undefined): void {
    if (value === null || value === undefined) {
      this.#room(4)
      this.#at = this.#bytes.writeUInt32LE(absent, this.#at)
      return
    }
    this.#room(4 + value.length)
    this.#at = this.#bytes.writeUInt32LE(value.length, this.#at)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  text(value: string): void {
    const length = Buffer.byteLength(value)
    this.#room(4 + length)
    this.#at = this.#bytes.writeUInt32LE(length, this.#at)
    this.#at += this.#bytes.write(value, this.#at)
  }

  /** Takes back what was written since the writer had this length. */
  truncate(length: number): void {
    this.#at = length
  }

  /** @returns what was written, in an ArrayBuffer of its own; the writer must not be used any more. */
  finish(): ArrayBuffer {
    return this.#bytes.buffer.transfer(this.#at)
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + bytes))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
  }
}

export class FrameReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(buffer: ArrayBuffer) {
    this.#bytes = Buffer.from(buffer)
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length
  }

  number(): number {
    const value = this.#bytes.readDoubleLE(this.#at)
    this.#at += 8
    return value
  }

  /** @returns a view, valid as long as the buffer. */
  bytes(): Buffer | null {
    const length = this.#bytes.readUInt32LE(this.#at)
    this.#at += 4
    if (length === absent) return null
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  text(): string {
    return this.bytes()?.toString() ?? ''
  }
}
