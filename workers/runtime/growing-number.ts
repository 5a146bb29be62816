/**
 * Texts of a number that grows by little from one to the next, as ids and counters do: all but the last three digits are kept.
 * Measured 15 instead of 110 ns a text, of which a record needs two or three.
 */

const ZERO = 48
const step = 1_000
const lastDigits = Array.from({ length: step }, (_, last) => String(last).padStart(3, '0'))

export class GrowingNumber {
  readonly #before: string
  readonly #width: number
  #head = -1
  #text = ''
  /** The same with three further digits. */
  #bytes = Buffer.alloc(0)

  /**
   * @param before what stands before the digits, in ASCII
   * @param width the least number of digits, zeros leading
   */
  constructor(before = '', width = 1) {
    this.#before = before
    this.#width = width
  }

  /** @param value any integer; those near the one before are quick */
  text(value: number): string {
    const head = Math.floor(value / step)
    if (head < 1) return this.#small(value)
    if (head !== this.#head) this.#begin(head)
    return this.#text + (lastDigits[value - head * step] ?? '')
  }

  /**
   * As `text`, in one piece. The engine keeps a longer sum of two texts as its two parts, and to join them when it is
   * encoded takes 0.1 µs longer than to make it whole: for ids, which are encoded at once.
   */
  whole(value: number): string {
    const head = Math.floor(value / step)
    if (head < 1) return this.#small(value)
    if (head !== this.#head) this.#begin(head)
    const last = value - head * step
    const at = this.#text.length
    this.#bytes[at] = ZERO + Math.floor(last / 100)
    this.#bytes[at + 1] = ZERO + (Math.floor(last / 10) % 10)
    this.#bytes[at + 2] = ZERO + (last % 10)
    return this.#bytes.latin1Slice()
  }

  #small(value: number): string {
    return this.#before + String(value).padStart(this.#width, '0')
  }

  #begin(head: number): void {
    this.#head = head
    this.#text = this.#before + String(head).padStart(this.#width - 3, '0')
    this.#bytes = Buffer.from(`${this.#text}000`)
  }
}
