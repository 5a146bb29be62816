/** Files that say which process holds something, and tell it from a later process with the same pid. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Writes the mark of a running process into `file`, made anew: false when the file is there already. */
export function writeMark(file: string, pid: number): boolean {
  try {
    writeFileSync(file, `${pid} ${startTime(pid)}`, { flag: 'wx' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** The pid in `file` if its process still runs; a mark that has outlived its process is removed. */
export function markedProcess(file: string): number | undefined {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  const [pid = '', started] = text.split(' ')
  if (pid !== '' && startTime(Number(pid)) === started) return Number(pid)
  rmSync(file, { force: true })
  return undefined
}

/**
 * Resolves when the process that `file` marks has ended.
 * @throws when it still runs after `timeoutMs`.
 */
export async function markedProcessGone(file: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (let pid; (pid = markedProcess(file)) !== undefined; await sleep(50)) {
    if (performance.now() > deadline) throw new Error(`process ${pid}, which ${file} names, does not end: stop it`)
  }
}

/** When a process started, in clock ticks since the boot (proc(5), stat field 22); `none` if it does not run or is a zombie. */
function startTime(pid: number): string {
  try {
    // The second field, the program's name in brackets, may hold anything.
    const [, fields = ''] = /^.*\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    const [state, ...rest] = fields.split(' ')
    return state === 'Z' ? 'none' : (rest[18] ?? 'none')
  } catch {
    return 'none'
  }
}
