/** `dlq count`: how many dead letters there are of each step, reason and code. */
import { isoTime, printTable, toJson, type App } from './app.ts'
import { readDeadLetters } from './dead-letter-log.ts'
import { withServers } from './servers.ts'

interface Count {
  readonly step: string
  readonly reason: string
  readonly code: string
  letters: number
  /** When the newest of them was appended, microseconds. */
  newest: number
}

/** Prints the counts as a table, or as JSON lines. */
export function countLetters(
  app: App,
  { step, json }: { readonly step?: string; readonly json?: true },
): Promise<void> {
  return withServers(app, ['kafka', 'registry'], async (servers) => {
    const counts = new Map<string, Count>()
    await readDeadLetters(servers, ({ letter: { step: of, reason, code, ts } }) => {
      if (step !== undefined && of !== step) return
      const name = `${of}\0${reason}\0${code}`
      const count = counts.get(name) ?? { step: of, reason, code, letters: 0, newest: ts }
      count.letters++
      count.newest = Math.max(count.newest, ts)
      counts.set(name, count)
    })
    const all = [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, count]) => count)
    if (json) return all.forEach(({ newest, ...count }) => app.print(toJson({ ...count, newest: isoTime(newest) })))
    if (all.length === 0) return app.print('no dead letters')
    const rows = all.map(({ step: of, reason, code, letters, newest }) => [of, reason, code, letters, isoTime(newest)])
    printTable(app, ['step', 'reason', 'code', 'letters', 'newest'], rows)
  })
}
