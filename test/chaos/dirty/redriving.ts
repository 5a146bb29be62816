/** Sends back what steps left out because the run had them throw, by the command that a person would use. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { leanWorker, projectFolder } from '../../../ops/local/paths.ts'
import { readDeadLetters } from '../../../workers/cli/dead-letter-log.ts'
import { withInstallation } from '../../../workers/cli/servers.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'
import { isMadeUp } from '../letters.ts'

const run = promisify(execFile)
/** More would not fit on a command line. */
const lettersPerCommand = 500

/**
 * @param env of the workers
 * @returns how many letters were sent back
 */
export async function redriveMadeUp(env: Readonly<Record<string, string>>): Promise<number> {
  const config = loadConfig({ ...env, LOG_LEVEL: 'silent' })
  const ids: string[] = []
  await withInstallation(config, WatchSchema.parse({}), {}, (servers) =>
    readDeadLetters(
      servers,
      ({ letter }) => void (isMadeUp(letter) && letter.reason !== 'late' && ids.push(letter.id)),
    ),
  )
  for (let at = 0; at < ids.length; at += lettersPerCommand) {
    const args = [join(projectFolder, 'workers', 'main.ts'), 'dlq', 'redrive', ...ids.slice(at, at + lettersPerCommand)]
    await run(process.execPath, args, { env: { ...leanWorker, ...process.env, ...env }, cwd: projectFolder })
  }
  return ids.length
}
