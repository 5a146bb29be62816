/**
 * The versions of a step's settings under which unfinalized inputs were processed. An input keeps its version until it is final,
 * however often the watch file changes meanwhile: it is folded again, and a removed block is decoded, as it was the first time.
 * A version is called after its content and stored once a slot, as long as something refers to it.
 *
 * Settings mean something to the code that made them. What another version of the state has stored (StateSpec.version) is
 * therefore not given to this one: its inputs go on under the present settings.
 */
import { createHash } from 'node:crypto'

export interface SettingsVersion {
  /** Hash of the settings' canonical JSON; empty for a step without settings, of which nothing is stored. */
  readonly id: string
  readonly settings: unknown
}

/** What a stored version holds: the version of the state whose code made it, and the settings. */
interface StoredSettings {
  readonly v: number
  readonly s: unknown
}

interface Known {
  readonly version: SettingsVersion
  /** Unfinalized inputs that refer to it. */
  uses: number
  /** 'outdated': of another version of the state. */
  field: 'absent' | 'outdated' | 'stored'
}

/** How the names of the fields begin that hold a version each. */
export const settingsField = 'v:'
const idDigits = 16

export class SettingsVersions {
  /** What new inputs are processed under. */
  readonly present: SettingsVersion
  readonly #stateVersion: number
  readonly #known = new Map<string, Known>()

  /**
   * @param settings plain data, as the step's `settings` makes it of the watch file
   * @param stateVersion of the step
   * @param stored the slot's fields
   */
  constructor(settings: unknown, stateVersion: number, stored: Iterable<readonly [field: string, text: string]> = []) {
    this.#stateVersion = stateVersion
    this.present = versionOf(settings)
    for (const [field, text] of stored) {
      if (!field.startsWith(settingsField)) continue
      const id = field.slice(settingsField.length)
      const { v, s }: StoredSettings = JSON.parse(text)
      const version = id === this.present.id ? this.present : { id, settings: s }
      this.#known.set(id, { version, uses: 0, field: v === stateVersion ? 'stored' : 'outdated' })
    }
  }

  /** @returns the version of an id; the present one where this code cannot be given that */
  of(id: string): SettingsVersion {
    const known = this.#known.get(id)
    return known?.field === 'stored' ? known.version : this.present
  }

  /** One more input refers to a version. */
  hold(version: SettingsVersion): void {
    if (version.id === '') return
    const known = this.#known.get(version.id)
    if (known === undefined) this.#known.set(version.id, { version, uses: 1, field: 'absent' })
    else known.uses++
  }

  /** An input that referred to a version is final, or was removed. */
  release({ id }: SettingsVersion): void {
    const known = this.#known.get(id)
    if (known !== undefined) known.uses--
  }

  /** @returns the fields to write and to delete (null) since the last call. */
  changes(): [field: string, text: string | null][] {
    const changes: [string, string | null][] = []
    for (const [id, known] of this.#known) {
      const { uses, version, field } = known
      if (uses > 0 && field !== 'stored') {
        const stored: StoredSettings = { v: this.#stateVersion, s: version.settings }
        changes.push([settingsField + id, JSON.stringify(stored)])
        known.field = 'stored'
      } else if (uses === 0) {
        if (field !== 'absent') changes.push([settingsField + id, null])
        this.#known.delete(id)
      }
    }
    return changes
  }
}

/** What a restart reads must be what the step was given: so it is given its settings as the canonical JSON says them. */
function versionOf(settings: unknown): SettingsVersion {
  const text = canonicalJson(settings)
  if (text === undefined) return { id: '', settings: undefined }
  const id = createHash('sha256').update(text).digest('hex').slice(0, idDigits)
  return { id, settings: JSON.parse(text) }
}

/** JSON whose objects have their keys in order. */
const canonicalJson = (value: unknown): string | undefined =>
  JSON.stringify(value, (_key, part: unknown) => (isObject(part) ? sorted(part) : part))

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const sorted = (value: object): object =>
  Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
