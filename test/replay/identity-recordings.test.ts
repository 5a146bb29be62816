/** The same recorded input gives the same bytes at any batch size, cut off and opened again anywhere. */
import { describe, it } from 'vitest'
import type { Driver } from '../support/driver.ts'
import { expectIdentical } from './compare-replays.ts'
import { haveRecordings, processors, recordedInputs, withoutRecordings } from './inputs.ts'

describe.skipIf(!haveRecordings)(`every processor gives the same bytes on recordings${withoutRecordings}`, () => {
  let recorded: Promise<Driver> | undefined
  it.each(processors.map((step) => [step.name, step] as const))(
    '%s',
    async (_, step) => {
      recorded ??= recordedInputs()
      expectIdentical(await recorded, step, 4)
    },
    60_000,
  )
})
