/** The entry point: `npm start -- <command>`. */
import { cryptoIntel } from '../topologies/crypto-intel.ts'
import type { App } from './cli/app.ts'
import { commandLine } from './cli/command-line.ts'
import { exitWith } from './runtime/shutdown.ts'

const ending = new AbortController()
const end = (): void => ending.abort()
// `… | head` closes the pipe when it has seen enough.
process.stdout.on('error', end)

const app: App = {
  topologies: [cryptoIntel],
  env: process.env,
  print: (line) => void process.stdout.write(`${line}\n`),
  untilStopped() {
    process.once('SIGINT', end).once('SIGTERM', end)
    return ending.signal
  },
}

try {
  await commandLine(app, process.argv.slice(2))
  // What a slow reader of a pipe has not taken yet would be lost.
  process.stdout.write('', () => process.exit(0))
} catch (error) {
  exitWith(error)
}
