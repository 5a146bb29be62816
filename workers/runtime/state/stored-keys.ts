/** How keys are stored: a field each, and one for each pending input, so that a checkpoint writes only those that are new. */
import { typeOf } from '../codec.ts'
import type { Cell, Sourced } from './cell.ts'
import type { StoredPending } from './pending.ts'
import type { StoredSharedClock } from './shared-clock.ts'
import type { StoredInput } from './unfinalized-inputs.ts'

export interface StoredEntry {
  /** Version of the state. */
  readonly v: number
  /** Name of the newest record's clock. */
  readonly o: string
  /** Where several clocks say how far the key's time has come. */
  readonly s?: StoredSharedClock
  /** At the finalized height where something is pending. */
  readonly c: Cell
  readonly p?: StoredPending
}

/** A key as its fields hold it. */
export interface StoredKey {
  readonly key: string
  readonly entry: StoredEntry
  /** In the order of their serials. */
  readonly inputs: readonly (readonly [serial: number, input: StoredInput])[]
}

const keyPrefix = 'k:'
const inputPrefix = 'i:'

/** @returns the name of the field of a key. */
export const keyField = (key: string): string => keyPrefix + key

/** @returns the name of the field of a pending input. */
export const inputField = (serial: number, key: string): string => `${inputPrefix}${serial}:${key}`

/** Whether a field holds a pending input. */
export const isInput = (field: string): boolean => field.startsWith(inputPrefix)

/** @returns what a field of a pending input is called after. */
export function inputOf(field: string): { key: string; serial: number } {
  const colon = field.indexOf(':', inputPrefix.length)
  return { key: field.slice(colon + 1), serial: Number(field.slice(inputPrefix.length, colon)) }
}

/** Reads the keys among a slot's fields. */
export function readKeys(fields: readonly (readonly [field: string, text: string])[]): StoredKey[] {
  const inputs = new Map<string, [number, StoredInput][]>()
  for (const [field, text] of fields) {
    if (!isInput(field)) continue
    const { key, serial } = inputOf(field)
    const input: StoredInput = JSON.parse(text)
    const one: [number, StoredInput] = [serial, { ...input, record: completed(input) }]
    const held = inputs.get(key)
    if (held === undefined) inputs.set(key, [one])
    else held.push(one)
  }
  return fields.flatMap(([field, text]) => {
    if (!field.startsWith(keyPrefix)) return []
    const key = field.slice(keyPrefix.length)
    const entry: StoredEntry = JSON.parse(text)
    return [{ key, entry, inputs: (inputs.get(key) ?? []).toSorted(([a], [b]) => a - b) }]
  })
}

/** Gives a stored input the fields that its schema has got since, by their defaults. */
function completed(input: StoredInput): Sourced {
  const type = typeOf(input.topic)
  const record: Sourced = type.fromBuffer(type.toBuffer(input.record))
  return record
}
