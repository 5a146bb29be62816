/** A slot of a step that sees removals itself (decode-block): no folding, and every block is followed by a mark. */
import type { Processor, Topic } from '../definitions.ts'
import { StepCaller, type Cell, type Sourced } from './cell.ts'
import type { Change, Outlet } from './engine.ts'

/** Times of the unfinalized blocks of one chain, so that a removal knows how far time goes back. */
interface ChainTimes {
  cell: Cell
  blocks: [block: number, time: number][]
  changed: boolean
}

const keyField = 'k:'

export class PassingEngine {
  readonly #caller: StepCaller
  readonly #outlet: Outlet
  readonly #chains = new Map<string, ChainTimes>()

  constructor(
    processor: Processor,
    settings: unknown,
    outlet: Outlet,
    stored: Iterable<readonly [string, string]> = [],
  ) {
    this.#caller = new StepCaller(processor, settings)
    this.#outlet = outlet
    for (const [field, text] of stored) {
      if (!field.startsWith(keyField)) continue
      const { cell, blocks }: Pick<ChainTimes, 'cell' | 'blocks'> = JSON.parse(text)
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
    this.#caller.process(chain.cell, { topic, key, clock: undefined, record, horizon: -1 }, publish)
    const { ts, chainId = null, block = null, finalized = null } = record
    if (block === null) return false
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
    const changes: Change[] = []
    for (const [key, chain] of this.#chains) {
      if (!chain.changed) continue
      chain.changed = false
      changes.push([keyField + key, JSON.stringify({ cell: chain.cell, blocks: chain.blocks })])
    }
    return changes
  }
}
