/** Running programs for the set-up: with progress on stderr, one line when they fail, and no orphans. */
import { spawn } from 'node:child_process'

/** Runs a program and throws its last error line when it fails; says every 10 s that it still runs. */
export function run(program, args, { cwd, onLine = () => undefined, fault, hint } = {}) {
  const since = Date.now()
  const child = spawnGuarded(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  const ticker = setInterval(() => say(`${program} still works, ${seconds(since)}`), 10_000)
  const lines = []
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream.setEncoding('utf8').on('data', (text) => {
      const parts = (rest + text).split('\n')
      rest = parts.pop()
      for (const line of parts) {
        lines.push(line)
        onLine(line)
      }
    })
  }
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`${program}: ${error.message}`)))
    child.once('close', (code) => {
      if (code === 0) return resolve()
      const reason = lines.map((line) => fault?.exec(line)?.[1]).find((text) => text) ?? lastLine(lines.join('\n'))
      reject(new Error([`${program} ${args[0]} failed: ${reason}`, hint].filter(Boolean).join('; ')))
    })
  }).finally(() => clearInterval(ticker))
}

/** Starts a program that is interrupted when this process is gone, even by kill -9: then the pipe on descriptor 3 closes unsaid. */
export function spawnGuarded(program, args, options) {
  const guard = '( ( read -r _ <&3 || kill -INT $$ ) </dev/null >/dev/null 2>&1 & ); exec "$@" 3<&-'
  const child = spawn('/bin/sh', ['-c', guard, 'sh', program, ...args], options)
  const lifeline = child.stdio[3]
  lifeline.on('error', () => undefined)
  child.once('exit', () => lifeline.end('done\n'))
  return child
}

export function lastLine(text) {
  return text.trimEnd().split('\n').pop() || 'it said nothing'
}

/** How long ago that was. */
export function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(0)} s`
}

export function say(line) {
  process.stderr.write(`setup: ${line}\n`)
}
