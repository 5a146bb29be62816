/** What becomes of the messages of a partition when something reads them. */
import { getHeapStatistics } from 'node:v8'
import type { KafkaMessage } from 'kafkajs'

/** What a reader does between its tasks. */
export interface ReadingPlan {
  /** Messages of a task. */
  readonly batch: number
  /** After how many tasks it is stored, thrown away and opened again; 0: never. */
  readonly restartEvery: number
}

/** What one message led to. */
export interface Output {
  /** Of the message. */
  readonly offset: number
  /** Of the outputs of the message which one. */
  readonly index: number
  /** Where it goes: a topic, a table. */
  readonly target: string
  readonly key: string
  readonly value: Buffer | null
  /** What stands beside the value: a time mark as text. */
  readonly more: string
}

/**
 * What became of a message: `record` where it was taken, `mark`, `dropped` where it was left out without a word, or the code of
 * the letter in which it went to the DLQ.
 */
export type Fate = string

export interface Outcome {
  /** Offset → what became of the message; in a ledger that balances there is one for each. */
  readonly fates: ReadonlyMap<number, readonly Fate[]>
  readonly outputs: readonly Output[]
  /** Keys whose wake-ups have thrown. */
  readonly wakeUps: ReadonlySet<string>
  /** What ended the step, and where in the log. */
  readonly ended: { readonly error: string; readonly task: Task } | undefined
  /** The task that took most. */
  readonly slowest: { readonly cpuMs: number; readonly task: Task }
  readonly largest: { readonly bytes: number; readonly task: Task }
  /** What else is wrong: the books do not balance, a letter does not fit. */
  readonly faults: readonly string[]
}

/** Offsets of its messages, both ends included, and their bytes. */
export interface Task {
  readonly from: number
  readonly to: number
  readonly bytes: number
}

/** A step and one of the topics that it reads, or what else reads a topic. */
export interface Reader {
  readonly name: string
  readonly topic: string
  /** Whether its outputs are rows, not records. */
  readonly isTable: boolean
  /** Reads a partition from its beginning. */
  read(messages: readonly KafkaMessage[], plan: ReadingPlan): Promise<Outcome>
}

/** Of the thread. */
interface Usage {
  readonly heap: number
  readonly cpuMs: number
}

const nothing: Task = { from: -1, to: -1, bytes: 0 }

/** Collects an outcome. */
export class Book {
  readonly fates = new Map<number, Fate[]>()
  readonly outputs: Output[] = []
  readonly wakeUps = new Set<string>()
  readonly faults: string[] = []
  #ended: Outcome['ended']
  #slowest: Outcome['slowest'] = { cpuMs: 0, task: nothing }
  #largest: Outcome['largest'] = { bytes: 0, task: nothing }

  fate(offset: number, fate: Fate): void {
    const known = this.fates.get(offset)
    if (known === undefined) this.fates.set(offset, [fate])
    else known.push(fate)
  }

  /** Measures the CPU time and the memory that a task takes. */
  measure<T>(messages: readonly KafkaMessage[], work: () => T): T {
    const began = this.begin()
    try {
      return work()
    } finally {
      this.took(messages, began)
    }
  }

  /** @returns what `took` is told at the end of a task */
  begin(): Usage {
    const { user, system } = process.threadCpuUsage()
    return { heap: heapBytes(), cpuMs: (user + system) / 1_000 }
  }

  took(messages: readonly KafkaMessage[], began: Usage): void {
    const ended = this.begin()
    const [cpuMs, bytes] = [ended.cpuMs - began.cpuMs, ended.heap - began.heap]
    if (cpuMs > this.#slowest.cpuMs) this.#slowest = { cpuMs, task: taskOf(messages) }
    if (bytes > this.#largest.bytes) this.#largest = { bytes, task: taskOf(messages) }
  }

  /** The step would have ended its process. */
  end(messages: readonly KafkaMessage[], error: string): void {
    this.#ended = { error, task: taskOf(messages) }
  }

  outcome(): Outcome {
    const { fates, outputs, wakeUps, faults } = this
    return { fates, outputs, wakeUps, faults, ended: this.#ended, slowest: this.#slowest, largest: this.#largest }
  }
}

function heapBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
  return heap + external
}

function taskOf(messages: readonly KafkaMessage[]): Task {
  const offsets = messages.map(({ offset }) => Number(offset))
  const bytes = messages.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0)
  return { from: Math.min(...offsets), to: Math.max(...offsets), bytes }
}
