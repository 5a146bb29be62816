/** Replays one processor's input in every way that must not matter, and holds its bytes to those of one plain run. */
import fc from 'fast-check'
import { expect } from 'vitest'
import { seeded } from '../../ops/local/chain/random.ts'
import type { Processor } from '../../workers/runtime/definitions.ts'
import { createDriver, textOf, type Driver } from '../support/driver.ts'
import type { Cut } from '../support/driver-slot.ts'
import { partitions } from './inputs.ts'
import { madeUpWatch } from './made-up-chain.ts'

const batches = [1, 7, 500, 2_000]

/** What a step wrote, by topic and origin: within them order is fixed, between them it is the broker's. */
export function writtenBy(step: Processor, driver: Driver): Map<string, string[]> {
  const written = new Map<string, string[]>()
  for (const topic of step.outputs) {
    for (let partition = 0; partition < partitions; partition++) {
      for (const message of driver.messages(topic, partition)) {
        const name = `${topic.name}:${partition} ${message.place?.origin}`
        const texts = written.get(name)
        if (texts === undefined) written.set(name, [textOf(message)])
        else texts.push(textOf(message))
      }
    }
  }
  return new Map([...written].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

export function replay(step: Processor, inputs: Driver, batch: number, cut?: () => Cut | undefined): Driver {
  const driver = createDriver({ steps: [step], watch: madeUpWatch, partitions, batch, ...(cut && { cut }) })
  for (const topic of step.inputs) driver.copy(topic, inputs)
  driver.run()
  return driver
}

const faultsOf = (driver: Driver): string[] =>
  [
    ...new Set(driver.faults.map(({ offset, reason, code, error }) => `${offset} ${reason} ${code} ${error}`)),
  ].toSorted()

/** Small tasks are cut off less often, so that a run ends. */
function cuts(seed: number, batch: number): () => Cut | undefined {
  const random = seeded(`cuts ${seed}`)
  const often = Math.min(0.6, 0.01 + batch / 40)
  return () => (random.next() < often ? random.pick<Cut>(['checkpoint', 'checkpoint', 'restart', 'crash']) : undefined)
}

export function expectIdentical(inputs: Driver, step: Processor, runs: number): void {
  const whole = replay(step, inputs, 2_000)
  const written = writtenBy(step, whole)
  for (const batch of batches) expect(writtenBy(step, replay(step, inputs, batch))).toEqual(written)
  fc.assert(
    fc.property(fc.constantFrom(...batches), fc.integer(), (batch, seed) => {
      const again = replay(step, inputs, batch, cuts(seed, batch))
      expect(writtenBy(step, again)).toEqual(written)
      expect(faultsOf(again)).toEqual(faultsOf(whole))
    }),
    { numRuns: runs, seed: 4, endOnFailure: true },
  )
}
