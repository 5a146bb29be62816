/** Runs a replay: warms the steps up to the stretch, runs them through it, and leaves only what follows from it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from 'kafkajs'
import { topics } from '../../schemas/topics.ts'
import type { Config } from '../runtime/config.ts'
import type { Processor, Topic } from '../runtime/definitions.ts'
import { FatalError, RetryableError } from '../runtime/errors.ts'
import type { Installation } from '../runtime/installation.ts'
import type { Bounds } from '../runtime/kafka/log-ends.ts'
import type { Names } from '../runtime/kafka/client.ts'
import { untilAnswered } from '../runtime/kafka/until-answered.ts'
import { runSteps } from '../runtime/run.ts'
import type { Watch } from '../runtime/watch.ts'
import type { ReplayPlan, SourcePartition } from './replay-plan.ts'
import { withInstallation } from './servers.ts'
import { createTopics } from './topics.ts'
import { planTopics } from './topics-plan.ts'

export interface ReplayRun {
  readonly plan: ReplayPlan
  /** With the replay's namespace. */
  readonly config: Config
  readonly watch: Watch
  readonly stopped: AbortSignal
  /** Told when a part begins. */
  onPhase(what: string): void
}

/** Partitions of a topic of the replay, and where what follows from the stretch stands in them. */
export interface OwnStretch {
  readonly topic: Topic
  readonly partition: number
  readonly from: number
  readonly to: number
}

const pollMs = 200
/** So many times `STALL_MS` without a checkpoint, and the replay gives up. */
const patience = 4

/** @returns what follows from the stretch. @throws FatalError or RetryableError; the namespace is then empty again */
export async function runReplay(run: ReplayRun): Promise<OwnStretch[]> {
  const { plan, config, watch } = run
  const { own, sources, inputNames } = plan
  return withInstallation(config, watch, { inputNames }, async (servers) => {
    const admin = await servers.admin()
    await create(own, config, servers.names, admin)
    try {
      await begin(plan, servers)
      if (sources.some(({ start, from }) => start < from)) {
        run.onPhase('warming up')
        await runTo(run, ({ from }) => from)
      }
      const results = own.filter((topic) => topic !== topics.stateSnapshots)
      const warm = await endsOf(results, servers)
      await trim(warm, servers.names, admin)
      run.onPhase('replaying')
      await runTo(run, ({ to }) => to)
      const ends = await endsOf(results, servers)
      return ends.map((end, at) => ({ ...end, from: warm[at]?.to ?? 0 }))
    } catch (error) {
      await admin.deleteTopics({ topics: own.map((topic) => servers.names.topic(topic)) }).catch(() => {})
      throw error
    } finally {
      await forget(plan, servers, admin)
    }
  })
}

/** @throws FatalError where the namespace is in use */
async function create(own: readonly Topic[], config: Config, names: Names, admin: Admin): Promise<void> {
  const all = await untilAnswered('Asking the brokers for their topics', () => admin.listTopics())
  const taken = all.filter((name) => name.startsWith(names.topic('')))
  if (taken.length > 0) {
    const hint = 'choose another --namespace, or leave it out'
    throw new FatalError('replay', `The namespace ${config.namespace} has topics: ${taken.join(', ')}`, { hint })
  }
  await createTopics(admin, await planTopics(admin, names, own, config.replicationFactor), config.replicationFactor)
}

/** Sets every slot to where it begins. */
async function begin({ processors, sources }: ReplayPlan, servers: Installation): Promise<void> {
  const store = await servers.store()
  for (const step of processors)
    for (const { topic, partition, start } of sources)
      if (step.inputs.includes(topic)) await store.setOffset({ step: step.name, topic: topic.name, partition }, start)
}

/** Runs all steps until they have read their sources up to a bound, and everything that follows from that. */
async function runTo(run: ReplayRun, bound: (source: SourcePartition) => number): Promise<void> {
  const { plan, config, watch } = run
  const { inputNames, processors, sources } = plan
  const bounds: Bounds = new Map(
    sources.map((source) => [`${inputNames.topic(source.topic)}:${source.partition}`, bound(source)]),
  )
  await withInstallation(config, watch, { inputNames, bounds }, async (servers) => {
    await runSteps(processors, servers)
    for (const step of inOrder(processors)) await workedOff(step, servers, run.stopped)
  })
}

/** Steps before those that read what they write. */
function inOrder(processors: readonly Processor[]): Processor[] {
  const ordered: Processor[] = []
  for (let left = [...processors]; left.length > 0;) {
    const first = left.filter(({ inputs }) => !left.some(({ outputs }) => outputs.some((one) => inputs.includes(one))))
    if (first.length === 0) throw new FatalError('topology', 'The steps read each other in a circle')
    ordered.push(...first)
    left = left.filter((step) => !first.includes(step))
  }
  return ordered
}

/** Resolves when every slot of a step, whose inputs do not grow any more, has stored that it stands at its end. */
async function workedOff(step: Processor, servers: Installation, stopped: AbortSignal): Promise<void> {
  const { ends, inputNames, context } = servers
  const store = await servers.store()
  const limitMs = patience * context.config.stallMs
  let [last, since] = ['', performance.now()]
  for (;;) {
    const left: string[] = []
    for (const topic of step.inputs)
      for (let partition = 0; partition < topic.partitions; partition++) {
        const { low, high } = await ends.of(inputNames.topic(topic), partition)
        const stored = (await store.offset({ step: step.name, topic: topic.name, partition })) ?? low
        if (stored < high) left.push(`${step.name} stands at ${stored} of ${topic.name}:${partition}, the end is ${high}`) // prettier-ignore
      }
    if (left.length === 0) return
    if (stopped.aborted) throw new FatalError('replay', 'The replay was stopped')
    if (context.shutdown.aborted) throw new FatalError('replay', 'The steps have ended')
    if (left.join() !== last) [last, since] = [left.join(), performance.now()]
    else if (performance.now() - since > limitMs)
      throw new RetryableError('timeout', `The replay has not come on for ${limitMs} ms`, { details: left })
    await sleep(pollMs)
  }
}

async function endsOf(own: readonly Topic[], { ends, names }: Installation): Promise<OwnStretch[]> {
  const found: OwnStretch[] = []
  for (const topic of own) {
    for (let partition = 0; partition < topic.partitions; partition++) {
      const { low, high } = await ends.of(names.topic(topic), partition)
      found.push({ topic, partition, from: low, to: high })
    }
  }
  return found
}

/** Deletes what the steps wrote while they warmed up. */
async function trim(warm: readonly OwnStretch[], names: Names, admin: Admin): Promise<void> {
  const written = Map.groupBy(
    warm.filter(({ from, to }) => from < to),
    ({ topic }) => names.topic(topic),
  )
  for (const [topic, partitions] of written) {
    const offsets = partitions.map(({ partition, to }) => ({ partition, offset: String(to) }))
    await untilAnswered(`Deleting what warming up wrote to ${topic}`, () =>
      admin.deleteTopicRecords({ topic, partitions: offsets }),
    )
  }
}

/** Topics are what a replay leaves: state and groups serve nobody any more. */
async function forget({ processors }: ReplayPlan, servers: Installation, admin: Admin): Promise<void> {
  const store = await servers.store()
  for (const step of processors) {
    for (const topic of step.inputs)
      for (let partition = 0; partition < topic.partitions; partition++)
        await store.reset({ step: step.name, topic: topic.name, partition })
    await admin.deleteGroups([servers.names.group(step.name)]).catch(() => {})
  }
  await admin.deleteTopics({ topics: [servers.names.topic(topics.stateSnapshots)] }).catch(() => {})
}
