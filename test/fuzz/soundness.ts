/** Whether an output says something: numbers that are finite, decimals that are decimals. */
import type { Output } from './system/reader.ts'
import { schemaOf, wirePrefix } from './system/messages.ts'

/** Words that a number which is none leaves in texts. */
const noNumber = /\b(NaN|Infinity)\b/

/** @returns what is wrong with a record that a processor has emitted, or undefined */
export function unsoundness({ target, value, more }: Output): string | undefined {
  if (/null|NaN|Infinity/.test(more) && !/"time":\d/.test(more)) return `a mark says ${more}`
  if (value === null) return undefined
  const record: object = schemaOf(target).fromBuffer(value.subarray(wirePrefix))
  return wrongIn(record, target)
}

function wrongIn(value: unknown, path: string): string | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `${path} is ${value}`
  if (typeof value === 'string') return noNumber.test(value) ? `${path} says ${value.slice(0, 80)}` : undefined
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return undefined
  for (const [name, part] of Object.entries(value)) {
    const wrong = wrongIn(part, `${path}.${/^\d+$/.test(name) ? '*' : name}`)
    if (wrong !== undefined) return wrong
  }
  return undefined
}
