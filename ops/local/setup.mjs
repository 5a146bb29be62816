/**
 * Installs what the project needs and this machine lacks, then runs a command of ops/local: `node ops/local/setup.mjs [demo …]`.
 * It runs before anything is installed: no packages, no TypeScript, nothing that Node 18 does not know.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const project = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const local = join(project, '.local')
const programs = join(project, 'node_modules', '.bin')
const pom = join(project, 'ops', 'local', 'pom.xml')

/** What is needed: whether it is there, and how it gets there. An install works on the side and appears by a rename. */
const needs = [
  { name: 'npm packages', isThere: npmPackagesAreThere, install: installNpmPackages },
  { name: 'Kafka and the schema registry', isThere: javaServersAreThere, install: installJavaServers },
  { name: 'Redis', isThere: redisIsThere, install: installRedis },
]

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

// npm packages

/** npm leaves a lock file of what it has installed, written last: it must agree with ours. */
function npmPackagesAreThere() {
  const installed = join(project, 'node_modules', '.package-lock.json')
  if (!existsSync(installed)) return false
  const wanted = Object.entries(packagesOf(join(project, 'package-lock.json')))
  const present = packagesOf(installed)
  return wanted.every(([path, { version, optional }]) =>
    path === '' ? true : path in present ? present[path].version === version : optional === true,
  )
}

function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages
}

async function installNpmPackages() {
  // Not npm ci: npm 11 refuses a lock file that lacks other platforms' packages, as it is where the registry serves only ours.
  await run('npm', ['install', '--no-save', '--no-audit', '--no-fund'], {
    fault: /^npm (?:error|ERR!) (?!code )(.*\S.*)/,
    hint: 'run `npm install --no-save` to see all of it',
  })
  const node = spawnSync(join(programs, 'node'), ['--version'], { encoding: 'utf8' })
  if (!/^v(2[4-9]|[3-9]\d)/.test(node.stdout ?? '')) {
    throw new Error(
      'the npm package `node` brought no Node 24; allow its install script (npm config ignore-scripts) and run `npm install --no-save`',
    )
  }
}

// Kafka and the schema registry

function javaServersAreThere() {
  if (process.env.KAFKA_BROKERS && process.env.SCHEMA_REGISTRY_URL) return true
  const mark = join(local, 'java', 'pom.sha256')
  return existsSync(mark) && readFileSync(mark, 'utf8') === pomHash()
}

function pomHash() {
  return createHash('sha256').update(readFileSync(pom)).digest('hex')
}

async function installJavaServers() {
  const java = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, 'bin', 'java') : 'java'
  const version = Number(
    /version "(\d+)/.exec(spawnSync(java, ['-version'], { encoding: 'utf8' }).stderr ?? '')?.[1] ?? 0,
  )
  if (version < 17) {
    const found = version === 0 ? 'there is none' : `${java} is version ${version}`
    throw new Error(`a JDK 17 or newer is needed, ${found}: apt-get install openjdk-17-jdk-headless, or set JAVA_HOME`)
  }
  if (spawnSync('mvn', ['--version']).status !== 0) throw new Error('Maven is needed: apt-get install maven')
  const unfinished = unfinishedFolder('java')
  const show = (line) => {
    const [, file] = /Downloading from .*\/([^/]+\.(?:jar|gz))/.exec(line) ?? []
    if (file !== undefined) say(`downloading ${file}`)
  }
  await run('mvn', ['--batch-mode', '--file', pom, 'package', `-Dinto=${unfinished}`], {
    onLine: show,
    fault: /\[ERROR\] (.*\S)/,
  })
  writeFileSync(join(unfinished, 'pom.sha256'), pomHash())
  replaceFolder(unfinished, 'java')
}

// Redis

function redisIsThere() {
  if (process.env.REDIS_URL || existsSync(join(local, 'redis', 'redis-server'))) return true
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'redis-server')))
}

