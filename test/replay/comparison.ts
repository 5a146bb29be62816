/** What two runs that saw the same chain in the end must have in common, and what may remember how they came there. */
import type { Processor, Topic } from '../../workers/runtime/definitions.ts'
import { inputOf, type StoredEntry } from '../../workers/runtime/state/engine.ts'
import type { StoredClock } from '../../workers/runtime/state/clock.ts'
import type { Input } from '../../workers/runtime/state/cell.ts'
import type { Driver } from '../support/driver.ts'

export interface Derived {
  readonly id: string
  readonly removed: boolean
  readonly finalized: number | null
  readonly revision: number
}

/**
 * What stands of a topic, by id.
 *
 * `revision` counts how often a record was removed, and `finalized` is what was final when it was written: both tell of the
 * way. Everything else, the newest block included, must be the same.
 * @throws Error where a record is removed that does not stand, or is added while it stands
 */
export function standingOf<T extends Derived>(driver: Driver, topic: Topic<T>): string[] {
  const standing = new Map<string, string>()
  for (const record of driver.read(topic)) {
    const { finalized: _finalized, revision: _revision, ...lasting } = record
    if (record.removed === standing.has(record.id)) {
      if (record.removed) standing.delete(record.id)
      else standing.set(record.id, JSON.stringify(lasting))
    } else throw new Error(`${topic.name} ${record.id} ${record.removed ? 'removed without standing' : 'added twice'}`)
  }
  return [...standing.values()].toSorted()
}

/**
 * Every key's state and pending inputs and the clock of the chain, as stored.
 *
 * Left out, because they tell of the way: how often outputs were removed and the serials of inputs; an input's own
 * `finalized` and `revision`; keys that hold nothing any more but that; the finality that a clock has passed on; and for
 * evaluate-alerts, which closes no windows, the time that its detectors' records have shown.
 */
export function stateOf(driver: Driver, step: Processor): Record<string, unknown> {
  const state: Record<string, unknown> = {}
  const inputs = new Map<string, [number, object][]>()
  const entries = [...driver.state(step)].map(([name, text]) => {
    const space = name.lastIndexOf(' ')
    return { slot: name.slice(0, space), field: name.slice(space + 1), text }
  })
  for (const { slot, field, text } of entries) {
    if (!field.startsWith('i:')) continue
    const { key, serial } = inputOf(field)
    const { record, horizon }: Input = JSON.parse(text)
    const name = `${slot} ${key}`
    const lasting = { ...record, finalized: 0, revision: 0, horizon: slot.startsWith('evaluate-alerts') ? 0 : horizon }
    inputs.set(name, [...(inputs.get(name) ?? []), [serial, lasting]])
  }
  for (const { slot, field, text } of entries) {
    const name = `${slot} ${field.slice(2)}`
    if (field.startsWith('c:decode-block:')) {
      const { told: _told, ...clock }: StoredClock = JSON.parse(text)
      state[`${slot} ${field}`] = clock
    } else if (field.startsWith('k:')) {
      const { c: cell, ...entry }: StoredEntry & Record<string, unknown> = JSON.parse(text)
      const held = (inputs.get(name) ?? []).toSorted(([a], [b]) => a - b).map(([, record]) => JSON.stringify(record))
      // decode-block stores its one cell otherwise; it has seen the orphans' times.
      if (cell === undefined) state[`${slot} ${field}`] = { ...entry, cell: Object(entry['cell']).state }
      else if (cell.newest >= 0 || held.length > 0) state[`${slot} ${field}`] = { cell, held }
    }
  }
  return state
}
