/**
 * Readers of frames that always come in one layout, compiled from the layout: once through the bytes, without the objects
 * that JSON.parse builds. Measured on trades and quotes of Binance, 0.35 µs a frame,
 * where JSON.parse takes 0.73 and a reader of what it gives 0.31 more.
 *
 * A venue may put one before its usual reader, for the frames that come most often; what is not the layout to the byte (an
 * escape, an exponent, another order of fields) is left to the usual reader.
 */
import { compileFunction } from 'node:vm'

/** What a hole of a layout may hold. */
interface Kinds {
  /** Printable ASCII without escapes; the quotes around it are the layout's. */
  word: string
  /** A safe integer that is not negative. */
  count: number
  /** `61837.63000000`, given as canonicalDecimal gives it. */
  decimal: string
  flag: boolean
}

/** The values of a layout by their names. */
type Values<Layout extends string> = Layout extends `${string}<${infer Hole}>${infer Rest}`
  ? Value<Hole> & Values<Rest>
  : unknown
type Value<Hole extends string> = Hole extends `${infer Kind extends keyof Kinds} ${infer Name}`
  ? Readonly<Record<Name, Kinds[Kind]>>
  : unknown

/** @returns the values of a frame, or undefined where it has another layout. */
export type LayoutReader<Layout extends string> = (frame: Buffer) => Values<Layout> | undefined

const hole = /<(\w+) ?(\w*)>/

/**
 * Compiles a reader.
 * @param layout a frame in ASCII with holes, `{"u":<count updateId>,"s":"<word symbol>","x":<flag>}`; what has no name is only checked
 */
export function compileLayout<const Layout extends string>(layout: Layout): LayoutReader<Layout> {
  const parts = layout.split(hole)
  const names: string[] = []
  let body = ''
  for (let index = 0; index < parts.length; index += 3) {
    const [text = '', kind, name = ''] = parts.slice(index, index + 3)
    body += passing(text)
    if (kind === undefined) continue
    // Not sooner, so that a frame of another layout costs no text.
    if (name !== '' && names.length === 0) body += 'const text = frame.latin1Slice()\n'
    body += `${reading(kind)}\n`
    if (name === '') continue
    body += `const ${name} = ${values[kind] ?? ''}\n`
    names.push(name)
  }
  const read: unknown = compileFunction(
    `let at = 0, start = 0, end = 0, code = 0, count = 0, flag = false
    ${body}
    return at === frame.length ? { ${names.join(', ')} } : undefined`,
    ['frame'],
  )
  if (!isReader<Layout>(read)) throw new Error('a layout compiles to a function')
  return read
}

const isReader = <Layout extends string>(read: unknown): read is LayoutReader<Layout> => typeof read === 'function'

/** Passes text byte by byte without a loop, which takes a sixth less than with one. */
function passing(text: string): string {
  if (text === '') return ''
  const differs = [...Buffer.from(text)].map((byte, index) => `frame[at + ${index}] !== ${byte}`)
  return `if (${differs.join(' || ')}) return undefined\nat += ${differs.length}\n`
}

/** Where a value lies once it was read. */
const values: Readonly<Record<string, string>> = {
  word: 'text.slice(start, at)',
  decimal: 'text.slice(start, end)',
  count: 'count',
  flag: 'flag',
}

/** Beyond the end of a frame `code` is undefined, which is in no range. */
function reading(kind: string): string {
  switch (kind) {
    case 'word':
      return `start = at
      for (code = frame[at]; code !== 34; code = frame[++at])
        if (!(code >= 32 && code <= 126) || code === 92) return undefined`
    case 'count':
      return `start = at
      count = 0
      for (code = frame[at]; code >= 48 && code <= 57; code = frame[++at]) count = count * 10 + (code - 48)
      if (at === start || (frame[start] === 48 && at > start + 1) || count > ${Number.MAX_SAFE_INTEGER}) return undefined`
    case 'decimal':
      return `start = at
      for (code = frame[at]; code >= 48 && code <= 57; code = frame[++at]);
      if (at === start || (frame[start] === 48 && at > start + 1)) return undefined
      end = at
      if (code === 46) {
        for (code = frame[++at]; code >= 48 && code <= 57; code = frame[++at]) if (code !== 48) end = at + 1
        if (frame[at - 1] === 46) return undefined
      }`
    case 'flag':
      return `flag = frame[at] === 116
      if (flag) { ${passing('true')} } else { ${passing('false')} }`
    default:
      throw new Error(`a layout has no ${kind}`)
  }
}
