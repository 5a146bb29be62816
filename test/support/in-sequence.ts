/** Tests that tell one story: each begins where the one before has ended. */
import { afterEach, beforeEach } from 'vitest'

/** Skips, in the present file or `describe`, the tests behind one that has failed: what they build on is not there. */
export function inSequence(): void {
  let failed: string | undefined
  beforeEach(({ skip }) => skip(failed !== undefined, `"${failed}" has failed`))
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') failed ??= task.name
  })
}
