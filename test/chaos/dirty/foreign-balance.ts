/** The foreign producer's ledger beside the dead letters: each message, at each step that reads it, came to what it had to come to. */
import type { Step } from '../../../workers/runtime/definitions.ts'
import { isRedriven } from '../../../workers/runtime/headers.ts'
import { isMadeUp, type Letter } from '../letters.ts'
import type { Entry } from '../log.ts'
import { taskName } from './dirt.ts'
import { inputsOf, type ForeignLedger } from './foreign-producer.ts'
import type { Kind, Verdict } from './poison.ts'

interface Standing {
  readonly serial: number
  readonly entry: Entry
  readonly kind: Kind
}

const shown = 10

export class ForeignBalance {
  readonly #ledger: ForeignLedger
  readonly #standing: Standing[] = []
  readonly #seen = new Set<number>()

  constructor(ledger: ForeignLedger = new Map()) {
    this.#ledger = ledger
  }

  take(entry: Entry): void {
    if (entry.foreign === undefined) return
    const serial = Number(entry.foreign.split(' ')[0])
    const kind = this.#ledger.get(serial)?.kind
    // What is sent again from the dead letters carries the same header.
    const copy = isRedriven(entry.message.headers) && this.#seen.has(serial)
    this.#seen.add(serial)
    if (kind !== undefined && !copy) this.#standing.push({ serial, entry, kind })
  }

  differences(steps: readonly Step[], letters: readonly Letter[]): string[] {
    const codes = new Map<string, string[]>()
    for (const letter of letters) {
      if (isMadeUp(letter)) continue
      const name = `${taskName(letter.step, letter.topic, letter.partition)}:${letter.offset}`
      codes.set(name, [...(codes.get(name) ?? []), letter.code])
    }
    const faults = [...this.#ledger].filter(([serial, { at }]) => at !== undefined && !this.#seen.has(serial)).map(([serial, { kind, topic }]) => `${topic.name} lacks the foreign message ${serial}, ${kind.name}`) // prettier-ignore
    for (const { entry, kind } of this.#standing)
      for (const step of steps) {
        if (!inputsOf(step).includes(entry.topic)) continue
        const at = `${taskName(step.name, entry.topic.name, entry.partition)}:${entry.offset}`
        const fault = judge(kind, step, entry, codes.get(at) ?? [])
        if (fault !== undefined) faults.push(`${at}, ${kind.name}: ${fault}`)
      }
    return faults.length <= shown ? faults : [...faults.slice(0, shown), `and ${faults.length - shown} more foreign messages`] // prettier-ignore
  }
}

/** @returns what is wrong with the letters that a step wrote of a message */
function judge(kind: Kind, step: Step, { accepted, message }: Entry, found: readonly string[]): string | undefined {
  const known: readonly Verdict[] = step.kind === 'sink' ? kind.sinks : kind.processors
  // An append whose answer was lost may have been made twice.
  const wanted = accepted || isRedriven(message.headers) ? known : ['dropped']
  if (found.length > 1) return `${found.length} dead letters: ${found.join(', ')}`
  const [code] = found
  const fits = code === undefined ? wanted.some((one) => one === 'taken' || one === 'dropped') : wanted.includes(code)
  return fits ? undefined : `${code === undefined ? 'no dead letter' : `a dead letter ${code}`}, where ${wanted.join(' or ')} was due` // prettier-ignore
}
