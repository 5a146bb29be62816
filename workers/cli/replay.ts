/** `replay`: reprocesses a stretch of the topics into a namespace of its own, and compares it with what the live run wrote. */
import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { loadConfig, type Config } from '../runtime/config.ts'
import type { Micros } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import type { Installation } from '../runtime/installation.ts'
import { loadWatch } from '../runtime/load-watch.ts'
import { isoTime, printTable, toJson, topologyCalled, type App } from './app.ts'
import { assertSound } from './check.ts'
import { lengthOfTime, pointInTime, replayInputs } from './options.ts'
import { compareReplay, type TopicComparison } from './replay-compare.ts'
import { planReplay, type ReplayPlan } from './replay-plan.ts'
import { runReplay, type OwnStretch } from './replay-run.ts'
import { withServers } from './servers.ts'

interface Options {
  readonly from: Micros
  readonly to: Micros
  readonly topology: string
  readonly namespace?: string
  readonly steps?: string
  readonly warmup: 'all' | Micros
  readonly inputs: 'replayed' | 'live'
  readonly compare?: true
  readonly json?: true
}

const example =
  'npm start -- replay --from 2026-11-20T10:00:00Z --to 2026-11-20T11:00:00Z --topology crypto-intel --compare'

export function addReplay(program: Command, app: App): void {
  program
    .command('replay')
    .description(
      'Run the processors of a topology again over what was appended to their topics from one time to another, into topics ' +
        'of a namespace of its own. The live topics are read; nothing of the live run is changed.',
    )
    .requiredOption('--from <time>', 'first append time: ISO 8601 with its zone, or microseconds', pointInTime)
    .requiredOption('--to <time>', 'the append time to end before', pointInTime)
    .requiredOption('--topology <name>', app.topologies.map(({ name }) => name).join(', '))
    .option('--steps <names>', 'these processors only, separated by commas')
    .option('--namespace <name>', 'where to write; it must have no topics yet (default: one with the time in its name)')
    .option(
      '--warmup <length>',
      'how long before --from the steps begin: 30m, 4h; all: with the log',
      lengthOfTime,
      'all',
    ) // prettier-ignore
    .option(
      '--inputs <which>',
      'replayed: steps read what the replay wrote; live: what the live run did',
      replayInputs,
      'replayed',
    ) // prettier-ignore
    .option('--compare', 'compare with what the live run wrote; exit code 1 where it differs')
    .option('--json', 'print the result as one line of JSON')
    .addHelpText('after', `\nExample:\n  ${example}`)
    .action((options: Options) => replay(app, options))
}

async function replay(app: App, options: Options): Promise<void> {
  const { from, to, warmup, inputs, json } = options
  const topology = topologyCalled(app, options.topology)
  await assertSound(topology)
  const stopped = app.untilStopped()
  await withServers(app, ['kafka', 'registry', 'redis'], async (live) => {
    const config = ownConfig(live.context.config, options.namespace)
    const { namespace } = config
    const steps = options.steps?.split(',').map((name) => name.trim()) ?? []
    const plan = await planReplay({ from, to, topology, steps, namespace, warmup, inputs }, live)
    if (options.compare) await assertWorkedOff(plan, live)
    const say = (line: string): void => void (json || app.print(line))
    for (const note of plan.notes) say(`note: ${note}`)
    const onPhase = (what: string): void => say(`${what} …`)
    const watch = loadWatch(config.watchFile)
    const written = await runReplay({ plan, config, watch, stopped, onPhase })
    const comparisons = options.compare ? await compareReplay({ plan, namespace, written, from }, live) : undefined
    if (json) app.print(toJson(summary(options, namespace, plan, written, comparisons)))
    else report(app, namespace, plan, written, comparisons)
    assertSame(comparisons, namespace)
  })
}

