/** The command line: its commands, its help and how it fails. */
import { Command, CommanderError } from 'commander'
import { proposal, type App } from './app.ts'
import { addCheck } from './check.ts'
import { addConfig } from './config.ts'
import { addDlq } from './dlq.ts'
import { addGraph } from './graph.ts'
import { addMigrate } from './migrate.ts'
import { addOffsets } from './offsets.ts'
import { addReplay } from './replay.ts'
import { addRun } from './run.ts'
import { addSchemas } from './schemas.ts'
import { addState } from './state.ts'
import { addTail } from './tail.ts'
import { addTopics } from './topics.ts'
import { FatalError } from '../runtime/errors.ts'
import { nearest } from '../runtime/nearest.ts'

/**
 * Runs one command; `run` goes on until the process is asked to stop.
 * @throws FatalError `usage` where the command is not understood, and whatever the command throws
 */
export async function commandLine(app: App, args: readonly string[]): Promise<void> {
  const program = new Command('npm start --')
    .description('Runs and looks after the stream-processing workers of crypto-intel.')
    .exitOverride()
    .addHelpText('after', '\nExamples:\n  npm start -- topics apply\n  npm start -- run crypto-intel')
    .showSuggestionAfterError(false)
    .showHelpAfterError(false)
    .configureOutput({ writeOut: (text) => app.print(text.trimEnd()), writeErr: () => {} })
  for (const add of [addRun, addCheck, addGraph, addConfig, addTopics, addSchemas, addMigrate]) add(program, app)
  for (const add of [addDlq, addOffsets, addState, addTail, addReplay]) add(program, app)
  try {
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode !== 0) throw misunderstood(error, program, args)
  }
}

function misunderstood(error: CommanderError, program: Command, args: readonly string[]): FatalError {
  const [command, depth] = innermost(program, args)
  const path = ['npm start --', ...args.slice(0, depth)].join(' ')
  const word = args[depth]
  const names = command.commands.map((one) => one.name())
  if (names.length > 0 && word === undefined) {
    return new FatalError('usage', `${path} needs a command`, { hint: `there are: ${names.join(', ')}` })
  }
  if (names.length > 0 && word !== undefined && !word.startsWith('-')) {
    return new FatalError('usage', `unknown command ${word}`, { hint: proposal(word, names) })
  }
  const message = error.message.replace(/^error: /, '')
  const option = /^unknown option '(.*)'$/.exec(message)?.[1]
  const options = command.options.flatMap(({ long }) => long ?? [])
  const hint =
    option === undefined || nearest(option, options) === undefined ? `see ${path} --help` : proposal(option, options)
  return new FatalError('usage', message, { hint })
}

/** The command that the words lead to, and how many of them do. */
function innermost(program: Command, args: readonly string[]): [command: Command, depth: number] {
  let command = program
  let depth = 0
  for (const word of args) {
    const next = command.commands.find((one) => one.name() === word)
    if (next === undefined) break
    command = next
    depth++
  }
  return [command, depth]
}
