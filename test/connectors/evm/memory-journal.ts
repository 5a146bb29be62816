/** A journal in memory that keeps to the contract of Journal, over a log that several writers may share. */
import { expect } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import type { ChainBlock } from '../../../schemas/types.ts'
import { createContext } from '../../../workers/runtime/context.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import type { Context, Journal, Stamp } from '../../../workers/runtime/definitions.ts'
import { Positions } from '../../../workers/runtime/position.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'

export interface Written {
  readonly record: ChainBlock
  readonly stamp: Stamp
}

export class MemoryLog {
  readonly written: Written[] = []
  /** How many messages each append held. */
  readonly appends: number[] = []

  /** A writer's journal. As with a broker, what an overtaken writer appends is in the log all the same. */
  journal(): Journal<ChainBlock> {
    let end = -1
    return {
      tail: async (limit) => {
        end = this.written.length
        return accepted(this.written)
          .slice(-limit)
          .map(({ record, stamp }) => ({ record: structuredClone(record), position: stamp.position }))
      },
      append: async (entries) => {
        const alone = end === this.written.length
        this.written.push(...structuredClone(entries))
        this.appends.push(entries.length)
        end = this.written.length
        return alone ? 'appended' : 'overtaken'
      },
    }
  }

  /** What a reader makes of the log: the chain that stands; it insists that every removal is of the tip, whole. */
  standing(): ChainBlock[] {
    const stack: ChainBlock[] = []
    let finalized = 0
    for (const { record } of accepted(this.written)) {
      expect(record.finalized).toBeGreaterThanOrEqual(finalized)
      finalized = record.finalized
      if (record.removed) {
        const tip = stack.pop()
        expect({ ...record, removed: false, finalized: tip?.finalized }).toEqual(tip)
        expect(record.block).toBeGreaterThan(finalized)
      } else {
        expect(record.block - finalized).toBeLessThanOrEqual(128)
        stack.push(record)
      }
    }
    return stack
  }

  /** Numbers of what readers accept: removed ones negative. */
  numbers(): number[] {
    return accepted(this.written).map(({ record }) => (record.removed ? -record.block : record.block))
  }
}

function accepted(written: readonly Written[]): Written[] {
  const positions = new Positions()
  return written.filter(({ stamp }) => positions.accept(stamp))
}

/** A context as steps get it, silent, with one chain watched. */
export function chainContext(
  chain: { chainId?: number; finalityDepth?: number; blockTime?: string } = {},
  urls: readonly string[] = [],
): Context {
  const { chainId = 1, finalityDepth = 64, blockTime = '1s' } = chain
  const native = { symbol: 'ETH', priceUsd: 2000 }
  const watch = WatchSchema.parse({ chains: [{ chainId, name: `chain-${chainId}`, finalityDepth, blockTime, native }] })
  const env = { LOG_LEVEL: 'silent', ...(urls.length > 0 ? { EVM_RPC_URLS: `${chainId}=${urls.join(',')}` } : {}) }
  return createContext(loadConfig(env, { require: [] }), watch, topics.chainBlocks.name)
}
