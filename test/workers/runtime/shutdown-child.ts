/** The process that shutdown.test.ts starts: registers releasers after a scenario and waits to be stopped. */
import { FatalError } from '../../../workers/runtime/errors.ts'
import { createShutdown } from '../../../workers/runtime/shutdown.ts'

const say = (line: string) => void process.stdout.write(`${line}\n`)
const scenario = process.argv[2]
const shutdown = createShutdown({ deadlineMs: scenario === 'stubborn' ? 60_000 : 300 })
setInterval(() => undefined, 60_000)

shutdown.signal.addEventListener('abort', () => say('aborted'))
shutdown.onStop('database', () => say('database'))
shutdown.onStop('forgotten', () => say('forgotten'))()
if (scenario === 'stuck' || scenario === 'stubborn') shutdown.onStop('consumer', () => new Promise(() => undefined))
if (scenario === 'failing') shutdown.onStop('producer', () => Promise.reject(new Error('broker is gone')))
shutdown.onStop('sockets', () => say('sockets'))
say('ready')

if (scenario === 'fatal') {
  shutdown.fatal(
    new FatalError('offset', 'Seeking', { cause: new Error('offset 7 is gone'), hint: 'run offsets reset' }),
  )
  shutdown.fatal(new Error('a mere consequence'))
}
if (scenario === 'uncaught') void Promise.reject(new Error('nobody caught this'))
