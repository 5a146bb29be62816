/** `state show|reset`: what a processor keeps of each key, and how to make it begin anew. */
import { Option, type Command } from 'commander'
import { z } from 'zod'
import type { Processor } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import { Partitioner } from '../runtime/kafka/client.ts'
import type { StoredSlot } from '../runtime/state/redis-store.ts'
import { inputOf, isInput } from '../runtime/state/stored-keys.ts'
import { blockOf } from '../runtime/state/unfinalized-blocks.ts'
import { isoTime, printTable, toJson, type App } from './app.ts'
import { forgetSnapshots } from './forget-snapshots.ts'
import { beginGeneration, generationOf } from './new-generation.ts'
import { wholeNumber } from './options.ts'
import { withServers } from './servers.ts'
import { assertStopped, assertYes, readerCalled, slotsOf, stepsOf, withSlotOptions, type ChosenSlot, type SlotOptions } from './slots.ts' // prettier-ignore

interface ShowOptions extends SlotOptions {
  readonly key?: string
  readonly limit: number
  readonly json?: true
}

interface ResetOptions extends SlotOptions {
  readonly keepSnapshot?: true
  readonly newGeneration?: true
  readonly yes?: true
}

export function addState(program: Command, app: App): void {
  const state = program
    .command('state')
    .description("Show a processor's state, and make it begin anew.")
    .addHelpText('after', '\nExample:\n  npm start -- state show build-candles')
  const show = state
    .command('show')
    .description('Show the keys that a processor keeps state of; with --key, the state itself.')
    .argument('<step>', 'a processor')
  withSlotOptions(show)
    .option('--key <key>', 'show the state of this key as JSON')
    .option('--limit <n>', 'most keys to list', wholeNumber, 50)
    .option('--json', 'print every key with its state as JSON, one line each')
    .addHelpText('after', '\nExample:\n  npm start -- state show build-candles --key binance-spot:BTC-USDT')
    .action((step: string, options: ShowOptions) => showState(app, step, options))
  const reset = state
    .command('reset')
    .description(
      'Forget state, positions and offset of a processor that does not run, and its snapshots: it reads its topics from ' +
        'their beginning. With --keep-snapshot it goes on from its newest snapshot, where it has one.',
    )
    .argument('<step>', 'a processor')
  withSlotOptions(reset)
    .option('--keep-snapshot', 'go on from the newest snapshot')
    .addOption(
      new Option(
        '--new-generation',
        'what it emits from now on ranks above all that it has emitted before: where its input was made anew',
      ).conflicts('keepSnapshot'),
    )
    .option('--yes', 'do it')
    .addHelpText('after', '\nExample:\n  npm start -- state reset build-candles --partition 0 --yes')
    .action((step: string, options: ResetOptions) => resetState(app, step, options))
}

function processorCalled(app: App, name: string): Processor {
  const step = readerCalled(app, name)
  if (step.kind === 'processor') return step
  throw new FatalError('usage', `${name} is a sink: its state is its tables`, {
    hint: `npm start -- offsets show ${name}`,
  })
}

const Cell = z.object({ state: z.unknown(), wake: z.number().nullable(), newest: z.number() })
/** A pending input as state/unfinalized-inputs.ts stores it, in a field of its own. */
const PendingInput = z.object({ record: z.unknown() })
/** A block as state/unfinalized-blocks.ts stores it, in a field of its own. */
const UnfinalizedBlock = z.object({ id: z.string(), time: z.number().nullable() })
/** A key as state/engine.ts and state/passing-engine.ts store it. */
const Stored = z.object({
  v: z.number().optional(),
  o: z.string().optional(),
  c: Cell.optional(),
  cell: Cell.optional(),
})

interface KeyState {
  readonly topic: string
  readonly partition: number
  readonly key: string
  readonly version: number | undefined
  readonly origin: string | undefined
  readonly newest: string
  readonly wakesAt: string | null
  /** At the finalized height, where inputs are pending. */
  readonly state: unknown
  readonly pendingInputs: readonly unknown[]
  readonly unfinalizedBlocks: readonly unknown[] | undefined
}

