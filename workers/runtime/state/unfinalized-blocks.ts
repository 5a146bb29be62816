/**
 * The blocks of one chain that are not final, for a step that sees removals itself: under which settings each was processed, and
 * its time. A field stores one each, so that a checkpoint writes only what is new.
 */
import type { Micros } from '../definitions.ts'
import type { SettingsVersion, SettingsVersions } from './settings-versions.ts'

/** A block that is not final. */
export interface Block {
  readonly number: number
  readonly id: string
  /** Its time, where a mark has passed it on: to the newest one the time goes back with a removal. */
  readonly time: Micros | null
  /** The settings that it was processed under; undefined: the step threw, and nothing was emitted of it. */
  readonly version: SettingsVersion | undefined
}

/** A block as its field holds it; null for a version: the step threw. */
interface StoredBlock {
  readonly id: string
  readonly time: Micros | null
  readonly s: string | null
}

const blockField = 'b:'

/** @returns the chain's key and the number of the block that a field holds, or undefined where it holds something else. */
export function blockOf(field: string): { key: string; number: number } | undefined {
  if (!field.startsWith(blockField)) return undefined
  const colon = field.indexOf(':', blockField.length)
  return { key: field.slice(colon + 1), number: Number(field.slice(blockField.length, colon)) }
}

export class UnfinalizedBlocks {
  readonly #key: string
  readonly #versions: SettingsVersions
  readonly #blocks = new Map<number, Block>()
  /** Numbers of blocks that are to be written, or deleted where they are not there any more. */
  readonly #changed = new Set<number>()

  constructor(key: string, versions: SettingsVersions) {
    this.#key = key
    this.#versions = versions
  }

  /** Takes what a field holds. */
  restore(number: number, text: string): void {
    const { id, time, s }: StoredBlock = JSON.parse(text)
    const version = s === null ? undefined : this.#versions.of(s)
    this.set({ number, id, time, version })
    if (version === undefined || version.id === s) this.#changed.delete(number)
  }

  get(number: number, id: string): Block | undefined {
    const block = this.#blocks.get(number)
    return block?.id === id ? block : undefined
  }

  /** The newest block whose time was passed on. */
  get newest(): Block | undefined {
    let newest: Block | undefined
    for (const block of this.#blocks.values())
      if (block.time !== null && block.number > (newest?.number ?? -1)) newest = block
    return newest
  }

  /** Whether nothing was emitted of a block though those before it are known: the step threw, or it did not come to the step. */
  lacks(number: number, id: string): boolean {
    const known = this.#blocks.get(number)
    if (known !== undefined) return known.id === id && known.version === undefined
    for (const other of this.#blocks.keys()) if (other < number) return true
    return false
  }

  set(block: Block): void {
    this.#drop(block.number)
    this.#blocks.set(block.number, block)
    if (block.version !== undefined) this.#versions.hold(block.version)
  }

  /** Drops the blocks from a number on. */
  dropFrom(number: number): void {
    for (const known of this.#blocks.keys()) if (known >= number) this.#drop(known)
  }

  /** Drops the blocks below a number, but for the newest. */
  dropBelow(number: number): void {
    const newest = this.newest?.number
    for (const known of this.#blocks.keys()) if (known < number && known !== newest) this.#drop(known)
  }

  /** @returns the fields to write and to delete (null) since the last call. */
  changes(): [field: string, text: string | null][] {
    const changes = [...this.#changed].map((number): [string, string | null] => {
      const block = this.#blocks.get(number)
      const field = `${blockField}${number}:${this.#key}`
      if (block === undefined) return [field, null]
      const stored: StoredBlock = { id: block.id, time: block.time, s: block.version?.id ?? null }
      return [field, JSON.stringify(stored)]
    })
    this.#changed.clear()
    return changes
  }

  #drop(number: number): void {
    const block = this.#blocks.get(number)
    this.#changed.add(number)
    if (block === undefined) return
    this.#blocks.delete(number)
    if (block.version !== undefined) this.#versions.release(block.version)
  }
}
