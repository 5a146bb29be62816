/** Texts and numbers that programs stumble over; every kind of input draws from them. */
import type { Random } from '../../ops/local/chain/random.ts'

/** A hostile piece of bytes. */
export interface Hostile {
  readonly label: string
  readonly bytes: Buffer
  /** True where the bytes are no UTF-8, so that whoever makes a text of them changes them. */
  readonly isNoText?: true
}

const made = (label: string, bytes: string | readonly number[]): Hostile => ({
  label,
  bytes: typeof bytes === 'string' ? Buffer.from(bytes) : Buffer.from([...bytes]),
})
const noText = (label: string, bytes: readonly number[]): Hostile => ({ ...made(label, bytes), isNoText: true })

const odd: readonly Hostile[] = [
  made('empty text', ''),
  made('text with NUL', 'a\0b'),
  made('text of NUL alone', '\0'),
  made('__proto__', '__proto__'),
  made('name of a method', 'constructor'),
  made('name of a method', 'toString'),
  made('blank text', ' '),
  made('text with line breaks', 'a\r\nb: c\n'),
  made('text beyond Latin-1', '币安人生-USDT'),
  made('emoji', '\u{1f9ea}'.repeat(5)),
  made('text that turns round', '\u202etxt.exe'),
  made('byte order mark', '\ufefftext'),
  made('text like a template', '${7*7}{id}{__proto__}'),
  made('text like SQL', "'; DROP TABLE trades; --"),
  made('text with colons', 'a:b:c::'),
  made('the word for no value', 'undefined'),
  noText('lone surrogate', [0x61, 0xed, 0xa0, 0x80, 0x62]),
  noText('broken UTF-8', [0x61, 0xff, 0xfe, 0x62]),
  noText('cut UTF-8', [0x61, 0xe5, 0xb8]),
  noText('overlong UTF-8', [0xc0, 0x80]),
]

/** Texts where a decimal is expected. */
const decimals: readonly Hostile[] = [
  ...['NaN', 'Infinity', '-Infinity', '1e400', '1e5', 'abc', '', ' ', '0x10', '1_000', '1,5', '٣', '--1', '.'].map(
    (text) => made('text that is no decimal', text),
  ),
  ...['+1', '.5', '5.', ' 7', '7\n', '1.2.3', '1.5\0'].map((text) => made('text that is nearly a decimal', text)),
  made('decimal 0', '0'),
  made('decimal 0', '0.00000000'),
  made('decimal -0', '-0'),
  made('negative decimal', '-5.5'),
  made('decimal of 400 digits', '9'.repeat(400)),
  made('decimal of 400 places', `0.${'0'.repeat(399)}1`),
  made('decimal with leading zeros', `${'0'.repeat(300)}1.5`),
  made('decimal beyond exact numbers', '9007199254740993.000000001'),
  made('large decimal', '1'.padEnd(79, '0')),
]

/** Texts where an address or a hash is expected. */
const hexes: readonly Hostile[] = [
  made('hex of nothing', '0x'),
  made('odd hex', '0xabc'),
  made('hex that is none', '0xzz'),
  made('hex in capitals', `0X${'AB'.repeat(20)}`),
  made('long hex', `0x${'ff'.repeat(1_500)}`),
  made('hex of zeros', `0x${'00'.repeat(20)}`),
  made('hex of ones', `0x${'ff'.repeat(32)}`),
]

/** Longest text that is made often, and seldom. */
const [long, longest] = [9_000, 600_000]

/** A hostile text in place of another; what looks like a decimal or like hex is mostly replaced by the like. */
export function hostileText(random: Random, original: string): Hostile {
  const chance = random.next()
  if (chance < 0.002) return { label: 'very long text', bytes: Buffer.alloc(longest, digitOr(original, 'x')) }
  if (chance < 0.08) return longText(random, original)
  if (chance < 0.75 && /^-?\d+(\.\d+)?$/.test(original)) return random.pick(decimals)
  if (chance < 0.5 && original.startsWith('0x')) return random.pick(hexes)
  return random.pick(odd)
}

const digitOr = (original: string, letter: string): string => (/^\d/.test(original) ? '7' : letter)

function longText(random: Random, original: string): Hostile {
  const length = random.int(3_000, long)
  const letter = random.pick([digitOr(original, 'x'), 'é', '\0', '\u{1f9ea}'])
  return { label: letter === '\0' ? 'long text of NUL' : 'long text', bytes: Buffer.from(letter.repeat(length)) }
}

const day = 86_400_000_000

/** A hostile integer in place of another, which may be beyond what a JavaScript number or an Avro long can say. */
export function hostileInteger(random: Random, original: number): { label: string; value: bigint } {
  const one = BigInt(original)
  const power = BigInt(random.pick([31, 32, 52, 53, 63]))
  const exact = 2n ** power
  return random.pick([
    { label: 'integer 0', value: 0n },
    { label: 'negative integer', value: -1n },
    { label: 'negative integer', value: -one - 1n },
    { label: `integer about 2^${power}`, value: exact },
    { label: `integer about 2^${power}`, value: exact - 1n },
    { label: `integer about -2^${power}`, value: -exact },
    { label: `integer about -2^${power}`, value: -exact + 1n },
    { label: 'integer beside the right one', value: one + BigInt(random.pick([-1, 1])) },
    { label: 'time a little off', value: one + BigInt(random.pick([-61, -59, 59, 61]) * 1_000_000) },
    { label: 'time far off', value: one + BigInt(random.pick([-9_000, -1, 1, 3_000]) * day) },
    { label: 'time in another unit', value: one / random.pick([1_000n, 1_000_000n]) },
    { label: 'time in another unit', value: one * 1_000n },
  ])
}

export const hostileDoubles: readonly { readonly label: string; readonly value: number }[] = [
  { label: 'NaN', value: NaN },
  { label: 'Infinity', value: Infinity },
  { label: 'Infinity', value: -Infinity },
  { label: 'double of -0', value: -0 },
  { label: 'extreme double', value: Number.MAX_VALUE },
  { label: 'extreme double', value: -Number.MAX_VALUE },
  { label: 'extreme double', value: Number.MIN_VALUE },
  { label: 'negative double', value: -1 },
  { label: 'double 0', value: 0 },
]
