/** Runs a sink: its group and slots, and what it serves beside them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Decoder } from './codec.ts'
import { forStep } from './context.ts'
import { DeadLetters } from './dead-letters.ts'
import type { Context, Sink } from './definitions.ts'
import { classify, oneLine } from './errors.ts'
import type { Installation } from './installation.ts'
import { Group } from './kafka/group.ts'
import { SinkSlot, type SinkShared } from './sink-slot.ts'
import { createSinkWriter } from './sink-writer.ts'
import { createAccumulator, registerSchemas, reportGroup, type RunningStep } from './step-support.ts'

const firstBackoffMs = 100
const longestBackoffMs = 5_000
/** A service that runs so long after a failure has got over it. */
const recoveredMs = 10_000

/** Starts the sink in this process; it ends with the installation. */
export async function startSink(step: Sink, installation: Installation): Promise<RunningStep> {
  const context = forStep(installation.context, step.name)
  const { names, registry } = installation
  const schemaIds = await registerSchemas(installation, [])
  const accumulator = await createAccumulator(installation, context, step.name)
  const shared: SinkShared = {
    context,
    writer: createSinkWriter(await installation.database(), {
      onBlockersEnded: ({ topic, partition }, connections) =>
        context.log.warn({ topic, partition, connections }, "ended a former owner's open transaction"),
    }),
    registry,
    accumulator,
    deadLetters: new DeadLetters(context, names, step.name, schemaIds),
    decoder: new Decoder(step.input),
    retried: (error) => {
      context.metrics.errors.inc({ step: step.name, class: 'retryable' })
      context.log.warn({ error: oneLine(error) }, 'tried again')
    },
  }
  const slots = new Set<SinkSlot>()
  const group = new Group({
    context,
    kafka: installation.kafka,
    ends: installation.ends,
    names: installation.inputNames,
    step: step.name,
    topics: [step.input],
    createSlot: (control) => {
      const slot = new SinkSlot(step, shared, control)
      slots.add(slot)
      return slot
    },
    waiting: () => accumulator.retrying,
    units: installation.units,
  })
  const unreport = reportGroup(installation, step.name, group, accumulator, () => {
    const held = new Set(group.slots)
    for (const slot of slots) if (!held.has(slot)) slots.delete(slot)
  })
  await group.start()
  const endService = step.serve === undefined ? undefined : serve(step, context, installation)
  return {
    name: step.name,
    async stop() {
      unreport()
      await endService?.()
      group.pauseAll()
      await Promise.all([...slots].map((slot) => slot.drain()))
      await group.stop()
      accumulator.close()
    },
  }
}

/** Runs what the sink serves beside its writes, again after errors that pass. */
function serve(step: Sink, context: Context, installation: Installation): () => Promise<void> {
  const ending = new AbortController()
  const unit = installation.units.register({ step: step.name, unit: 'service' })
  const served = (async () => {
    for (let backoff = firstBackoffMs; !ending.signal.aborted; backoff = Math.min(backoff * 2, longestBackoffMs)) {
      const healthy = setTimeout(() => unit.recovered(), recoveredMs)
      try {
        await step.serve?.({ name: step.name, context, signal: ending.signal })
        return
      } catch (error) {
        if (ending.signal.aborted) return
        const passing = classify(error) === 'retryable'
        if (passing) context.log.warn({ error: oneLine(error) }, 'serving is tried again')
        const pauseMs = passing ? backoff : unit.fail(error)
        await sleep(pauseMs, undefined, { signal: ending.signal }).catch(() => {})
      } finally {
        clearTimeout(healthy)
      }
    }
  })()
  return async () => {
    ending.abort()
    await served
    unit.remove()
  }
}
