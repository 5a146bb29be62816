/** `offsets show|reset`: where steps stand, and how to move them. */
import type { Command } from 'commander'
import type { Admin } from 'kafkajs'
import type { Server } from '../runtime/config-schema.ts'
import type { Processor, Sink } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import type { Installation } from '../runtime/installation.ts'
import { untilAnswered } from '../runtime/kafka/until-answered.ts'
import { inputsOf } from '../runtime/topology.ts'
import { printTable, toJson, type App } from './app.ts'
import { target, type Target } from './options.ts'
import { withServers } from './servers.ts'
import { assertStopped, assertYes, readerCalled, slotsOf, stepsOf, withSlotOptions, type SlotOptions } from './slots.ts' // prettier-ignore
import { endsOf, moveOffsets, storedOffset } from './stored-offsets.ts'
import { assertTopics } from './topics-plan.ts'

interface ShowOptions {
  readonly json?: true
}

interface ResetOptions extends SlotOptions {
  readonly to: Target
  readonly yes?: true
}

export function addOffsets(program: Command, app: App): void {
  const offsets = program
    .command('offsets')
    .description('Show where steps stand in their topics, and move them.')
    .addHelpText('after', '\nExample:\n  npm start -- offsets show')
  offsets
    .command('show')
    .description('Show for each partition the offset stored with the results, the one committed to Kafka, and the lag.')
    .argument('[step]', 'all processors and sinks where it is not given')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  npm start -- offsets show build-candles')
    .action((step: string | undefined, options: ShowOptions) => show(app, step, options))
  const reset = offsets
    .command('reset')
    .description(
      'Move the stored offset of a step that does not run. A sink writes again what it reads again, each row once; ' +
        'a processor keeps its state and drops what it has seen: to process again use `state reset`.',
    )
    .argument('<step>', 'a processor or sink')
    .requiredOption('--to <place>', 'earliest, latest or an offset', target)
  withSlotOptions(reset)
    .option('--yes', 'do it')
    .addHelpText('after', '\nExample:\n  npm start -- offsets reset timescale-trades --to earliest --yes')
    .action((step: string, options: ResetOptions) => moveAll(app, step, options))
}

interface Standing {
  readonly step: string
  readonly topic: string
  readonly partition: number
  readonly stored: number | undefined
  readonly committed: number | undefined
  readonly start: number
  readonly end: number
  readonly lag: number
}

async function show(app: App, name: string | undefined, { json }: ShowOptions): Promise<void> {
  const named = name === undefined ? stepsOf(app) : [readerCalled(app, name)]
  const steps = named.flatMap((step) => (step.kind === 'connector' ? [] : step))
  await withServers(app, serversFor(steps), async (servers) => {
    const admin = await servers.admin()
    await assertTopics(admin, servers.names, steps.flatMap(inputsOf))
    const standings: Standing[] = []
    for (const step of steps) standings.push(...(await standingsOf(step, servers, admin)))
    if (json) return app.print(toJson(standings, 2))
    const rows = standings.map(({ step, topic, partition, stored, committed, start, end, lag }) => [
      step,
      topic,
      partition,
      stored ?? '-',
      committed ?? '-',
      start,
      end,
      lag,
    ])
    printTable(app, ['step', 'topic', 'partition', 'stored', 'committed', 'start', 'end', 'lag'], rows)
  })
}

const serversFor = (steps: readonly { readonly kind: 'processor' | 'sink' }[]): Server[] => [
  'kafka',
  ...(steps.some(({ kind }) => kind === 'processor') ? (['redis'] as const) : []),
  ...(steps.some(({ kind }) => kind === 'sink') ? (['database'] as const) : []),
]

/** @returns where each slot of a step stands. */
async function standingsOf(step: Processor | Sink, servers: Installation, admin: Admin): Promise<Standing[]> {
  const slots = slotsOf(step, {})
  const ends = await endsOf(slots, servers)
  const groupId = servers.names.group(step.name)
  const groupTopics = inputsOf(step).map((topic) => servers.names.topic(topic))
  const commits = await untilAnswered(`Asking where the group ${groupId} stands`, () =>
    admin.fetchOffsets({ groupId, topics: groupTopics }),
  )
  return Promise.all(
    slots.map(async (slot, at) => {
      const { topic, partition } = slot
      const { start = 0, end = 0 } = ends[at] ?? {}
      const commit = commits.find((one) => one.topic === servers.names.topic(topic))?.partitions ?? []
      const committed = Number(commit.find((one) => one.partition === partition)?.offset ?? -1)
      const stored = await storedOffset(slot, servers)
      const place = { step: step.name, topic: topic.name, partition, stored }
      return { ...place, committed: committed < 0 ? undefined : committed, start, end, lag: end - (stored ?? start) }
    }),
  )
}

async function moveAll(app: App, name: string, options: ResetOptions): Promise<void> {
  const { to, yes } = options
  const step = readerCalled(app, name)
  const slots = slotsOf(step, options)
  if (typeof to === 'number' && slots.length > 1) {
    const hint = 'name it with --partition, and --topic where the step reads several'
    throw new FatalError('usage', 'an offset is of one partition', { hint })
  }
  const required: readonly Server[] = [
    ...serversFor([step]),
    ...(step.kind === 'processor' ? (['registry'] as const) : []),
  ]
  await withServers(app, required, async (servers) => {
    const admin = await servers.admin()
    await assertTopics(admin, servers.names, inputsOf(step))
    const ends = await endsOf(slots, servers)
    const moves = await Promise.all(
      slots.map(async (slot, at) => {
        const { start = 0, end = 0 } = ends[at] ?? {}
        const offset = to === 'earliest' ? start : to === 'latest' ? end : to
        return { slot, offset, start, end, from: await storedOffset(slot, servers) }
      }),
    )
    const outside = moves.filter(({ offset, start, end }) => offset < start || offset > end)
    if (outside.length > 0) {
      const details = outside.map(
        ({ slot, offset, start, end }) =>
          `${slot.topic.name}:${slot.partition} holds ${start} to ${end}, not ${offset}`,
      )
      throw new FatalError('offset', `Moving ${name}`, { details })
    }
    await assertStopped(step, servers, admin)
    assertYes(yes, `${name} would move, partitions: ${moves.length}`)
    await moveOffsets(step, moves, servers)
    const rows = moves.map(({ slot, from, offset }) => [slot.topic.name, slot.partition, from ?? '-', offset])
    printTable(app, ['topic', 'partition', 'from', 'to'], rows)
  })
}
