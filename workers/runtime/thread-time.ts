/**
 * The processor time of a thread of this process, read from outside it, since a thread that does not end answers nothing. On a
 * machine that others keep busy it says how long a thread has worked, where a clock would count its waits too.
 */
import { readFileSync, readlinkSync } from 'node:fs'

/** Clock ticks a second in /proc, on every Linux (proc_pid_stat(5), sysconf(_SC_CLK_TCK)). */
const ticksPerSecond = 100
/** Of user and system time among the fields of /proc/<pid>/stat behind the name, which may hold blanks. */
const [utime, stime] = [11, 12]

/** @returns the system's number of the calling thread; NaN where the system does not tell. */
export function threadId(): number {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1))
  } catch {
    return NaN
  }
}

/** @returns the processor time that a thread has used, in milliseconds; where the system does not tell, the clock's. */
export function threadTimeMs(thread: number): number {
  try {
    const text = readFileSync(`/proc/self/task/${thread}/stat`, 'latin1')
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return ((Number(fields[utime]) + Number(fields[stime])) * 1_000) / ticksPerSecond
  } catch {
    return performance.now()
  }
}
