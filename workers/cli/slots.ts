/** Which slots a command is about, and whether the step that owns them runs. */
import type { Admin } from 'kafkajs'
import type { Processor, Sink, Step, Topic } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import type { Installation } from '../runtime/installation.ts'
import { untilAnswered } from '../runtime/kafka/until-answered.ts'
import { inputsOf } from '../runtime/topology.ts'
import { find, type App } from './app.ts'
import { wholeNumber } from './options.ts'
import type { Command } from 'commander'

export interface SlotOptions {
  readonly topic?: string
  readonly partition?: number
}

/** A slot of a step that keeps its own offset. */
export interface ChosenSlot {
  readonly step: Processor | Sink
  readonly topic: Topic
  readonly partition: number
}

/** Adds the options that choose slots. */
export const withSlotOptions = (command: Command): Command =>
  command
    .option('--topic <topic>', 'only this topic of those that the step reads')
    .option('--partition <n>', 'only this partition', wholeNumber)

/** @returns the step of that name in any topology. @throws FatalError where there is none or it keeps no offsets */
export function readerCalled(app: App, name: string): Processor | Sink {
  const step = find(stepsOf(app), name, 'step')
  if (step.kind !== 'connector') return step
  throw new FatalError('usage', `${name} is a connector: it reads no topic`, {
    hint: 'its cursors: npm start -- tail feeds.cursors.v1 --from earliest',
  })
}

/** Every step of every topology, once. */
export const stepsOf = (app: App): Step[] => [
  ...new Map(app.topologies.flatMap(({ steps }) => steps).map((step) => [step.name, step])).values(),
]

/** @returns the slots of a step that the options leave. @throws FatalError where they leave none */
export function slotsOf(step: Processor | Sink, { topic, partition }: SlotOptions): ChosenSlot[] {
  const inputs = topic === undefined ? inputsOf(step) : [find(inputsOf(step), topic, `input of ${step.name}`)]
  return inputs.flatMap((input) => {
    if (partition !== undefined && partition >= input.partitions) {
      throw new FatalError('usage', `${input.name} has no partition ${partition}`, {
        hint: `there are 0 to ${input.partitions - 1}`,
      })
    }
    const all = Array.from({ length: input.partitions }, (_, at) => ({ step, topic: input, partition: at }))
    return partition === undefined ? all : all.slice(partition, partition + 1)
  })
}

/** @throws FatalError where a process runs the step: it would go on with what it holds in memory */
export async function assertStopped(step: Step, { names }: Installation, admin: Admin): Promise<void> {
  const group = names.group(step.name)
  const { groups } = await untilAnswered(`Asking for the members of ${group}`, () => admin.describeGroups([group]))
  const members = groups.flatMap((one) => one.members)
  if (members.length === 0) return
  const hosts = [...new Set(members.map(({ clientHost }) => clientHost.replace(/^\//, '')))].join(', ')
  throw new FatalError('usage', `${step.name} runs: its group has ${members.length} members, from ${hosts}`, {
    hint: `stop it first; a killed process leaves its group after SESSION_TIMEOUT_MS`,
  })
}

/** @throws FatalError unless the person said yes */
export function assertYes(yes: true | undefined, what: string): void {
  if (!yes) throw new FatalError('usage', `${what}: nothing was changed`, { hint: 'add --yes to do it' })
}
