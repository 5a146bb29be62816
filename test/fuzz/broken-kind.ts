/** A kind whose inputs break what runs them, to see that the main loop tells what broke it. */
import type { Edit, Fields, Finding, Input, Kind } from './kind.ts'

type Harm = 'loop' | 'exit' | 'throw' | 'memory' | 'wrong' | 'together' | 'none'

interface BrokenEdit extends Edit {
  readonly label: Harm
}

interface BrokenInput extends Input {
  readonly edits: readonly BrokenEdit[]
}

const usual: readonly Harm[] = ['none', 'none', 'none', 'none', 'none', 'none', 'wrong']

/** Bytes of which only this one does harm. */
const harmful = 0xbd

/** @param harms what one input in seven does; the others do none, or are only wrong */
const kindThat = (name: string, harms: readonly Harm[]): Kind<BrokenInput> => ({
  name,
  module: import.meta.url,
  about: 'breaks on purpose',
  batch: 40,
  generate(random) {
    const pick = (): BrokenEdit => ({ label: random.pick([...usual, ...harms]) })
    return { target: 'nothing', edits: [pick(), pick(), { label: 'none' }] }
  },
  fields: ({ raw, edits }): Fields =>
    raw ?? [
      ['bytes', Buffer.from(edits.some(({ label }) => label === 'wrong') ? [1, 2, harmful, 4, 5, 6, 7, 8] : [0])],
    ],
  start: () =>
    Promise.resolve({
      async run(inputs, progress) {
        const findings: Finding[] = []
        const pairs = inputs.flatMap((input, index) => (has(input, 'together') ? [index] : []))
        for (const [index, input] of inputs.entries()) {
          progress([index])
          if (has(input, 'loop')) for (;;);
          if (has(input, 'exit')) process.exit(3)
          if (has(input, 'throw')) setImmediate(() => void fail())
          if (has(input, 'memory'))
            for (const kept: number[][] = []; ;) kept.push(Array.from({ length: 100_000 }, () => 1.5))
          await new Promise((resolve) => setImmediate(resolve))
          const bytes = new Set(kindThat(name, harms).fields(input, { logs: [] })[0]?.[1])
          if (bytes.has(harmful)) findings.push({ what: 'wrong', where: 'test', detail: '', among: [...inputs.keys()] })
        }
        if (pairs.length > 1)
          findings.push({ what: 'two together', where: 'test', detail: '', among: [...inputs.keys()] })
        return findings
      },
      stop: () => Promise.resolve(),
    }),
})

const has = ({ edits }: BrokenInput, harm: Harm): boolean => edits.some(({ label }) => label === harm)

function fail(): never {
  throw new TypeError('broken on purpose')
}

export const looping = kindThat('looping', ['loop'])
export const exiting = kindThat('exiting', ['exit'])
export const throwing = kindThat('throwing', ['throw'])
export const filling = kindThat('filling', ['memory'])
export const pairing = kindThat('pairing', ['together', 'together'])
