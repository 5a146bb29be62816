/** Runs the steps of a topology in this process. */
import type { Step, Topology } from './definitions.ts'
import { startConnector } from './connector-host.ts'
import { FatalError } from './errors.ts'
import type { Installation } from './installation.ts'
import { assertLogAppendTime } from './kafka/append-time.ts'
import { nearest } from './nearest.ts'
import { startProcessor } from './processor-host.ts'
import { startSink } from './sink-host.ts'
import { beginMetrics } from './step-metrics.ts'
import type { RunningStep } from './step-support.ts'
import { inputsOf } from './topology.ts'

/** @returns the steps called so, or all where none is named. @throws FatalError that names what there is. */
export function selectSteps(topology: Topology, names: readonly string[]): readonly Step[] {
  if (names.length === 0) return topology.steps
  const known = topology.steps.map(({ name }) => name)
  const faults = names.filter((name) => !known.includes(name))
  if (faults.length > 0) {
    const details = faults.map((name) => {
      const like = nearest(name, known)
      return `no step is called ${name}${like === undefined ? '' : `; did you mean ${like}?`}`
    })
    throw new FatalError('usage', `Choosing steps of ${topology.name}`, {
      details,
      hint: `there are: ${known.join(', ')}`,
    })
  }
  return topology.steps.filter(({ name }) => names.includes(name))
}

/**
 * Starts the steps, which then run until the process is asked to stop.
 * @throws FatalError where a topic that they read does not keep append times
 */
export async function runSteps(steps: readonly Step[], installation: Installation): Promise<void> {
  const running: RunningStep[] = []
  for (const step of steps) beginMetrics(step, installation.context)
  await installation.connect(steps)
  await assertLogAppendTime(await installation.admin(), installation.inputNames, steps.flatMap(inputsOf))
  // Together: each takes part of the time there is to stop.
  installation.onStop('steps', async () => void (await Promise.all(running.map((step) => step.stop()))))
  await Promise.all(steps.map(async (step) => running.push(await start(step, installation))))
}

function start(step: Step, installation: Installation): Promise<RunningStep> {
  switch (step.kind) {
    case 'connector':
      return startConnector(step, installation)
    case 'processor':
      return startProcessor(step, installation)
    case 'sink':
      return startSink(step, installation)
  }
}
