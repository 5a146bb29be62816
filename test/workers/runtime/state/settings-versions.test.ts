/** Settings are called after their content, and stored as long as an unfinalized input was processed under them. */
import { describe, expect, it } from 'vitest'
import { SettingsVersions } from '../../../../workers/runtime/state/settings-versions.ts'

/** What is stored after changes were applied. */
function applied(versions: SettingsVersions, stored: ReadonlyMap<string, string> = new Map()): Map<string, string> {
  const fields = new Map(stored)
  for (const [field, text] of versions.changes()) {
    if (text === null) fields.delete(field)
    else fields.set(field, text)
  }
  return fields
}

describe('a version of settings', () => {
  it('is called after what it says, not after the order in which it says it', () => {
    const id = (settings: unknown): string => new SettingsVersions(settings, 1).present.id
    expect(id({ a: 1, b: { c: [1, 2], d: null } })).toBe(id({ b: { d: null, c: [1, 2] }, a: 1, e: undefined }))
    expect(id({ a: [1, 2] })).not.toBe(id({ a: [2, 1] }))
    expect(id({ a: 1 })).not.toBe(id({ a: '1' }))
    expect(id(undefined)).toBe('')
  })

  it('gives a step after a restart what it was given before, to the order of keys', () => {
    const settings = { z: 1, 10: 'ten', a: { y: [{ d: 1, c: 2 }], x: undefined }, 9: 'nine' }
    const first = new SettingsVersions(settings, 1)
    first.hold(first.present)
    const later = new SettingsVersions({ z: 2 }, 1, applied(first))
    expect(JSON.stringify(later.of(first.present.id).settings)).toBe(JSON.stringify(first.present.settings))
    expect(first.present.settings).toEqual(settings)
  })

  it('is stored while something refers to it, and no longer', () => {
    const one = new SettingsVersions({ limit: 1 }, 1)
    expect(one.changes()).toEqual([])
    one.hold(one.present)
    one.hold(one.present)
    const stored = applied(one)
    expect([...stored.keys()]).toEqual([`v:${one.present.id}`])
    const two = new SettingsVersions({ limit: 2 }, 1, stored)
    const old = two.of(one.present.id)
    for (const version of [old, old, two.present]) two.hold(version)
    two.release(old)
    const both = applied(two, stored)
    expect(both.size).toBe(2)
    expect(two.changes()).toEqual([])
    two.release(old)
    expect([...applied(two, both).keys()]).toEqual([`v:${two.present.id}`])
  })

  it('is written anew where it is needed again after it was deleted', () => {
    const versions = new SettingsVersions({ limit: 1 }, 1)
    const field = `v:${versions.present.id}`
    versions.hold(versions.present)
    expect([...applied(versions).keys()]).toEqual([field])
    versions.release(versions.present)
    expect(versions.changes()).toEqual([[field, null]])
    versions.hold(versions.present)
    expect([...applied(versions).keys()]).toEqual([field])
  })

  it('of another version of the state is not given to the step: the present one takes its place', () => {
    const old = new SettingsVersions({ limit: 1 }, 1)
    old.hold(old.present)
    const stored = applied(old)
    const other = new SettingsVersions({ most: 2 }, 2, stored)
    expect(other.of(old.present.id)).toBe(other.present)
    expect([...applied(other, stored)]).toEqual([])
    const same = new SettingsVersions({ limit: 1 }, 2, stored)
    same.hold(same.of(old.present.id))
    expect([...applied(same, stored).values()]).toEqual(['{"v":2,"s":{"limit":1}}'])
  })

  it('of a step without settings is nothing', () => {
    const versions = new SettingsVersions(undefined, 1)
    versions.hold(versions.present)
    expect(versions.changes()).toEqual([])
    expect(versions.of('').settings).toBeUndefined()
  })
})
