/** Versions of state: which one has written a slot, and how a key comes from an older one to that of the step. */
import type { Processor } from '../definitions.ts'
import { RetryableError } from '../errors.ts'
import type { Cell } from './cell.ts'

/** Stands beside a slot's other fields, so that it goes wherever they go. */
export const versionField = 'state-version'
/** Likewise: how often the slot was made to process its input again as something new. */
export const generationField = 'generation'

type Fields = Iterable<readonly [field: string, text: string]>

/** @returns the version of the step that has written the slot, 0 where none has said. */
export const storedVersion = (fields: Fields): number => numberIn(fields, versionField)

/** @returns the generation of what the slot emits (position.ts), 0 in the beginning. */
export const storedGeneration = (fields: Fields): number => numberIn(fields, generationField)

function numberIn(fields: Fields, name: string): number {
  for (const [field, text] of fields) if (field === name) return Number(text)
  return 0
}

/**
 * @throws RetryableError `newer-state` where a newer version has written the slot: as long as both run side by side, a replica of the
 * newer one has to take it
 */
export function assertReadable({ name, state }: Processor, fields: Fields): void {
  const stored = storedVersion(fields)
  if (stored <= state.version) return
  const hint = `a replica of the newer version has to take it; to stay with this one, \`state reset ${name}\` and begin again`
  throw new RetryableError('newer-state', `state of version ${stored}, and this ${name} knows ${state.version}`, {
    hint,
  })
}

/** @returns the cell with its state as the step wants it. @throws Error where the step has no way from that version */
export function migrated({ name, state }: Processor, cell: Cell, version: number): Cell {
  if (version === state.version) return cell
  if (version > state.version || state.migrate === undefined)
    throw new Error(`${name} has state of version ${version} and no migration to ${state.version}`)
  return { ...cell, state: state.migrate(cell.state, version) }
}
