/** What a processor's task stores beside its state: which records it left out, and how many were refused in a row. */
import type { LeftOut } from '../left-out.ts'
import type { Refusals } from '../refusals.ts'
import type { Change } from './engine.ts'

const leftOutField = 'x:'
/** As `Refusals.changes` gives it. */
export const refusalsField = 'refusals'
/** What is refused before this offset is rightly refused, a person has said. */
export const acceptedField = 'accepted-until'

type Fields = readonly (readonly [field: string, text: string])[]

/** @returns what `new LeftOut(…)` takes. */
export const leftOutIn = (fields: Fields): [offset: number, id: string][] =>
  fields.flatMap(([field, text]): [number, string][] =>
    field.startsWith(leftOutField) ? [[Number(field.slice(leftOutField.length)), text]] : [],
  )

/** @returns the text of a field, undefined where there is none. */
export const noteIn = (fields: Fields, name: string): string | undefined =>
  fields.find(([field]) => field === name)?.[1]

/** @returns the fields that have changed since the last call. */
export function leftOutChanges(leftOut: LeftOut, refusals: Refusals): Change[] {
  const changes: Change[] = leftOut.changes().map(([offset, id]): Change => [`${leftOutField}${offset}`, id])
  const text = refusals.changes()
  return text === undefined ? changes : [...changes, [refusalsField, text]]
}
