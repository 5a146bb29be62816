/** The entry point: `npm start -- <command>`. */
import { cryptoIntel } from '../topologies/crypto-intel.ts'
import { commandLine } from './cli/command-line.ts'
import { exitWith } from './runtime/shutdown.ts'

const ending = new AbortController()
process.once('SIGINT', () => ending.abort())
// `… | head` closes the pipe when it has seen enough.
process.stdout.on('error', () => process.exit(0))

try {
  await commandLine(
    {
      topologies: [cryptoIntel],
      env: process.env,
      print: (line) => void process.stdout.write(`${line}\n`),
      signal: ending.signal,
    },
    process.argv.slice(2),
  )
  process.exit(0)
} catch (error) {
  exitWith(error)
}
