/** What Node's buffers have and @types/node does not name. */
interface Buffer {
  /** `toString('latin1')` without its look at the encoding, which takes as long as making a short text. */
  latin1Slice(): string
}
