/** Makes the topics, schemas and tables of an installation, by the project's own commands, in this process. */
import { command } from '../workers/cli/harness.ts'

/** @param env of the installation; without the time-outs of its workers, which commands need not keep on a busy machine */
export async function prepare(env: Readonly<Record<string, string>>): Promise<void> {
  const lines = [['topics', 'apply'], ['schemas', 'register'], ['migrate']]
  await Promise.all(lines.map((line) => command(line, { env })))
}
