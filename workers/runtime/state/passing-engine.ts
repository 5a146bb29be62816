/**
 * A slot of a step that sees removals itself (decode-block): no folding, and every block is followed by a mark. A removed block is
 * processed under the settings of its time, so that just what was emitted of it is taken back: same ids, same keys. Code that
 * makes other records of a block than the code before cannot keep this promise: it needs new versions of its topics.
 */
import type { Processor, Topic } from '../definitions.ts'
import { FatalError } from '../errors.ts'
import { redriven } from '../position.ts'
import { StepCaller, Thrown, type Cell, type Input, type Sourced, type Undo } from './cell.ts'
import type { Change, Outlet } from './engine.ts'
import { SettingsVersions, type SettingsVersion } from './settings-versions.ts'
import { blockOf, UnfinalizedBlocks } from './unfinalized-blocks.ts'
import { migrated } from './version.ts'

/** The state of one chain. */
interface Chain {
  readonly cell: Cell
  readonly blocks: UnfinalizedBlocks
  changed: boolean
}

/** As it is stored, with the version of the state. */
interface StoredChain {
  readonly v: number
  readonly cell: Cell
}

const keyField = 'k:'

export class PassingEngine {
  readonly #processor: Processor
  readonly #caller: StepCaller
  readonly #versions: SettingsVersions
  readonly #outlet: Outlet
  readonly #undo: Undo | undefined
  readonly #chains = new Map<string, Chain>()

  constructor(
    processor: Processor,
    settings: unknown,
    outlet: Outlet,
    stored: Iterable<readonly [string, string]> = [],
    undo?: Undo,
  ) {
    const fields = [...stored]
    this.#processor = processor
    this.#versions = new SettingsVersions(settings, processor.state.version, fields)
    this.#caller = new StepCaller(processor, this.#versions.present, undo)
    this.#outlet = outlet
    this.#undo = undo
    for (const [field, text] of fields) {
      if (!field.startsWith(keyField)) continue
      const { v, cell }: StoredChain = JSON.parse(text)
      this.#open(field.slice(keyField.length), migrated(processor, cell, v))
    }
    for (const [field, text] of fields) {
      const place = blockOf(field)
      if (place !== undefined) this.#chains.get(place.key)?.blocks.restore(place.number, text)
    }
  }

  /** @throws FatalError where the step throws at a removal, which cannot be left out */
  record(topic: string, key: string, origin: string, record: Sourced): boolean {
    const chain = this.#chains.get(key) ?? this.#open(key, this.#caller.empty())
    chain.changed = true
    const input: Input = { topic, key, clock: undefined, record, horizon: -1, time: record.ts }
    if (record.removed === true) this.#remove(chain, input, origin)
    else this.#add(chain, input, origin)
    return false
  }

  /** Connectors' marks say nothing here: blocks are the marks. */
  mark(): void {}

  changes(): Change[] {
    this.#caller.forget()
    const changes: Change[] = []
    for (const [key, { blocks, cell, changed }] of this.#chains) {
      changes.push(...blocks.changes())
      const stored: StoredChain = { v: this.#processor.state.version, cell }
      if (changed) changes.push([keyField + key, JSON.stringify(stored)])
    }
    for (const chain of this.#chains.values()) chain.changed = false
    return [...changes, ...this.#versions.changes()]
  }

  #add({ cell, blocks }: Chain, input: Input, origin: string): void {
    const { id, ts, chainId = null, block: number = null, finalized = null } = input.record
    const { present } = this.#versions
    const outcome = this.#process(cell, input, present)
    if (outcome !== undefined) this.#undo?.thrown(input.key, undefined, outcome.error)
    const version = outcome === undefined ? present : undefined
    if (number === null) return
    // A redriven block comes long after its time: the chain stands elsewhere. But it may still have to be taken back.
    if (origin.startsWith(redriven)) {
      if (version !== undefined && blocks.lacks(number, id)) blocks.set({ number, id, time: null, version })
      return
    }
    blocks.dropBelow(finalized ?? 0)
    blocks.set({ number, id, time: version === undefined ? null : ts, version })
    if (version !== undefined)
      this.#outlet.mark({ origin, chainId, time: ts, block: number, finalized, removed: false })
  }

  /** Takes back what was emitted of a block. */
  #remove({ cell, blocks }: Chain, input: Input, origin: string): void {
    const { id, ts, chainId = null, block: number = null, finalized = null } = input.record
    // It was left out: there is nothing to take back.
    if (number !== null && blocks.lacks(number, id)) return
    const known = number === null ? undefined : blocks.get(number, id)
    // Of a block from before the slot's state nobody knows the settings.
    const outcome = this.#process(cell, input, known?.version ?? this.#versions.present)
    if (outcome !== undefined) throw new FatalError('state', `taking ${id} back`, { cause: outcome.error })
    if (number === null || origin.startsWith(redriven)) return
    blocks.dropFrom(number)
    const parent = blocks.newest
    const time = parent?.time ?? ts - 1
    this.#outlet.mark({ origin, chainId, time, block: parent?.number ?? number - 1, finalized, removed: true })
  }

  #process(cell: Cell, input: Input, version: SettingsVersion): Thrown | undefined {
    const publish = (output: Topic, draft: object): void => this.#outlet.publish(output, draft)
    const outcome = this.#caller.process(cell, input, publish, version)
    return outcome instanceof Thrown ? outcome : undefined
  }

  #open(key: string, cell: Cell): Chain {
    const chain: Chain = { cell, blocks: new UnfinalizedBlocks(key, this.#versions), changed: false }
    this.#chains.set(key, chain)
    return chain
  }
}
