/** Runs hostile messages among good ones through everything that reads their topic, and compares with a run without them. */
import type { KafkaMessage } from 'kafkajs'
import type { Corpus } from './corpus.ts'
import type { Bounds, Finding, Progress, Running } from './kind.ts'
import { hostileOf, type Hostile, type MessageInput } from './message-input.ts'
import { differences, type Given } from './message-checks.ts'
import { received } from './system/messages.ts'
import type { Outcome, Reader } from './system/reader.ts'
import { allReaders } from './system/readers.ts'

/** Offsets between two good messages. */
const room = 4_096
const offsetOf = (index: number): number => (index + 2) * room

/** How the runs differ in what must make no difference. */
const mixedPlan = { batch: 48, restartEvery: 2 }
const plainPlan = { batch: 2_000, restartEvery: 0 }

interface Member {
  readonly index: number
  readonly input: MessageInput
}

export class MessageRun implements Running<MessageInput> {
  readonly #corpus: Corpus
  readonly #bounds: Bounds
  readonly #readers = allReaders()
  readonly #good = new Map<number, readonly KafkaMessage[]>()
  readonly #plain = new Map<string, Promise<Outcome>>()

  constructor(corpus: Corpus, bounds: Bounds) {
    this.#corpus = corpus
    this.#bounds = bounds
  }

  async run(inputs: readonly MessageInput[], progress: Progress): Promise<Finding[]> {
    const members = inputs.map((input, index): Member => ({ index, input }))
    const groups = Map.groupBy(members, ({ input }) => `${input.log} ${input.isApart}`)
    const findings: Finding[] = []
    for (const group of groups.values()) {
      const [first] = group
      if (first === undefined) continue
      progress(group.map(({ index }) => index))
      const given = this.#given(first.input.log, group, findings)
      for (const reader of this.#readers.get(first.input.target) ?? []) {
        progress(group.map(({ index }) => index))
        findings.push(...(await this.#read(reader, first.input, given)))
      }
    }
    return findings
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  /** The good messages of a log with the hostile ones at their places. */
  #given(log: number, group: readonly Member[], findings: Finding[]): Given {
    const hostile = new Map<number, Hostile & { readonly index: number; readonly message: KafkaMessage }>()
    const used = new Map<number, number>()
    const sorted = group.toSorted(
      (a, b) => a.input.at - b.input.at || (a.input.nonce % 1_000) - (b.input.nonce % 1_000),
    )
    for (const { index, input } of sorted) {
      const rank = (used.get(input.at) ?? 0) + 1
      used.set(input.at, rank)
      const offset = offsetOf(input.at) + rank
      const one = hostileOf(input, this.#corpus)
      const cpu = process.threadCpuUsage()
      hostile.set(offset, { ...one, index, message: received(one.loose, offset) })
      const { user, system } = process.threadCpuUsage(cpu)
      if (user + system > this.#bounds.stallMs * 1_000)
        findings.push({ what: 'stalled', where: 'reading the record', detail: `${(user + system) / 1_000} ms of CPU time`, among: [index] }) // prettier-ignore
    }
    const good = this.#goodOf(log)
    const messages = [...good, ...[...hostile.values()].map(({ message }) => message)]
    return { good, hostile, messages: messages.toSorted((a, b) => Number(a.offset) - Number(b.offset)) }
  }

  #goodOf(log: number): readonly KafkaMessage[] {
    let good = this.#good.get(log)
    if (good === undefined) {
      const messages = this.#corpus.logs[log]?.messages ?? []
      this.#good.set(log, (good = messages.map((loose, index) => received(loose, offsetOf(index)))))
    }
    return good
  }

  /** What a reader makes of the good messages alone. */
  #plainOf(reader: Reader, log: number): Promise<Outcome> {
    const name = `${reader.name} ${log}`
    let plain = this.#plain.get(name)
    if (plain === undefined) this.#plain.set(name, (plain = reader.read(this.#goodOf(log), plainPlan)))
    return plain
  }

  async #read(reader: Reader, { log, isApart }: MessageInput, given: Given): Promise<Finding[]> {
    const plain = await this.#plainOf(reader, log)
    const mixed = await reader.read(given.messages, mixedPlan)
    const found = differences({ reader, given, plain, mixed, isApart, bounds: this.#bounds })
    if (isApart || mixed.ended !== undefined) return [...found.findings]
    const left = given.messages.filter(({ offset }) => !found.without.has(Number(offset)))
    const reference = left.length === given.good.length ? plain : await reader.read(left, plainPlan)
    return [...found.findings, ...found.against(reference)]
  }
}
