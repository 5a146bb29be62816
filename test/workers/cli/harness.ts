/** Runs commands of the command line in this process, as `npm start -- …` does. */
import { cryptoIntel } from '../../../topologies/crypto-intel.ts'
import { commandLine } from '../../../workers/cli/command-line.ts'
import type { Topology } from '../../../workers/runtime/definitions.ts'
import { explain } from '../../../workers/runtime/errors.ts'

export type Env = Record<string, string>

export interface Options {
  readonly env?: Env
  readonly topologies?: readonly Topology[]
  readonly stop?: AbortSignal
  /** Called with each line as it is printed. */
  readonly onLine?: (line: string) => void
}

/** @returns the lines that the command prints. @throws whatever the command throws */
export async function command(args: readonly string[], options: Options = {}): Promise<string[]> {
  const lines: string[] = []
  const app = {
    topologies: options.topologies ?? [cryptoIntel],
    env: options.env ?? {},
    print: (text: string) => {
      lines.push(...text.split('\n'))
      options.onLine?.(text)
    },
    untilStopped: () => options.stop ?? new AbortController().signal,
  }
  await commandLine(app, args)
  return lines
}

/** @returns what the command says when it fails. */
export async function failure(args: readonly string[], options: Options = {}): Promise<string> {
  try {
    await command(args, options)
  } catch (error) {
    return explain(error)
  }
  throw new Error(`${args.join(' ')} did not fail`)
}
