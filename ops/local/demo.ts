/** `npm run demo`: the whole pipeline on this machine, with real servers, one command. */
import { parseOptions } from './demo/options.ts'
import { runLive } from './demo/live.ts'
import { runReplay } from './demo/replay.ts'
import { Takedown, say } from './demo/run.ts'
import { runSimulated } from './demo/simulated.ts'

const options = parseOptions(process.argv.slice(2))
const stopping = new AbortController()
const takedown = new Takedown()

let interrupts = 0
const interrupt = (): void => {
  stopping.abort()
  if (++interrupts === 1) say('stopping; again to stop at once')
  if (interrupts > 2) process.exit(130)
}
process.on('SIGINT', interrupt)
process.on('SIGTERM', interrupt)

const mode = options.live ? runLive : options.replay === undefined ? runSimulated : runReplay
let ok = false
try {
  const outcome = await mode(options, takedown, stopping.signal)
  ok = outcome === undefined || outcome.ok
  await takedown.run()
  if (outcome !== undefined)
    process.stdout.write(`${options.json ? JSON.stringify(outcome) : summary(outcome.checks)}\n`)
} catch (error) {
  await takedown.run()
  ok = stopping.signal.aborted
  if (!ok) say(error instanceof Error ? error.message : String(error))
}
process.exit(ok ? 0 : 1)

function summary(checks: readonly { name: string; ok: boolean; detail: string }[]): string {
  return checks.map(({ name, ok: good, detail }) => `${good ? 'ok   ' : 'FAIL '} ${name}: ${detail}`).join('\n')
}