/** The live configuration with the replay's namespace. @throws FatalError where that cannot be one */
function ownConfig(config: Config, namespace: string | undefined): Config {
  const stamp = isoTime(Date.now() * 1_000).replaceAll(/[-:]|\..*$/g, '').toLowerCase() // prettier-ignore
  const prefix = config.namespace === '' ? '' : `${config.namespace}-`
  const own = namespace ?? `${prefix}replay-${stamp}-${randomBytes(2).toString('hex')}`
  const { namespace: checked } = loadConfig({ NAMESPACE: own }, { require: [] })
  return { ...config, namespace: checked }
}

/** @throws FatalError where the live run has not come through the stretch */
async function assertWorkedOff({ processors, sources }: ReplayPlan, live: Installation): Promise<void> {
  const store = await live.store()
  const details: string[] = []
  for (const step of processors)
    for (const { topic, partition, from, to } of sources) {
      if (!step.inputs.includes(topic) || from === to) continue
      const at = await store.offset({ step: step.name, topic: topic.name, partition })
      if ((at ?? 0) < to) details.push(`${step.name} stands at ${at ?? 'nothing'} of ${topic.name}:${partition}, the stretch ends at ${to}`) // prettier-ignore
    }
  const hint = 'choose an earlier --to, or leave out --compare'
  if (details.length > 0) throw new FatalError('replay', 'The live run has not come through the stretch', { details, hint }) // prettier-ignore
}

/** @throws FatalError that lists what differs */
function assertSame(comparisons: readonly TopicComparison[] | undefined, namespace: string): void {
  const details = (comparisons ?? []).flatMap(({ examples }) => examples)
  if (details.length === 0) return
  const hint = `look at both: NAMESPACE=${namespace} npm start -- tail <topic> --from earliest --headers`
  throw new FatalError('replay', 'The replay differs from the live run', { details, hint })
}

interface Row {
  readonly topic: string
  /** Messages, time marks included, that were read of the stretch or written because of it. */
  readonly in: number
  readonly out: number
}

function rowsOf({ sources }: ReplayPlan, written: readonly OwnStretch[]): Row[] {
  const rows = new Map<string, { in: number; out: number }>()
  const rowOf = (name: string): { in: number; out: number } => {
    const row = rows.get(name) ?? { in: 0, out: 0 }
    rows.set(name, row)
    return row
  }
  for (const { topic, from, to } of sources) rowOf(topic.name).in += to - from
  for (const { topic, from, to } of written) rowOf(topic.name).out += to - from
  return [...rows].map(([topic, counts]) => ({ topic, ...counts }))
}

const totals = ({ same, differing, onlyLive, onlyReplay, reordered }: TopicComparison) => ({ same, differing, onlyLive, onlyReplay, reordered }) // prettier-ignore

function summary(
  { from, to, topology }: Options,
  namespace: string,
  plan: ReplayPlan,
  written: readonly OwnStretch[],
  comparisons: readonly TopicComparison[] | undefined,
): object {
  const topics = rowsOf(plan, written).map((row) => {
    const comparison = comparisons?.find(({ topic }) => topic === row.topic)
    return comparison === undefined ? row : { ...row, ...totals(comparison) }
  })
  const same = comparisons?.every(({ examples }) => examples.length === 0) ?? null
  return { topology, namespace, from: isoTime(from), to: isoTime(to), notes: plan.notes, topics, same }
}

function report(
  app: App,
  namespace: string,
  plan: ReplayPlan,
  written: readonly OwnStretch[],
  comparisons: readonly TopicComparison[] | undefined,
): void {
  const compared = comparisons === undefined ? [] : ['same', 'differing', 'only live', 'only replay', 'reordered']
  const rows = rowsOf(plan, written).map((row) => {
    const comparison = comparisons?.find(({ topic }) => topic === row.topic)
    const counts = comparison === undefined ? compared.map(() => '-') : Object.values(totals(comparison))
    return [row.topic, row.in, row.out, ...counts]
  })
  printTable(app, ['topic', 'in', 'out', ...compared], rows)
  app.print(`what follows from the stretch stands in the namespace ${namespace}`)
}
