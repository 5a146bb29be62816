/** The same input gives the same bytes at any batch size and thread count, cut off and opened again anywhere. */
import { afterAll, describe, expect, it } from 'vitest'
import { buildCandles } from '../../workers/build-candles.ts'
import { detectSandwiches } from '../../workers/detect-sandwiches.ts'
import { detectWashRings } from '../../workers/detect-wash-rings.ts'
import type { Processor } from '../../workers/runtime/definitions.ts'
import { schemaText } from '../../workers/runtime/codec.ts'
import { Positions } from '../../workers/runtime/position.ts'
import { Threads } from '../../workers/runtime/threads.ts'
import { schemaIds, textOf } from '../support/driver.ts'
import { messagesOf, packTask } from '../support/driver-slot.ts'
import { WatchSchema } from '../../workers/runtime/watch.ts'
import { expectIdentical, replay, writtenBy } from './compare-replays.ts'
import { partitions, processors, syntheticInputs } from './inputs.ts'
import { madeUpWatch } from './made-up-chain.ts'

const inputs = syntheticInputs()

describe('every processor gives the same bytes whatever the batches, cuts and restarts', () => {
  it.each(processors.map((step) => [step.name, step] as const))(
    '%s, on made-up markets and chains',
    (_, step) => {
      expect(step.outputs.some((topic) => inputs.read(topic).length > 0)).toBe(true)
      expectIdentical(inputs, step, 8)
    },
    60_000,
  )
})

describe('threads give the bytes that the driver gives', () => {
  const running: Threads[] = []
  afterAll(() => Promise.all(running.map((threads) => threads.destroy())))

  /** Runs every partition of a step's first input at once, and moves each to another thread half-way. */
  async function runInThreads(step: Processor, count: number, batch: number): Promise<Map<string, string[]>> {
    const threads = new Threads(count, (error) => {
      throw error
    })
    running.push(threads)
    const [topic] = step.inputs
    if (topic === undefined) throw new Error(`${step.name} reads nothing`)
    const settings = step.settings?.(WatchSchema.parse(madeUpWatch))
    const written = new Map<string, string[]>()
    const runPartition = async (partition: number): Promise<void> => {
      const origin = `${step.name}:${topic.name}:${partition}`
      const open = (slot: string, stored: [string, string][]) =>
        threads.open({ op: 'open', slot, module: step.module, step: step.name, topic: topic.name, settings, schemaIds, stored }) // prettier-ignore
      const log = inputs.messages(topic, partition)
      const positions = new Positions()
      let slot = `${origin}#1`
      await open(slot, [])
      for (let offset = 0; offset < log.length; offset += batch) {
        if (slot.endsWith('#1') && offset > log.length / 2) {
          const fields = await threads.changes(slot)
          await threads.close(slot)
          slot = `${origin}#2`
          await open(
            slot,
            fields.flatMap(([field, text]) => (text === null ? [] : [[field, text]])),
          )
        }
        const { task, origins } = packTask(log.slice(offset, offset + batch), offset, positions)
        const schemas: [number, string][] = [[schemaIds.get(topic.name) ?? 0, schemaText(topic.name)]]
        const { outputs } = await threads.run({ op: 'run', slot, task, origins, schemas })
        for (const { topic: target, message } of messagesOf(step, origin, outputs)) {
          const name = `${target.name} ${origin}`
          written.set(name, [...(written.get(name) ?? []), textOf(message)])
        }
      }
    }
    await Promise.all(Array.from({ length: partitions }, (_, partition) => runPartition(partition)))
    return new Map([...written].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }

  it.each([buildCandles, detectWashRings, detectSandwiches].map((step) => [step.name, step] as const))(
    '%s in 1 to 4 threads, tasks of 7 to 2,000',
    async (_, step: Processor) => {
      const whole = await runInThreads(step, 1, 2_000)
      expect([...whole.values()].flat().length).toBeGreaterThan(0)
      const driver = replay(step, inputs, 2_000)
      const texts = (run: Map<string, string[]>) => new Set([...run.values()].flat())
      expect(texts(whole)).toEqual(texts(writtenBy(step, driver)))
      for (const [count, batch] of [
        [2, 500],
        [3, 7],
        [4, 1],
      ] as const)
        // prettier-ignore
        expect(await runInThreads(step, count, batch)).toEqual(whole)
    },
    60_000,
  )
})
