/** What a topology's steps have to do with each other: its faults, its diagram, and what each step needs of the servers. */
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { topics as knownTopics } from '../../schemas/topics.ts'
import type { Server } from './config-schema.ts'
import type { Step, Topic, Topology } from './definitions.ts'

/** The topics that a step reads as records; a connector's cursors are the runtime's. */
export function inputsOf(step: Step): readonly Topic[] {
  switch (step.kind) {
    case 'connector':
      return []
    case 'processor':
      return step.inputs
    case 'sink':
      return [step.input]
  }
}

/** The topics that a step's own code writes. */
export const outputsOf = (step: Step): readonly Topic[] => (step.kind === 'sink' ? [] : step.outputs)

/** Every topic that steps need on the broker, those of the runtime included. */
export function topicsOf(steps: readonly Step[]): Topic[] {
  const cursors = steps.some(({ kind }) => kind === 'connector') ? [knownTopics.feedsCursors] : []
  const snapshots = steps.some(({ kind }) => kind === 'processor') ? [knownTopics.stateSnapshots] : []
  const own = steps.flatMap((step) => [...inputsOf(step), ...outputsOf(step)])
  return [...new Set<Topic>([...own, ...cursors, ...snapshots, knownTopics.deadLetters])]
}

const serversOfKind: Record<Step['kind'], readonly Server[]> = {
  connector: ['kafka', 'registry'],
  processor: ['kafka', 'registry', 'redis'],
  sink: ['kafka', 'registry', 'database'],
}

/** The servers that steps talk to. */
export const serversOf = (steps: readonly Step[]): Server[] => [
  ...new Set(steps.flatMap(({ kind }) => serversOfKind[kind])),
]

/** @returns all faults of a topology, each on one line; none where it can run. */
export async function checkTopology(topology: Topology): Promise<string[]> {
  const modules = await Promise.all(topology.steps.map(checkModule))
  return [
    ...checkNames(topology),
    ...checkWriters(topology),
    ...checkReaders(topology),
    ...findCycles(topology),
    ...checkTimers(topology),
    ...modules.flat(),
  ]
}

function checkNames({ steps }: Topology): string[] {
  const counts = new Map<string, number>()
  for (const { name } of steps) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].filter(([, count]) => count > 1).map(([name, count]) => `${count} steps are called ${name}`)
}

function checkWriters({ steps }: Topology): string[] {
  return distinct(steps.flatMap(outputsOf)).flatMap((topic) => {
    const writers = writersOf(topic, steps)
    if (writers.length < 2 || topic.shared) return []
    const names = writers.map(({ name }) => name).join(' and ')
    return `${topic.name} is written by ${names}; only a topic marked as shared has several writers`
  })
}

function checkReaders({ steps }: Topology): string[] {
  const read = distinct(steps.flatMap(inputsOf))
  const written = distinct(steps.flatMap(outputsOf))
  const isIn = (list: readonly Topic[], { name }: Topic) => list.some((topic) => topic.name === name)
  const dry = read.filter((topic) => !isIn(written, topic))
  const idle = written.filter((topic) => !isIn(read, topic) && !topic.output)
  return [
    ...dry.map((topic) => `${topic.name} is read by ${names(readersOf(topic, steps))}, and nothing writes it`),
    ...idle.map(
      (topic) =>
        `${topic.name} is written by ${names(writersOf(topic, steps))}, never read and not marked as an output`,
    ),
  ]
}

/** Only a connector or a step that passes block marks on says how far time has come. */
function checkTimers({ steps }: Topology): string[] {
  return steps.flatMap((step) => {
    if (step.kind !== 'processor' || step.onTime === undefined) return []
    const silent = step.inputs.flatMap((topic) => {
      const writers = writersOf(topic, steps).filter(
        (writer) => writer.kind !== 'connector' && !(writer.kind === 'processor' && writer.removals === 'passed'),
      )
      return writers.length === 0 ? [] : `${topic.name}, which ${names(writers)} writes without time marks`
    })
    return silent.map((what) => `${step.name} has onTime and reads ${what}`)
  })
}

