/**
 * Installs what the project needs and this machine lacks, then runs a command of ops/local: `node ops/local/setup.mjs [demo …]`.
 * It runs before anything is installed: no packages, no TypeScript, nothing that Node 18 does not know.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, join } from 'node:path'
import { localFolder, needs, programs, projectFolder } from './setup/needs.mjs'
import { say, seconds, spawnGuarded } from './setup/programs.mjs'

await main(process.argv.slice(2))

async function main([command, ...args]) {
  if (Number(process.versions.node.split('.')[0]) < 18) fail([`Node 18 or newer is needed, this is ${process.version}`])
  if (needs.some((need) => !need.isThere())) {
    const faults = await whileLocked(installMissing)
    if (faults.length > 0) fail(faults)
  }
  if (command !== undefined) await runCommand(command, args)
}

/** Installs what is missing side by side: each waits for the network most of the time. Gives what went wrong. */
async function installMissing() {
  const installing = needs
    .filter(({ isThere }) => !isThere())
    .map(async ({ name, install }) => {
      const since = Date.now()
      say(`installing ${name}`)
      try {
        await install()
        say(`${name} installed in ${seconds(since)}`)
      } catch (error) {
        return `${name} cannot be installed: ${error.message}`
      }
    })
  return (await Promise.all(installing)).filter((fault) => fault !== undefined)
}

/** Runs ops/local/<command>.ts with the project's programs first on the path, and ends as it ended. */
async function runCommand(command, args) {
  const file = join(projectFolder, 'ops', 'local', `${command}.ts`)
  if (!existsSync(file)) fail([`unknown command ${command}: there is no ${file}`])
  const child = spawnGuarded(join(programs, 'node'), [file, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, PATH: [programs, process.env.PATH].join(delimiter) },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // A terminal's Ctrl-C reaches the command by itself, and a second one means haste.
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY ? undefined : child.kill(signal)))
  }
  const [code, signal] = await new Promise((resolve) => child.once('exit', (...end) => resolve(end)))
  process.exitCode = code ?? 128 + constants.signals[signal]
}

/** Runs `work` while no other set-up of this checkout does; a lock whose owner is gone is taken over. */
async function whileLocked(work) {
  mkdirSync(localFolder, { recursive: true })
  const lock = join(localFolder, 'setup.lock')
  for (let told = false; !takeLock(lock); told = true) {
    if (!told) say('waiting for another set-up of this checkout')
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  const release = () => rmSync(lock, { force: true })
  process.once('exit', release)
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(128 + constants.signals[signal]))
  try {
    return await work()
  } finally {
    release()
    process.removeAllListeners('exit').removeAllListeners('SIGINT').removeAllListeners('SIGTERM')
  }
}

function takeLock(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
  }
  try {
    const owner = Number(readFileSync(lock, 'utf8'))
    // Without a number its owner was cut off while writing it, or is about to.
    const abandoned = owner > 0 ? !isAlive(owner) : Date.now() - statSync(lock).mtimeMs > 5000
    if (!abandoned) return false
    rmSync(lock, { force: true })
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
  return takeLock(lock)
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function fail(faults) {
  for (const fault of faults) say(fault)
  process.exit(1)
}
