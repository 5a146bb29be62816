/** A slot of a step behind decode-block, whose settings and code may change with a restart. */
import { Encoder, schemaText, typeOf } from '../../../../workers/runtime/codec.ts'
import type { Processor } from '../../../../workers/runtime/definitions.ts'
import { FrameWriter } from '../../../../workers/runtime/packing.ts'
import { packMark, packRecord, readOutputs, SlotTask, type Fault } from '../../../../workers/runtime/slot-task.ts'
import { topics } from '../../../../schemas/topics.ts'
import type { ChainTransfer, PatternMatch } from '../../../../schemas/types.ts'
import { schemaIds } from '../../../support/driver.ts'
import { noon, second, transfer } from '../../records.ts'

const origin = 'decode-block:chain.blocks.v1:0'
const wireBytes = 5
const encoder = new Encoder(schemaIds)
const smallTask = 2_048

export class ChainSlot {
  readonly published: PatternMatch[] = []
  readonly faults: Fault[] = []
  readonly stored = new Map<string, string>()
  readonly #careful: boolean
  #step: Processor
  #settings: unknown
  #task: SlotTask
  #offset = 0

  /** @param careful whether calls into the step that throw are undone; else the slot is lost with them */
  constructor(step: Processor, settings?: unknown, { careful = false }: { careful?: boolean } = {}) {
    this.#careful = careful
    this.#step = step
    this.#settings = settings
    this.#task = this.#open()
  }

  /** A transfer of a block, a second after that before it; the id says which. */
  send(block: number, amount: number, rest: Partial<ChainTransfer> = {}): void {
    const record = transfer(block, amount, { id: `${block}-${amount}`, amount: String(amount), ...rest })
    const value = encoder.encode(topics.chainTransfers, record)
    const frames = new FrameWriter(smallTask)
    packRecord(frames, this.#offset++, 0, noon, Buffer.from(topics.chainTransfers.key(record)), value)
    this.#run(frames)
  }

  remove(block: number, amount: number, rest: Partial<ChainTransfer> = {}): void {
    this.send(block, amount, { removed: true, ...rest })
  }

  mark(block: number, finalized = 0, removed = false): void {
    const frames = new FrameWriter(smallTask)
    const mark = { origin, chainId: 1, time: noon + block * second, block, finalized, removed }
    packMark(frames, this.#offset++, 0, noon, mark)
    this.#run(frames)
  }

  /** Stores, and opens again under other settings or code where they are given. */
  restart({ settings = this.#settings, step = this.#step }: { settings?: unknown; step?: Processor } = {}): void {
    this.checkpoint()
    this.#settings = settings
    this.#step = step
    this.#task = this.#open()
  }

  /** @returns the fields that were written or deleted */
  checkpoint(): string[] {
    const changes = this.#task.changes()
    for (const [field, text] of changes) {
      if (text === null) this.stored.delete(field)
      else this.stored.set(field, text)
    }
    return changes.map(([field]) => field)
  }

  /** What was published since the last call: +: told, -: taken back; with block and revision. */
  news(): string[] {
    return this.published
      .splice(0)
      .map(({ id, block, revision, removed, facts }) => `${removed ? '-' : '+'}${id} @${block} r${revision} ${Object.values(facts).join()}`) // prettier-ignore
  }

  #run(frames: FrameWriter): void {
    const result = this.#task.run(frames.finish(), [origin])
    if (result.crash !== undefined) throw new Error(result.crash.error)
    this.faults.push(...result.faults)
    for (const { value } of readOutputs(result.outputs))
      if (value !== null) this.published.push(typeOf(topics.patternsMatches.name).fromBuffer(value.subarray(wireBytes)))
  }

  #open(): SlotTask {
    const task = new SlotTask({
      processor: this.#step,
      topic: topics.chainTransfers,
      settings: this.#settings,
      schemaIds,
      careful: this.#careful,
      // A store gives its fields in any order.
      stored: [...this.stored].toReversed(),
    })
    task.learn([[schemaIds.get(topics.chainTransfers.name) ?? 0, schemaText(topics.chainTransfers.name)]])
    return task
  }
}

/** A match as steps of these tests emit it. */
export const matchOf = (id: string, at: { key: string }, ts: number, fact: string | number) => ({
  id,
  pattern: 'test',
  subject: at.key,
  ts,
  start: ts,
  confidence: 1,
  summary: '',
  venue: null,
  symbol: null,
  chainId: 1,
  wallets: [],
  evidence: [],
  facts: { fact: String(fact) },
})