async function showState(app: App, name: string, options: ShowOptions): Promise<void> {
  const step = processorCalled(app, name)
  const { key, limit, json } = options
  const slots = slotsOf(step, options).filter(
    ({ topic, partition }) => key === undefined || new Partitioner(topic).of(key) === partition,
  )
  await withServers(app, ['redis'], async (servers) => {
    const store = await servers.store()
    const found: (ChosenSlot & { stored: StoredSlot })[] = []
    for (const slot of slots) {
      const stored = await store.read({ step: step.name, topic: slot.topic.name, partition: slot.partition })
      found.push({ ...slot, stored })
    }
    const keys = found
      .flatMap(({ topic, partition, stored }) => read(topic.name, partition, stored.fields))
      .filter((one) => key === undefined || one.key === key)
    if (json) return keys.forEach((one) => app.print(toJson(one)))
    if (key !== undefined) {
      if (keys.length === 0) throw new FatalError('usage', `${name} keeps no state of ${key}`)
      return keys.forEach((one) => app.print(toJson(one, 2)))
    }
    const rows = keys
      .slice(0, limit)
      .map((one) => [one.topic, one.partition, one.key, one.newest, one.pendingInputs.length, toJson(one.state).length])
    if (rows.length > 0) printTable(app, ['topic', 'partition', 'key', 'newest', 'pending', 'bytes'], rows)
    if (keys.length > limit) app.print(`… ${keys.length - limit} more keys: --limit, or --key`)
    for (const { topic, partition, stored } of found) printSnapshot(app, `${topic.name}:${partition}`, stored)
    const stored = found.filter((slot) => slot.stored.offset !== undefined).length
    app.print(`${keys.length} keys in ${stored} of ${slots.length} partitions that have state`)
  })
}

function printSnapshot(app: App, slot: string, { offset, snapshots }: StoredSlot): void {
  for (const { offset: at, takenAt } of snapshots.toSorted((a, b) => a.offset - b.offset).slice(-1)) {
    const when = takenAt === undefined ? 'begun' : `taken ${isoTime(takenAt * 1_000)}`
    app.print(`${slot} stands at ${offset ?? 'no offset'}, its newest snapshot at ${at}, ${when}`)
  }
}

function read(topic: string, partition: number, fields: StoredSlot['fields']): KeyState[] {
  const inputs = Map.groupBy(
    fields.flatMap(([field, text]) => (isInput(field) ? [{ ...inputOf(field), text }] : [])),
    ({ key }) => key,
  )
  const blocks = Map.groupBy(
    fields.flatMap(([field, text]) => {
      const place = blockOf(field)
      return place === undefined ? [] : [{ ...place, ...UnfinalizedBlock.parse(JSON.parse(text)) }]
    }),
    ({ key }) => key,
  )
  return fields.flatMap(([field, text]) => {
    if (!field.startsWith('k:')) return []
    const key = field.slice(2)
    const { v, o, c, cell = c } = Stored.parse(JSON.parse(text))
    const pending = (inputs.get(key) ?? []).toSorted((a, b) => a.serial - b.serial)
    return [
      {
        topic,
        partition,
        key,
        version: v,
        origin: o,
        newest: timeOf(cell?.newest) ?? '-',
        wakesAt: timeOf(cell?.wake),
        state: cell?.state ?? null,
        pendingInputs: pending.map((input) => PendingInput.parse(JSON.parse(input.text)).record),
        unfinalizedBlocks: blocks
          .get(key)
          ?.toSorted((a, b) => a.number - b.number)
          .map(({ number, id, time }) => ({ number, id, time: timeOf(time) })),
      },
    ]
  })
}

const timeOf = (micros: number | null | undefined): string | null =>
  micros === null || micros === undefined || micros < 0 ? null : isoTime(micros)

async function resetState(app: App, name: string, options: ResetOptions): Promise<void> {
  const step = processorCalled(app, name)
  const slots = slotsOf(step, options)
  await withServers(app, ['kafka', 'registry', 'redis'], async (servers) => {
    await assertStopped(step, servers, await servers.admin())
    assertYes(options.yes, `${name} would forget its state, partitions: ${slots.length}`)
    const store = await servers.store()
    const named = slots.map(({ topic, partition }) => ({
      topic,
      slot: { step: step.name, topic: topic.name, partition },
    }))
    for (const { topic, slot } of named) {
      const place = `${slot.topic}:${slot.partition}`
      const generation = (await generationOf(slot, servers)) + (options.newGeneration ? 1 : 0)
      if (generation > 0 && !options.keepSnapshot) {
        await beginGeneration(slot, topic, generation, servers)
        app.print(`${place} begins generation ${generation}`)
        continue
      }
      // First, or an interruption would leave what brings the rest back.
      if (!options.keepSnapshot) await forgetSnapshots(servers, [slot])
      app.print(`${place} ${(await store.reset(slot)) ? 'forgotten' : 'had no state'}`)
    }
    if (options.newGeneration) for (const line of readersOf(app, step)) app.print(line)
  })
}

/** What else is to be done: those who keep state of what the step emits would count it again. */
function readersOf(app: App, { outputs }: Processor): string[] {
  const readers = stepsOf(app).filter(
    (one) => one.kind === 'processor' && one.inputs.some((input) => outputs.includes(input)),
  )
  return readers.map(({ name }) => `note: ${name} reads what it emits, and counts it again unless it is reset too`)
}
