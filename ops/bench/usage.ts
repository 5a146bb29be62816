/** What worker processes use, from their own metrics. */
import type { Workers } from '../local/demo/workers.ts'
import type { Usage } from './bare.ts'

/** @returns the usage of each process, by the name of the step that runs in it */
export async function usageOf(workers: Workers): Promise<Map<string, Usage>> {
  const found = new Map<string, Usage>()
  for (const text of await workers.scrape()) {
    const group = workers.groups.find(({ steps }) => steps.some((step) => text.includes(`step="${step}"`)))
    const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1])
    if (group === undefined) continue
    const usage = { cpuSeconds: value('process_cpu_seconds_total'), bytes: value('process_resident_memory_bytes') }
    found.set(group.name, usage)
  }
  return found
}
