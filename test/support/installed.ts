/** The clients of an installation, and the steps that run with them, for as long as a test. */
import { onTestFinished } from 'vitest'
import { withInstallation } from '../../workers/cli/servers.ts'
import { loadConfig } from '../../workers/runtime/config.ts'
import type { Installation } from '../../workers/runtime/installation.ts'
import { WatchSchema } from '../../workers/runtime/watch.ts'

/** Runs `work`, from within a test; what it has started ends with it, and with a test that is given up. */
export async function installed<T>(
  env: Readonly<Record<string, string>>,
  work: (installation: Installation) => Promise<T>,
): Promise<T> {
  const { promise: over, reject } = Promise.withResolvers<never>()
  over.catch(() => {})
  const config = { ...loadConfig(env), logLevel: 'silent' as const }
  const running = withInstallation(config, WatchSchema.parse({}), {}, (installation) => Promise.race([work(installation), over])) // prettier-ignore
  onTestFinished(async () => {
    reject(new Error('the test has ended'))
    await running.catch(() => {})
  })
  return running
}
