/** Runs a processor: its group, its slots, its producer side, its metrics. */
import { topics } from '../../schemas/topics.ts'
import type { Context, Processor, Topic } from './definitions.ts'
import { DeadLetters } from './dead-letters.ts'
import { oneLine } from './errors.ts'
import { forStep } from './context.ts'
import type { Installation } from './installation.ts'
import { Accumulator } from './kafka/accumulator.ts'
import { Partitioner } from './kafka/client.ts'
import { Group } from './kafka/group.ts'
import type { Registry } from './kafka/registry.ts'
import { ProcessorSlot } from './processor-slot.ts'
import type { RedisStore } from './state/redis-store.ts'
import type { SnapshotReader } from './state/snapshot-reader.ts'
import { SnapshotWriter } from './state/snapshots.ts'
import type { Threads } from './threads.ts'
import { createAccumulator, registerSchemas, reportGroup, type RunningStep } from './step-support.ts'

export interface OutputTopic {
  readonly topic: Topic
  /** As the servers call it. */
  readonly name: string
  readonly partitioner: Partitioner
}

/** What the slots of one processor share. */
export interface ProcessorShared {
  readonly context: Context
  readonly store: RedisStore
  readonly threads: Threads
  readonly registry: Registry
  readonly accumulator: Accumulator
  readonly deadLetters: DeadLetters
  readonly snapshots: SnapshotWriter
  readonly snapshotReader: SnapshotReader
  readonly outputs: readonly OutputTopic[]
  readonly schemaIds: ReadonlyMap<string, number>
  readonly settings: unknown
  retried(error: unknown): void
}

/** Starts the processor in this process; it ends with the installation. */
export async function startProcessor(step: Processor, installation: Installation): Promise<RunningStep> {
  const context = forStep(installation.context, step.name)
  const { names, registry } = installation
  const schemaIds = await registerSchemas(installation, [...step.outputs, topics.stateSnapshots])
  const accumulator = await createAccumulator(installation, context, step.name)
  const snapshotAccumulator = await createAccumulator(installation, context, step.name)
  const store = await installation.store()
  const shared: ProcessorShared = {
    context,
    store,
    threads: installation.threads(),
    registry,
    accumulator,
    deadLetters: new DeadLetters(context, names, step.name, schemaIds),
    snapshots: new SnapshotWriter({
      context,
      step: step.name,
      names,
      store,
      accumulator: snapshotAccumulator,
      schemaIds,
    }),
    snapshotReader: installation.snapshotReader,
    outputs: step.outputs.map((topic) => ({ topic, name: names.topic(topic), partitioner: new Partitioner(topic) })),
    schemaIds,
    settings: step.settings?.(context.watch),
    retried: (error) => {
      context.metrics.errors.inc({ step: step.name, class: 'retryable' })
      context.log.warn({ error: oneLine(error) }, 'tried again')
    },
  }
  const slots = new Set<ProcessorSlot>()
  const group = new Group({
    context,
    kafka: installation.kafka,
    ends: installation.ends,
    names: installation.inputNames,
    step: step.name,
    topics: step.inputs,
    version: step.state.version,
    createSlot: (control) => {
      const slot = new ProcessorSlot(step, shared, control)
      slots.add(slot)
      return slot
    },
    waiting: () => accumulator.retrying,
    units: installation.units,
  })
  const unreport = reportGroup(installation, step.name, group, accumulator, () => {
    const held = new Set(group.slots)
    for (const slot of slots) if (!held.has(slot)) slots.delete(slot)
    const age = Math.max(0, ...[...slots].map((slot) => slot.checkpointAge))
    context.metrics.checkpointAge.set({ step: step.name }, age)
  })
  await group.start()
  return {
    name: step.name,
    async stop() {
      unreport()
      group.pauseAll()
      await Promise.all([...slots].map((slot) => slot.drain()))
      await group.stop()
      accumulator.close()
      snapshotAccumulator.close()
    },
  }
}