/** Unpacks the system's packages into .local, which needs no root and starts no service. */
async function installRedis() {
  if (spawnSync('apt-get', ['--version']).status !== 0) {
    throw new Error(
      'install Redis 6.2 or newer so that `redis-server` is on the PATH, or set REDIS_URL to one that runs',
    )
  }
  const unfinished = unfinishedFolder('redis')
  const hint = 'apt-get install redis-server, or set REDIS_URL to one that runs'
  try {
    await downloadDebianPackages(unfinished, [])
  } catch {
    // The system's package lists are missing or old: own ones.
    const folders = ['state/lists/partial', 'cache/archives/partial'].map((path) => join(unfinished, 'apt', path))
    for (const folder of folders) mkdirSync(folder, { recursive: true })
    const own = [
      '-o',
      `Dir::State::Lists=${join(unfinished, 'apt/state/lists')}`,
      '-o',
      `Dir::Cache=${join(unfinished, 'apt/cache')}`,
    ]
    await run('apt-get', [...own, 'update'], { hint })
    await downloadDebianPackages(unfinished, own).catch((error) =>
      Promise.reject(new Error(`${error.message}; ${hint}`)),
    )
  }
  for (const file of readdirSync(unfinished).filter((name) => name.endsWith('.deb'))) {
    await run('dpkg', ['-x', join(unfinished, file), unfinished], { hint })
    rmSync(join(unfinished, file))
  }
  rmSync(join(unfinished, 'apt'), { recursive: true, force: true })
  const start = `#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu* "$here"/lib/*-linux-gnu* | tr ' ' ':') exec "$here"/usr/bin/redis-server "$@"
`
  writeFileSync(join(unfinished, 'redis-server'), start, { mode: 0o755 })
  await run(join(unfinished, 'redis-server'), ['--version'], { hint })
  replaceFolder(unfinished, 'redis')
}

/** redis-server and what it needs that this system lacks. */
async function downloadDebianPackages(folder, options) {
  const simulated = spawnSync(
    'apt-get',
    [...options, '--simulate', '--no-install-recommends', 'install', 'redis-server'],
    {
      encoding: 'utf8',
    },
  )
  const names = [...simulated.stdout.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name)
  if (names.length === 0) throw new Error(`apt-get does not know redis-server: ${lastLine(simulated.stderr)}`)
  await run('apt-get', [...options, 'download', ...names], { cwd: folder })
}

// The command

/** Runs ops/local/<command>.ts with the project's programs first on the path, and ends as it ended. */
async function runCommand(command, args) {
  const file = join(project, 'ops', 'local', `${command}.ts`)
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

// Helpers

/** Runs a program and throws its last error line when it fails; says every 10 s that it still runs. */
function run(program, args, { cwd = project, onLine = () => undefined, fault, hint } = {}) {
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
function spawnGuarded(program, args, options) {
  const guard = '( ( read -r _ <&3 || kill -INT $$ ) </dev/null >/dev/null 2>&1 & ); exec "$@" 3<&-'
  const child = spawn('/bin/sh', ['-c', guard, 'sh', program, ...args], options)
  const lifeline = child.stdio[3]
  lifeline.on('error', () => undefined)
  child.once('exit', () => lifeline.end('done\n'))
  return child
}

/** Runs `work` while no other set-up of this checkout does; a lock whose owner is gone is taken over. */
async function whileLocked(work) {
  mkdirSync(local, { recursive: true })
  const lock = join(local, 'setup.lock')
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

/** A folder of this process; what others left under that name goes, since only the holder of the lock is here. */
function unfinishedFolder(name) {
  for (const file of readdirSync(local).filter((entry) => entry.startsWith(`${name}.unfinished`))) {
    rmSync(join(local, file), { recursive: true, force: true })
  }
  const folder = join(local, `${name}.unfinished-${process.pid}`)
  mkdirSync(folder, { recursive: true })
  return folder
}

function replaceFolder(unfinished, name) {
  rmSync(join(local, name), { recursive: true, force: true })
  renameSync(unfinished, join(local, name))
}

function lastLine(text) {
  return text.trimEnd().split('\n').pop() || 'it said nothing'
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(0)} s`
}

function say(line) {
  process.stderr.write(`setup: ${line}\n`)
}

function fail(faults) {
  for (const fault of faults) say(fault)
  process.exit(1)
}
