/** The data and log folders of one stack, held by one process at a time. */
import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { markedProcess, writeMark } from './process-mark.ts'

export type StackFolders = {
  readonly data: string
  readonly logs: string
  /** Lets go of the folders, after `wipe` if the data are not wanted any more. */
  release(): void
  wipe(): void
}

/**
 * Takes `data/<name>` and `logs/<name>` under `root`.
 * @throws when another process, or this one, holds them.
 */
export function claimFolders(root: string, name: string): StackFolders {
  const folders = tryClaim(root, name)
  if (typeof folders === 'number') {
    throw new Error(
      `the servers of ${join(root, 'data', name)} belong to process ${folders}, which still runs: end that first`,
    )
  }
  return folders
}

/** Takes the folders of `name`, or of `name-2`, `name-3`, … while they are held: what a killed process left there is used again. */
export function claimAnyFolders(root: string, name: string): StackFolders {
  for (let number = 1; ; number++) {
    const folders = tryClaim(root, number === 1 ? name : `${name}-${number}`)
    if (typeof folders !== 'number') return folders
  }
}

/** The folders, or the process that holds them. */
function tryClaim(root: string, name: string): StackFolders | number {
  const data = join(root, 'data', name)
  const logs = join(root, 'logs', name)
  const owner = `${data}.pid`
  mkdirSync(data, { recursive: true })
  mkdirSync(logs, { recursive: true })
  const holder = markedProcess(owner)
  if (holder !== undefined) return holder
  if (!writeMark(owner, process.pid)) return markedProcess(owner) ?? tryClaim(root, name)
  return { data, logs, release: () => rmSync(owner, { force: true }), wipe: () => wipe(data) }
}

function wipe(data: string): void {
  if (!existsSync(data)) return
  for (const entry of readdirSync(data)) {
    const path = join(data, entry)
    // PostgreSQL's folder may be a link to one outside.
    if (existsSync(path)) rmSync(realpathSync(path), { recursive: true, force: true })
    rmSync(path, { force: true })
  }
  rmSync(data, { recursive: true })
}
