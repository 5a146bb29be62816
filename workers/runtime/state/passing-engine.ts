/** A slot of a step that sees removals itself (decode-block): no folding, and every block is followed by a mark. */
import type { Processor, Topic } from '../definitions.ts'
import { StepCaller, Thrown, type Cell, type Input, type Sourced, type Undo } from './cell.ts'
import { redriven } from '../position.ts'
import type { Change, Outlet } from './engine.ts'
import { migrated } from './version.ts'

/** Times of the unfinalized blocks of one chain, so that a removal knows how far time goes back. */
interface ChainTimes {
  cell: Cell
  blocks: [block: number, time: number][]
  changed: boolean
}

interface StoredTimes extends Pick<ChainTimes, 'cell' | 'blocks'> {
  readonly v?: number
}

const keyField = 'k:'

export class PassingEngine {
  readonly #caller: StepCaller
  readonly #outlet: Outlet
  readonly #undo: Undo | undefined
  readonly #version: number
  readonly #chains = new Map<string, ChainTimes>()

  constructor(
    processor: Processor,
    settings: unknown,
    outlet: Outlet,
    stored: Iterable<readonly [string, string]> = [],
    undo?: Undo,
  ) {
    this.#caller = new StepCaller(processor, settings, undo)
    this.#outlet = outlet
    this.#undo = undo
    this.#version = processor.state.version
    for (const [field, text] of stored) {
      if (!field.startsWith(keyField)) continue
      // Before version 2 of any such step none was stored.
      const { v = 1, cell: old, blocks }: StoredTimes = JSON.parse(text)
      const cell = migrated(processor, old, v)
      this.#chains.set(field.slice(keyField.length), { cell, blocks, changed: false })
    }
  }

  record(topic: string, key: string, origin: string, record: Sourced): boolean {
    let chain = this.#chains.get(key)
    if (chain === undefined) {
      chain = { cell: this.#caller.empty(), blocks: [], changed: false }
      this.#chains.set(key, chain)
    }
    chain.changed = true
    const publish = (output: Topic, draft: object): void => this.#outlet.publish(output, draft)
    const input: Input = { topic, key, clock: undefined, record, horizon: -1, time: record.ts }
    const outcome = this.#caller.process(chain.cell, input, publish)
    if (outcome instanceof Thrown) {
      this.#undo?.thrown(key, undefined, outcome.error)
      return false
    }
    const { ts, chainId = null, block = null, finalized = null } = record
    // A redriven block comes long after its time: the chain stands elsewhere.
    if (block === null || origin.startsWith(redriven)) return false
    if (record.removed === true) {
      chain.blocks = chain.blocks.filter(([number]) => number < block)
      const [parent, time] = chain.blocks.at(-1) ?? [block - 1, ts - 1]
      this.#outlet.mark({ origin, chainId, time, block: parent, finalized, removed: true })
      return false
    }
    chain.blocks = chain.blocks.filter(([number], at, all) => number >= (finalized ?? 0) || at === all.length - 1)
    chain.blocks.push([block, ts])
    this.#outlet.mark({ origin, chainId, time: ts, block, finalized, removed: false })
    return false
  }

  /** Connectors' marks say nothing here: blocks are the marks. */
  mark(): void {}

  changes(): Change[] {
    this.#caller.forget()
    const changes: Change[] = []
    for (const [key, chain] of this.#chains) {
      if (!chain.changed) continue
      chain.changed = false
      changes.push([keyField + key, JSON.stringify({ v: this.#version, cell: chain.cell, blocks: chain.blocks })])
    }
    return changes
  }
}
