/** What a replay reads and writes: its steps, the stretch of each partition that they read, and the names of its topics. */
import type { Micros, Processor, Topic, Topology } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import type { Installation } from '../runtime/installation.ts'
import { createNames, type Names } from '../runtime/kafka/client.ts'
import { readStretch } from '../runtime/kafka/read.ts'
import { selectSteps } from '../runtime/run.ts'
import { outputsOf, topicsOf } from '../runtime/topology.ts'
import { isoTime } from './app.ts'
import { assertTopics } from './topics-plan.ts'

export interface ReplayOptions {
  /** The stretch is what was appended to the topics from `from` up to but without `to`. */
  readonly from: Micros
  readonly to: Micros
  readonly topology: Topology
  /** Names of processors; none: all. */
  readonly steps: readonly string[]
  readonly namespace: string
  /** How far before the stretch the steps begin, so that they have their state: 'all' is the beginning of the logs. */
  readonly warmup: 'all' | Micros
  /** Whether steps read what the replay's steps before them wrote, or what the live ones did. */
  readonly inputs: 'replayed' | 'live'
}

/** A partition of a live topic that the replay reads. */
export interface SourcePartition {
  readonly topic: Topic
  readonly partition: number
  /** Where warming up begins; the stretch is from `from` up to but without `to`. */
  readonly start: number
  readonly from: number
  readonly to: number
}

export interface ReplayPlan {
  readonly processors: readonly Processor[]
  /** Read from the live namespace. */
  readonly sources: readonly SourcePartition[]
  /** Topics of the replay's own namespace. */
  readonly own: readonly Topic[]
  /** The topics that steps read, as the servers call them; groups are the replay's own. */
  readonly inputNames: Names
  /** Where what steps remember may differ from what the live run remembered. */
  readonly notes: readonly string[]
}

/** @throws FatalError that says why there is nothing to replay, or not all of it */
export async function planReplay(options: ReplayOptions, live: Installation): Promise<ReplayPlan> {
  const { from, to, namespace } = options
  if (from >= to) throw new FatalError('usage', `--from ${isoTime(from)} is not before --to ${isoTime(to)}`)
  if (namespace === live.context.config.namespace) {
    const hint = 'a replay writes into a namespace of its own: choose another --namespace, or leave it out'
    throw new FatalError('usage', `--namespace ${namespace} is the live one`, { hint })
  }
  const processors = chooseProcessors(options)
  const written = new Set<Topic>(options.inputs === 'live' ? [] : processors.flatMap(outputsOf))
  const topics = [...new Set(processors.flatMap(({ inputs }) => inputs))].filter((topic) => !written.has(topic))
  const own = createNames(namespace)
  const isLive = new Set(topics.map(({ name }) => name))
  const nameOf = (topic: Topic | string): string => (typeof topic === 'string' ? topic : topic.name)
  const inputNames = { ...own, topic: (topic: Topic | string) => (isLive.has(nameOf(topic)) ? live.names : own).topic(topic) } // prettier-ignore
  await assertTopics(await live.admin(), live.names, topics)
  const sources: SourcePartition[] = []
  for (const topic of topics) sources.push(...(await stretchOf(topic, options, live)))
  if (sources.every((source) => source.from === source.to)) {
    const read = topics.map(({ name }) => name).join(', ')
    throw new FatalError('replay', `Nothing was appended from ${isoTime(from)} to ${isoTime(to)} to ${read}`)
  }
  const notes = await checkBeginnings(sources, options, live)
  return { processors, sources, own: topicsOf(processors).filter(({ name }) => !readOnly(name)), inputNames, notes }

  function readOnly(name: string): boolean {
    return isLive.has(name) && !processors.some(({ outputs }) => outputs.some((output) => output.name === name))
  }
}

/** @throws FatalError where a step would read but a part of a topic */
function chooseProcessors({ topology, steps, inputs }: ReplayOptions): Processor[] {
  const chosen = selectSteps(topology, steps)
  const processors = chosen.filter((step) => step.kind === 'processor')
  const others = steps.length === 0 ? [] : chosen.filter((step) => step.kind !== 'processor')
  if (others.length > 0) {
    const details = others.map(({ name, kind }) => `${name} is a ${kind}`)
    throw new FatalError('usage', 'A replay runs processors alone', { details })
  }
  if (inputs === 'live') return processors
  const details = processors.flatMap((reader) =>
    reader.inputs.flatMap((topic) => {
      const writers = topology.steps.filter((step) => outputsOf(step).includes(topic))
      const missing = writers.filter((step) => !processors.some((processor) => processor === step))
      if (missing.length === 0 || missing.length === writers.length) return []
      return `${reader.name} reads ${topic.name}, which ${missing.map(({ name }) => name).join(' and ')} writes too`
    }),
  )
  const hint = 'name all or none of them in --steps, or read what the live run wrote: --inputs live'
  if (details.length > 0) throw new FatalError('usage', 'Choosing steps', { details, hint })
  return processors
}

async function stretchOf(topic: Topic, options: ReplayOptions, live: Installation): Promise<SourcePartition[]> {
  const { from, to, warmup } = options
  const { ends, names } = live
  const name = names.topic(topic)
  const since = (partition: number, time: Micros): Promise<number> => ends.since(name, partition, Math.ceil(time / 1_000)) // prettier-ignore
  return Promise.all(
    Array.from({ length: topic.partitions }, async (_, partition) => {
      const { low } = await ends.of(name, partition)
      const first = await since(partition, from)
      const start = warmup === 'all' ? low : Math.max(low, await since(partition, from - warmup))
      return { topic, partition, start, from: first, to: await since(partition, to) }
    }),
  )
}

/** A log whose beginning is gone. @throws FatalError where a part of the stretch is gone. @returns what else that means */
async function checkBeginnings(
  sources: readonly SourcePartition[],
  { from, warmup }: ReplayOptions,
  live: Installation,
): Promise<string[]> {
  const { kafka, names } = live
  const admin = await live.admin()
  const details: string[] = []
  const notes: string[] = []
  for (const { topic, partition, start } of sources) {
    const name = names.topic(topic)
    const { low, high } = await live.ends.of(name, partition)
    if (low === 0 || low === high || start > low) continue
    const [first] = await readStretch({ kafka, admin, names }, { topic: name, partition, from: low, to: low + 1 })
    const began = Number(first?.timestamp ?? 0) * 1_000
    if (began > from) details.push(`${topic.name}:${partition}: the log begins at ${isoTime(began)}`)
    else if (warmup === 'all') notes.push(`${topic.name}:${partition}: the log begins at ${isoTime(began)}; the live run may remember more`) // prettier-ignore
  }
  if (details.length === 0) return notes
  const hint = 'what came before was deleted by retention: choose a later --from'
  throw new FatalError('replay', `The stretch begins at ${isoTime(from)}`, { details, hint })
}
