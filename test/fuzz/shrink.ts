/** Makes what breaks something as small as it can: fewer inputs, fewer edits, fewer bytes (Zeller's ddmin, simplified). */
import type { Corpus } from './corpus.ts'
import type { Fields, Input, Kind } from './kind.ts'

/** Whether inputs, run together, still break the same. */
export type Breaks = (inputs: readonly Input[]) => Promise<boolean>

export interface ShrinkOptions {
  /** How many runs it may take. */
  readonly runs: number
  /** Whether bytes are taken away too. */
  readonly bytes: boolean
}

/** @returns the smallest set of inputs that breaks the same as far as was found, most often one; undefined where nothing does */
export async function shrink(
  kind: Kind,
  corpus: Corpus,
  inputs: readonly Input[],
  breaks: Breaks,
  { runs, bytes }: ShrinkOptions,
): Promise<readonly Input[] | undefined> {
  let left = runs
  const tried: Breaks = async (some) => left-- > 0 && (await breaks(some))
  if (!(await tried(inputs))) return undefined
  const few = await fewest(inputs, tried)
  const [only] = few
  if (only === undefined || few.length > 1) return few
  const edits = await fewest(only.edits, (some) => tried([{ ...only, edits: some }]))
  const plain = { ...only, edits }
  return bytes ? [await fewestBytes(plain, kind.fields(plain, corpus), tried)] : [plain]
}

/** Takes away parts, large ones first, as long as what is left breaks the same. */
async function fewest<T>(
  items: readonly T[],
  breaks: (items: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let left = items
  for (let size = Math.ceil(left.length / 2); left.length > 1;) {
    let isSmaller = false
    for (let from = 0; from < left.length && left.length > 1;) {
      const rest = [...left.slice(0, from), ...left.slice(from + size)]
      if (rest.length > 0 && (await breaks(rest))) {
        left = rest
        isSmaller = true
      } else from += size
    }
    if (size === 1 && !isSmaller) break
    size = Math.max(1, Math.min(Math.ceil(size / 2), Math.ceil(left.length / 2)))
  }
  return left
}

/** Fewer bytes are not worth more runs. */
const smallField = 4

async function fewestBytes(input: Input, fields: Fields, breaks: Breaks): Promise<Input> {
  const withFields = (raw: Fields): Input => ({ ...input, raw })
  // What only the edits tell, that the input is bad for certain, does not hold of bytes.
  if (!(await breaks([withFields(fields)]))) return input
  let best = fields
  for (const [index, [name, bytes]] of fields.entries()) {
    if (bytes === null || bytes.length <= smallField) continue
    const replaced = (some: readonly number[]): Fields =>
      best.map((field, at) => (at === index ? [name, Buffer.from(some)] : field))
    const some = await fewest([...bytes], (part) => breaks([withFields(replaced(part))]))
    best = replaced(some)
  }
  return withFields(best)
}
