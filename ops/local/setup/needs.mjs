/** What the project needs on a machine: whether it is there, and how it gets there. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lastLine, run, say } from './programs.mjs'

export const projectFolder = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))
export const localFolder = join(projectFolder, '.local')
/** Where npm puts programs, Node 24 among them. */
export const programs = join(projectFolder, 'node_modules', '.bin')

const pom = join(projectFolder, 'ops', 'local', 'pom.xml')

/** An install works on the side and appears by a rename; npm keeps its own account. */
export const needs = [
  { name: 'npm packages', isThere: npmPackagesAreThere, install: installNpmPackages },
  { name: 'Kafka and the schema registry', isThere: javaServersAreThere, install: installJavaServers },
  { name: 'Redis', isThere: redisIsThere, install: installRedis },
]

// npm packages

/** npm leaves a lock file of what it has installed, written last: it must agree with ours. */
function npmPackagesAreThere() {
  const installed = join(projectFolder, 'node_modules', '.package-lock.json')
  if (!existsSync(installed)) return false
  const wanted = Object.entries(packagesOf(join(projectFolder, 'package-lock.json')))
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
    cwd: projectFolder,
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
  const mark = join(localFolder, 'java', 'pom.sha256')
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
  if (process.env.REDIS_URL || existsSync(join(localFolder, 'redis', 'redis-server'))) return true
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

/** A folder of this process; what others left under that name goes, since only the holder of the lock is here. */
function unfinishedFolder(name) {
  for (const file of readdirSync(localFolder).filter((entry) => entry.startsWith(`${name}.unfinished`))) {
    rmSync(join(localFolder, file), { recursive: true, force: true })
  }
  const folder = join(localFolder, `${name}.unfinished-${process.pid}`)
  mkdirSync(folder, { recursive: true })
  return folder
}

function replaceFolder(unfinished, name) {
  rmSync(join(localFolder, name), { recursive: true, force: true })
  renameSync(unfinished, join(localFolder, name))
}
