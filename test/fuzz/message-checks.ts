/** The invariants of a run of messages: the ledger balances, good messages come out as without the hostile ones. */
import type { KafkaMessage } from 'kafkajs'
import type { Bounds, Finding } from './kind.ts'
import type { Hostile } from './message-input.ts'
import { mayDrop } from './positions.ts'
import { unsoundness } from './soundness.ts'
import { altered, decoding } from './system/decoding.ts'
import type { Fate, Outcome, Output, Reader, Task } from './system/reader.ts'

/** What is read, and what was put into it. */
export interface Given {
  readonly good: readonly KafkaMessage[]
  /** By offset. */
  readonly hostile: ReadonlyMap<number, Hostile & { readonly index: number; readonly message: KafkaMessage }>
  /** All in the order of the log. */
  readonly messages: readonly KafkaMessage[]
}

interface Compared {
  readonly reader: Reader
  readonly given: Given
  /** Of the good messages alone. */
  readonly plain: Outcome
  /** Of all. */
  readonly mixed: Outcome
  readonly isApart: boolean
  readonly bounds: Bounds
}

interface Differences {
  readonly findings: readonly Finding[]
  /** Offsets of hostile messages that must have had no effect, since they were refused or dropped. */
  readonly without: ReadonlySet<number>
  /** Compares with a run without those. */
  against(reference: Outcome): readonly Finding[]
}

/** Memory that a task may take: beyond a constant, in multiples of its bytes. */
const [constantBytes, timesBytes] = [48 * 1_024 ** 2, 200]
/** What a record is called that was read, or was refused only after it had moved time. */
const read = new Set<Fate>(['record', 'mark', 'late', 'unprocessable', 'crash'])

export function differences(compared: Compared): Differences {
  const { reader, given, plain, mixed, isApart } = compared
  if (plain.ended !== undefined) throw new Error(`${reader.name} ends at good messages: ${plain.ended.error}`)
  const group = [...given.hostile.values()].map(({ index }) => index)
  const finding = (what: string, detail: string, among: readonly number[] = group): Finding => ({
    what,
    where: reader.name,
    detail,
    among,
  })
  const within = ({ from, to }: Task): number[] =>
    [...given.hostile].flatMap(([offset, { index }]) => (offset >= from && offset <= to ? [index] : []))
  if (mixed.ended !== undefined) {
    const { error, task } = mixed.ended
    const among = within(task)
    const end = { ...finding('ended the step', error, among.length === 0 ? group : among), ended: true } as const
    return { findings: [end], without: new Set(), against: () => [] }
  }
  const findings = [
    ...costs(compared, finding, within),
    ...mixed.faults.map((fault) => finding('ledger', fault)),
    ...ledger(compared, finding),
    ...goodFates(compared, finding),
    ...unsound(compared, finding, isApart ? undefined : group),
  ]
  if (isApart) findings.push(...sameOutputs(mixed, plain, (offset) => !given.hostile.has(offset), finding))
  const without = new Set(
    [...given.hostile.keys()].filter((offset) => !(mixed.fates.get(offset) ?? []).some((fate) => read.has(fate))),
  )
  return {
    findings,
    without,
    against: (reference) => [...sameOutputs(mixed, reference, () => true, finding)],
  }
}

type Make = (what: string, detail: string, among?: readonly number[]) => Finding

function* costs({ mixed, bounds }: Compared, finding: Make, within: (task: Task) => number[]): Generator<Finding> {
  const { slowest, largest } = mixed
  if (slowest.cpuMs > bounds.stallMs)
    yield finding('stalled', `a task took ${Math.round(slowest.cpuMs)} ms of CPU time`, within(slowest.task))
  const most = constantBytes + timesBytes * largest.task.bytes
  if (largest.bytes > most)
    yield finding('took memory', `a task of ${largest.task.bytes} bytes took ${largest.bytes}`, within(largest.task))
}

/** Each hostile message is read once or has exactly one letter, and those that are bad for certain have one. */
function* ledger({ reader, given, mixed }: Compared, finding: Make): Generator<Finding> {
  const dropping = mayDrop(given.messages)
  for (const [offset, { index, message, isBad, isNowhere, isExact }] of given.hostile) {
    const fates = mixed.fates.get(offset) ?? []
    const [fate = 'nothing'] = fates
    const isRead = fate === 'record' || fate === altered
    // Headers say nothing to it.
    const isDecoding = reader.name === decoding
    if (fates.length !== 1 && !(isDecoding && message.value === null))
      yield finding('ledger', `a message became ${fates.join(' and ') || 'nothing'}`, [index])
    if (fate === 'dropped' && !dropping.has(offset)) yield finding('lost without a word', 'dropped')
    // All readers of a topic should agree on it.
    if ((isBad || (isNowhere && !isDecoding)) && isRead)
      yield { ...finding('took what is bad', `processed by ${reader.name}`, [index]), where: reader.topic }
    else if (isExact && fate === altered) yield finding('altered', 'what was read is not what was written', [index])
  }
}

/** What becomes of good messages does not depend on the others. */
function* goodFates({ given, plain, mixed }: Compared, finding: Make): Generator<Finding> {
  for (const { offset } of given.good) {
    const [was, is] = [plain, mixed].map(({ fates }) => (fates.get(Number(offset)) ?? []).join(' and '))
    if (was === is) continue
    yield finding('a good message fares otherwise', `${was} alone, ${is} among the others`)
    break
  }
  const keys = new Set(given.good.map(({ key }) => key?.toString()))
  for (const key of mixed.wakeUps)
    if (!plain.wakeUps.has(key) && keys.has(key))
      yield finding('a good key at fault', 'a wake-up of a good key has thrown')
}

/** Outputs hold only numbers that are finite; those that the good messages give alone are not looked at again. */
function* unsound(
  { reader, given, plain, mixed }: Compared,
  finding: Make,
  group?: readonly number[],
): Generator<Finding> {
  const known = new Set(plain.outputs.map(nameOf))
  for (const output of mixed.outputs) {
    const [one, value] = [given.hostile.get(output.offset), output.value]
    if (value === null && output.more === '') continue
    if (one === undefined && (group === undefined || known.has(nameOf(output)))) continue
    const wrong = reader.isTable ? undefined : unsoundness(output)
    if (wrong !== undefined) yield finding('output is not sound', wrong, one === undefined ? group : [one.index])
  }
}

const nameOf = ({ offset, index, value }: Output): string => `${offset} ${index} ${value?.length ?? -1}`

/** The outputs of the messages that count are the same, in the same order, byte for byte. */
function* sameOutputs(
  mixed: Outcome,
  other: Outcome,
  counts: (offset: number) => boolean,
  finding: Make,
): Generator<Finding> {
  const [mine, theirs] = [mixed, other].map(({ outputs }) => outputs.filter(({ offset }) => counts(offset)))
  if (mine === undefined || theirs === undefined) return
  for (let at = 0; at < Math.max(mine.length, theirs.length); at++) {
    const [a, b] = [mine[at], theirs[at]]
    if (a !== undefined && b !== undefined && isSame(a, b)) continue
    const [is, was] = [a, b].map((one) => (one === undefined ? 'nothing' : `${one.target} ${one.key} of ${one.offset}`))
    return yield finding('good messages come out otherwise', `output ${at}: ${is}, without the others ${was}`)
  }
}

function isSame(a: Output, b: Output): boolean {
  if (a.offset !== b.offset || a.index !== b.index || a.target !== b.target || a.key !== b.key) return false
  if (a.value === null || b.value === null) return a.value === b.value && a.more === b.more
  return a.value.equals(b.value) && a.more === b.more
}
