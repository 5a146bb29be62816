/** `dlq list|count|show|redrive|skip|accept`: what could not be read, processed or written, and what becomes of it. */
import type { Command } from 'commander'
import { topics as knownTopics } from '../../schemas/topics.ts'
import type { Topic } from '../runtime/definitions.ts'
import { FatalError } from '../runtime/errors.ts'
import type { Installation } from '../runtime/installation.ts'
import { isoTime, printTable, toJson, type App } from './app.ts'
import { countLetters } from './dead-letter-counts.ts'
import { readDeadLetters, type FiledLetter } from './dead-letter-log.ts'
import { MessageReader } from './message-reader.ts'
import { wholeNumber } from './options.ts'
import { redrive, type Redriving } from './redrive.ts'
import { withServers } from './servers.ts'
import { readerCalled, slotsOf } from './slots.ts'
import { acceptRefusals, endsOf } from './stored-offsets.ts'

interface ListOptions {
  readonly step?: string
  readonly limit: number
  readonly json?: true
}

interface CountOptions {
  readonly step?: string
  readonly json?: true
}

interface RedriveOptions {
  readonly step?: string
  readonly all?: true
  readonly dryRun?: true
}

export function addDlq(program: Command, app: App): void {
  const dlq = program
    .command('dlq')
    .description('Show dead letters, send them back to the step that left them out, or give them up.')
    .addHelpText('after', '\nExample:\n  npm start -- dlq list')
  dlq
    .command('list')
    .description('List the newest dead letters, oldest first.')
    .option('--step <step>', 'only those of this step')
    .option('--limit <n>', 'most letters to list', wholeNumber, 50)
    .option('--json', 'print JSON, one line each')
    .addHelpText('after', '\nExample:\n  npm start -- dlq list --step timescale-trades')
    .action((options: ListOptions) => list(app, options))
  dlq
    .command('count')
    .description('Count dead letters by step, reason and code.')
    .option('--step <step>', 'only those of this step')
    .option('--json', 'print JSON, one line each')
    .addHelpText('after', '\nExample:\n  npm start -- dlq count')
    .action((options: CountOptions) => countLetters(app, options))
  dlq
    .command('show')
    .description('Show a dead letter whole: why, where from, and the record, decoded where it can be.')
    .argument('<id>', 'as `dlq list` prints it')
    .addHelpText('after', '\nExample:\n  npm start -- dlq show build-candles:market.trades.v1:0:1234:poison')
    .action((id: string) => show(app, id))
  dlq
    .command('redrive')
    .description('Send dead letters back to their topics, for the step that failed; doing it twice changes nothing.')
    .argument('[ids...]', 'as `dlq list` prints them')
    .option('--step <step>', 'all of this step, but for late ones')
    .option('--all', 'all, but for late ones, which would be late again, and those that hold no record')
    .option('--dry-run', 'print what would be sent')
    .addHelpText('after', '\nExample:\n  npm start -- dlq redrive --step timescale-trades')
    .action((ids: string[], options: RedriveOptions) => send(app, ids, options, 'process'))
  dlq
    .command('skip')
    .description('Give dead letters up: their step strikes the records off, and a redrive does nothing any more.')
    .argument('[ids...]', 'as `dlq list` prints them')
    .option('--step <step>', 'all of this step')
    .option('--all', 'all')
    .option('--dry-run', 'print what would be given up')
    .addHelpText('after', '\nExample:\n  npm start -- dlq skip --step timescale-trades')
    .action((ids: string[], options: RedriveOptions) => send(app, ids, options, 'skip'))
  dlq
    .command('accept')
    .description(
      'Say that a step which rests as broken is right to refuse what its topics hold now: it goes on, and leaves that out. ' +
        'It reads this when it is tried again, within five minutes, or at once when it is started again.',
    )
    .argument('<step>', 'a processor or sink')
    .addHelpText('after', '\nExample:\n  npm start -- dlq accept timescale-trades')
    .action((step: string) => accept(app, step))
}