/** At least one cycle of all steps that lead to each other, and each once. */
function findCycles({ steps }: Topology): string[] {
  const cycles = new Map<string, string>()
  const visit = (step: Step, path: readonly (readonly [Step, Topic])[]): void => {
    const start = path.findIndex(([visited]) => visited === step)
    if (start >= 0) {
      const links = path.slice(start)
      const members = links.map(([{ name }]) => name).sort()
      const text = links.map(([{ name }, topic]) => `${name} → ${topic.name} → `).join('')
      if (!cycles.has(members.join())) cycles.set(members.join(), `cycle: ${text}${step.name}`)
      return
    }
    if (done.has(step)) return
    for (const topic of outputsOf(step)) {
      for (const reader of readersOf(topic, steps)) visit(reader, [...path, [step, topic]])
    }
    done.add(step)
  }
  const done = new Set<Step>()
  for (const step of steps) visit(step, [])
  return [...cycles.values()]
}

/** Threads import a processor from its module by its name. */
async function checkModule(step: Step): Promise<string[]> {
  if (step.kind !== 'processor') return []
  const file = basename(fileURLToPath(step.module))
  const exports: Record<string, unknown> = await import(step.module)
  return [
    ...(file === `${step.name}.ts` ? [] : [`${step.name} stands in ${file}; a step's file has its name`]),
    ...(Object.values(exports).includes(step)
      ? []
      : [`${file} does not export ${step.name}, so threads cannot load it`]),
  ]
}

/** @returns the topology as a Mermaid flowchart: connectors → topics → processors → topics → sinks. */
export function graphTopology({ steps }: Topology): string {
  const node = (name: string): string => name.replaceAll(/[^a-zA-Z0-9]/g, '_')
  const shapes: Record<Step['kind'], (name: string) => string> = {
    connector: (name) => `${node(name)}{{${name}}}:::connector`,
    processor: (name) => `${node(name)}[${name}]:::processor`,
    sink: (name) => `${node(name)}[(${name})]:::sink`,
  }
  const topics = distinct(steps.flatMap((step) => [...outputsOf(step), ...inputsOf(step)]))
  const all = (list: readonly Topic[]): string => list.map(({ name }) => node(name)).join(' & ')
  const edges = steps.flatMap((step) => [
    ...(inputsOf(step).length > 0 ? [`${all(inputsOf(step))} --> ${node(step.name)}`] : []),
    ...(outputsOf(step).length > 0 ? [`${node(step.name)} --> ${all(outputsOf(step))}`] : []),
  ])
  const lines = [
    ...steps.map(({ kind, name }) => shapes[kind](name)),
    ...topics.map(({ name }) => `${node(name)}([${name}]):::topic`),
    ...edges,
    'classDef connector fill:#dbeafe,stroke:#2563eb,color:#111',
    'classDef topic fill:#f3f4f6,stroke:#9ca3af,color:#111',
    'classDef processor fill:#dcfce7,stroke:#16a34a,color:#111',
    'classDef sink fill:#fef3c7,stroke:#d97706,color:#111',
  ]
  return ['flowchart LR', ...lines.map((line) => `  ${line}`)].join('\n')
}

const names = (steps: readonly Step[]): string => steps.map(({ name }) => name).join(' and ')
const writersOf = ({ name }: Topic, steps: readonly Step[]): Step[] =>
  steps.filter((step) => outputsOf(step).some((topic) => topic.name === name))
const readersOf = ({ name }: Topic, steps: readonly Step[]): Step[] =>
  steps.filter((step) => inputsOf(step).some((topic) => topic.name === name))
const distinct = (topics: readonly Topic[]): Topic[] => [
  ...new Map(topics.map((topic) => [topic.name, topic])).values(),
]
