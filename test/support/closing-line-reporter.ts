/** Prints `N passed, N failed, N skipped` as the last line of a run, for scripts that read nothing else. */
import { writeSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }

export default class ClosingLineReporter implements Reporter {
  #line: string | undefined

  onInit(): void {
    // After the other reporters and the teardown of the servers.
    process.once('exit', () => {
      if (this.#line !== undefined) writeSync(1, `${this.#line}\n`)
    })
  }

  onTestRunEnd(testModules: ReadonlyArray<TestModule>, unhandledErrors: ReadonlyArray<unknown>): void {
    const { passed, failed, skipped } = count(testModules)
    this.#line = `${passed} passed, ${failed + unhandledErrors.length} failed, ${skipped} skipped`
  }
}

/** A file that cannot be loaded and a suite whose hook fails have no failed test, but are failures; what never ran did not pass. */
function count(testModules: ReadonlyArray<TestModule>): Counts {
  const tests = testModules.flatMap((module) => [...module.children.allTests()])
  const groups = testModules.flatMap((module) => [module, ...module.children.allSuites()])
  const states = tests.map((test) => test.result().state)
  const passed = states.filter((state) => state === 'passed').length
  const failed = states.filter((state) => state === 'failed').length
  return {
    passed,
    failed: failed + groups.filter((group) => group.errors().length > 0).length,
    skipped: states.length - passed - failed,
  }
}