function accept(app: App, name: string): Promise<void> {
  const step = readerCalled(app, name)
  return withServers(app, ['kafka', step.kind === 'processor' ? 'redis' : 'database'], async (servers) => {
    const slots = slotsOf(step, {})
    const ends = await endsOf(slots, servers)
    for (const [at, slot] of slots.entries()) {
      const { start = 0, end = 0 } = ends[at] ?? {}
      if (end === start) continue
      await acceptRefusals(slot, end, servers)
      app.print(`${name} may leave out what it refuses of ${slot.topic.name}:${slot.partition} before offset ${end}`)
    }
  })
}

function list(app: App, { step, limit, json }: ListOptions): Promise<void> {
  return withServers(app, ['kafka', 'registry'], async (servers) => {
    let count = 0
    // Summaries only: letters can be large.
    const newest: { id: string; ts: number; reason: string; code: string; error: string; bytes: number }[] = []
    await readDeadLetters(servers, ({ letter: { id, ts, step: of, reason, code, error, value } }) => {
      if (step !== undefined && of !== step) return
      count++
      newest.push({ id, ts, reason, code, error, bytes: value?.length ?? 0 })
      if (newest.length > limit) newest.shift()
    })
    if (json) return newest.forEach(({ ts, ...letter }) => app.print(toJson({ ...letter, appended: isoTime(ts) })))
    const rows = newest.map(({ id, ts, code, bytes, error }) => [isoTime(ts), id, code, bytes, error])
    if (rows.length > 0) printTable(app, ['appended', 'id', 'code', 'bytes', 'error'], rows)
    app.print(count === 0 ? 'no dead letters' : `${newest.length} of ${count} dead letters`)
  })
}

function show(app: App, id: string): Promise<void> {
  return withServers(app, ['kafka', 'registry'], async (servers) => {
    const [filed] = await pick(servers, (one) => one.letter.id === id)
    if (filed === undefined) throw unknown([id])
    const { value, ...letter } = filed.letter
    const content = value === null ? undefined : await decode(filed, servers)
    const where = { partition: filed.partition, offset: filed.offset }
    app.print(toJson({ ...letter, ts: isoTime(letter.ts), deadLetter: where, ...content }, 2))
  })
}

async function decode({ letter }: FiledLetter, { registry }: Installation): Promise<object> {
  const value = Buffer.from(letter.value ?? [])
  const topic = Object.values<Topic>(knownTopics).find(({ name }) => name === letter.topic)
  const content = topic && (await new MessageReader(topic, registry).read({ headers: {}, value }))
  return content?.kind === 'record' ? { record: content.record } : { hex: value.toString('hex') }
}

async function send(
  app: App,
  ids: readonly string[],
  { step, all, dryRun }: RedriveOptions,
  what: Redriving,
): Promise<void> {
  if ([ids.length > 0, step !== undefined, all].filter(Boolean).length !== 1) {
    throw new FatalError('usage', 'say which dead letters: their ids, --step or --all')
  }
  await withServers(app, ['kafka', 'registry'], async (servers) => {
    const chosen = await pick(servers, ({ letter }) =>
      ids.length > 0
        ? ids.includes(letter.id)
        : letter.reason !== 'late' && letter.value !== null && (step === undefined || letter.step === step),
    )
    const missing = ids.filter((id) => !chosen.some(({ letter }) => letter.id === id))
    if (missing.length > 0) throw unknown(missing)
    const empty = chosen.flatMap(({ letter }) => (what === 'process' && letter.value === null ? [letter.id] : []))
    if (empty.length > 0) throw new FatalError('usage', 'There is no record to send', { details: empty })
    if (!dryRun) await redrive(chosen, servers, what)
    for (const { letter } of chosen) app.print(`${letter.id} → ${letter.topic}:${letter.partition}`)
    const done = what === 'process' ? 'sent' : 'given up'
    app.print(`${chosen.length} dead letters ${dryRun ? `would be ${done}` : done}`)
  })
}

async function pick(servers: Installation, wanted: (filed: FiledLetter) => boolean): Promise<FiledLetter[]> {
  const chosen: FiledLetter[] = []
  await readDeadLetters(servers, (filed) => {
    if (wanted(filed)) chosen.push(filed)
  })
  return chosen
}

const unknown = (ids: readonly string[]): FatalError =>
  new FatalError('usage', 'Looking for dead letters', {
    details: ids.map((id) => `no dead letter is called ${id}`),
    hint: 'see npm start -- dlq list',
  })
