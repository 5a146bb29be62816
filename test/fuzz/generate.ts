/** The input of an index: the same seed, kind, index and corpus always give the same. */
import { seeded } from '../../ops/local/chain/random.ts'
import type { Corpus } from './corpus.ts'
import type { Input, Kind } from './kind.ts'

export const inputOf = (kind: Kind, seed: string, index: number, corpus: Corpus): Input => ({
  ...kind.generate(seeded(`fuzz ${seed} ${kind.name} ${index}`), corpus),
  index,
})

/**
 * Inputs that are left out, since one like them has been found to end the process: of a target, or of any, with all of these edits;
 * or one alone, where it could not be found out what of it does.
 */
export type Passed =
  { readonly target: string | undefined; readonly labels: readonly string[] } | { readonly index: number }

/** Whether an input has all that is known to break something. */
export function isLike({ index, target, edits }: Input, passed: Passed): boolean {
  if ('index' in passed) return index === passed.index
  if (passed.target !== undefined && target !== passed.target) return false
  return passed.labels.every((label) => edits.some((edit) => edit.label === label))
}
