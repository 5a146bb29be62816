/**
 * Reads frames of a known layout from their bytes, without the objects that JSON.parse builds. A venue may use it for the
 * frames that come most often: what does not fit the layout to the byte is left to the venue's usual reader.
 */

const ZERO = 48
const NINE = 57
const POINT = 46
const QUOTE = 34
const BACKSLASH = 92
const SPACE = 32
const TILDE = 126

declare global {
  interface Buffer {
    /** `toString('latin1')` without its look at the encoding, which takes a tenth of the scan. */
    latin1Slice(): string
  }
}

/** The text between two values of a layout, as `FrameScanner` compares it. */
export const literal = (text: string): Uint8Array => Buffer.from(text, 'latin1')

const TRUE = literal('true')
const FALSE = literal('false')

/** Goes once through a frame; once something does not fit, `fits` is false and what is read has no meaning. */
export class FrameScanner {
  #bytes: Uint8Array = new Uint8Array()
  /** The same as text, of which values are parts: cheaper than a text from bytes for each. */
  #text = ''
  #at = 0
  #fits = false

  /** Begins with another frame. */
  begin(frame: Buffer): void {
    this.#bytes = frame
    this.#text = frame.latin1Slice()
    this.#at = 0
    this.#fits = true
  }

  /** Whether everything so far was as the layout says. */
  get fits(): boolean {
    return this.#fits
  }

  /** Passes what must come next. */
  pass(expected: Uint8Array): void {
    if (!this.passIf(expected)) this.#fits = false
  }

  /** Passes what may come next. */
  passIf(expected: Uint8Array): boolean {
    const bytes = this.#bytes
    const at = this.#at
    if (at + expected.length > bytes.length) return false
    for (let index = 0; index < expected.length; index++) if (bytes[at + index] !== expected[index]) return false
    this.#at = at + expected.length
    return true
  }

  /** Passes the text up to a closing quote, of printable ASCII without escapes. */
  passWord(): void {
    const bytes = this.#bytes
    let at = this.#at
    let code = bytes[at] ?? 0
    while (code !== QUOTE && code !== BACKSLASH && code >= SPACE && code <= TILDE) code = bytes[++at] ?? 0
    if (code !== QUOTE) this.#fits = false
    this.#at = at
  }

  /** The text that `passWord` would pass. */
  word(): string {
    const start = this.#at
    this.passWord()
    return this.#text.slice(start, this.#at)
  }

  /** A safe integer that is not negative. */
  count(): number {
    const bytes = this.#bytes
    const start = this.#at
    let at = start
    let value = 0
    for (let code = bytes[at] ?? 0; code >= ZERO && code <= NINE; code = bytes[++at] ?? 0) {
      value = value * 10 + (code - ZERO)
    }
    const digits = at - start
    if (digits === 0 || value > Number.MAX_SAFE_INTEGER || (bytes[start] === ZERO && digits > 1)) this.#fits = false
    this.#at = at
    return value
  }

  /** `61837.63000000` as the canonical decimal that canonicalDecimal makes of it; other ways to write one do not fit. */
  decimal(): string {
    const bytes = this.#bytes
    const start = this.#at
    let at = start
    let code = bytes[at] ?? 0
    while (code >= ZERO && code <= NINE) code = bytes[++at] ?? 0
    const whole = at - start
    let end = at
    if (code === POINT) {
      const point = at
      code = bytes[++at] ?? 0
      while (code >= ZERO && code <= NINE) {
        if (code !== ZERO) end = at + 1
        code = bytes[++at] ?? 0
      }
      if (at === point + 1) this.#fits = false
    }
    if (whole === 0 || (bytes[start] === ZERO && whole > 1)) this.#fits = false
    this.#at = at
    return this.#text.slice(start, end)
  }

  /** `true` or `false`. */
  flag(): boolean {
    if (this.passIf(TRUE)) return true
    this.pass(FALSE)
    return false
  }

  /** Whether all of it fitted and nothing is left. */
  end(): boolean {
    return this.#fits && this.#at === this.#bytes.length
  }
}
