/** The demo on the real exchange and real nodes: the watch file and the nodes come from the environment. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { DemoOptions } from './options.ts'
import type { DemoReport } from './report.ts'
import { startPipeline, type Takedown, watchRun } from './run.ts'

export async function runLive(
  options: DemoOptions,
  takedown: Takedown,
  signal: AbortSignal,
): Promise<DemoReport | undefined> {
  const path = resolve(process.env['WATCH_FILE'] ?? 'watch.yaml')
  if (!existsSync(path))
    throw new Error(`there is no watch file ${path}; copy watch.example.yaml to watch.yaml, or set WATCH_FILE`)
  const pipeline = await startPipeline(options, takedown, async () => ({ WATCH_FILE: path }))
  const limit = options.for === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(options.for * 1_000)])
  await watchRun(pipeline, !options.json && process.stdout.isTTY === true, limit, async () => [])
  return undefined
}
