/** Compares what a run left behind, topics, tables and stored offsets, with a run without faults and with the feeds' ledgers. */
import type { Chain } from '../../ops/local/chain/chain.ts'
import { checkActivity, checkCandles, checkChain } from '../../ops/local/demo/checks.ts'
import { openTables, type Tables } from '../../ops/local/demo/database.ts'
import type { Exchange } from '../../ops/local/exchange/exchange.ts'
import { topics } from '../../schemas/topics.ts'
import { Decoder } from '../../workers/runtime/codec.ts'
import { loadConfig, type Config } from '../../workers/runtime/config.ts'
import { connectDatabase } from '../../workers/runtime/database.ts'
import type { Processor, Sink, Step, Topic } from '../../workers/runtime/definitions.ts'
import { isRedriven } from '../../workers/runtime/headers.ts'
import { createKafka, createNames } from '../../workers/runtime/kafka/client.ts'
import { Registry } from '../../workers/runtime/kafka/registry.ts'
import { loadWatch } from '../../workers/runtime/load-watch.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { createSinkWriter } from '../../workers/runtime/sink-writer.ts'
import { RedisStore } from '../../workers/runtime/state/redis-store.ts'
import { Dirt } from './dirty/dirt.ts'
import { ForeignBalance } from './dirty/foreign-balance.ts'
import type { ForeignLedger } from './dirty/foreign-producer.ts'
import { MarketLedger } from './ledger.ts'
import { learn, Letters } from './letters.ts'
import { readTopic, type Ends, type Entry } from './log.ts'
import { Reference } from './reference.ts'
import { ReferenceTables } from './tables.ts'

export interface AuditOptions {
  /** Of the workers, which have ended. */
  readonly env: Readonly<Record<string, string>>
  readonly steps: readonly Step[]
  readonly exchange?: Pick<Exchange, 'ledger' | 'tradesOf'>
  readonly chain?: Pick<Chain, 'canonical' | 'chainId'>
  /** What was done on purpose. */
  readonly dirt?: Dirt
  /** What a foreign producer wrote. */
  readonly foreign?: ForeignLedger
}

export interface TopicReport {
  readonly name: string
  /** Messages in the log, marks included. */
  readonly messages: number
  /** Records that the position rule drops. */
  readonly duplicates: number
  /** Ids that such records have. */
  readonly duplicateIds: number
}

export interface Audit {
  readonly topics: readonly TopicReport[]
  /** Emitted messages that were compared byte for byte. */
  readonly compared: number
  readonly rows: Readonly<Record<string, number>>
  /** Must be none. */
  readonly differences: readonly string[]
}

/** Foreign trades are taken by some steps and refused by others. */
const feedVenue = 'binance-spot'

const isProcessor = (step: Step): step is Processor => step.kind === 'processor'
const isSink = (step: Step): step is Sink => step.kind === 'sink'

/** Reads everything once and compares. */
export async function audit({ env, steps, exchange, chain, dirt = new Dirt(), foreign }: AuditOptions): Promise<Audit> {
  const config = loadConfig({ ...env, LOG_LEVEL: 'silent' })
  const names = createNames(config.namespace)
  const kafka = createKafka(config, createLogger(config, 'audit'))
  const [admin, registry] = [kafka.admin(), new Registry(config, names)]
  const processors = steps.filter(isProcessor)
  const sinks = steps.filter(isSink)
  const schemaIds = await registry.registerAll(new Set([...processors.flatMap(({ outputs }) => outputs), topics.deadLetters])) // prettier-ignore
  const reference = new Reference({ processors, watch: loadWatch(config.watchFile), registry, schemaIds, dirt })
  const expectedTables = await ReferenceTables.create({ databaseUrl: config.databaseUrl, sinks, registry, dirt })
  const found = openTables(config.databaseUrl)
  const ledger = new MarketLedger(registry)
  const letters = new Letters(registry, dirt)
  const balance = new ForeignBalance(foreign)
  await admin.connect()
  try {
    const reports: TopicReport[] = []
    const ends = new Map<Topic, Ends>()
    for (const topic of topicsOf(steps)) {
      const count = new Count(registry, topic)
      const takers = [count, reference, expectedTables, letters, balance, ...(exchange === undefined ? [] : [ledger])]
      const end = await readTopic({ kafka, admin, names }, topic, async (entry) => {
        for (const taker of takers) await taker.take(entry)
      })
      ends.set(topic, end)
      reports.push(count.report())
    }
    const differences = [
      ...(await reference.differences()),
      ...(await expectedTables.differences(found)),
      ...letters.differences(new Set([...reference.deadLetters, ...expectedTables.deadLetters])),
      ...balance.differences(steps, letters.all),
      ...dirt.differences(letters.all),
      ...(await offsetDifferences(config, processors, sinks, ends)),
      ...(exchange === undefined ? [] : await ledger.differences(exchange, found)),
      ...(await checks(found, exchange, chain)),
    ]
    return { topics: reports, compared: reference.compared, rows: await found.counts(), differences }
  } finally {
    await admin.disconnect()
    await found.close()
    await expectedTables.close()
  }
}

function topicsOf(steps: readonly Step[]): readonly Topic[] {
  const all = steps.flatMap((step): readonly Topic[] => {
    switch (step.kind) {
      case 'connector':
        return step.outputs
      case 'processor':
        return [...step.inputs, ...step.outputs]
      case 'sink':
        return [step.input]
    }
  })
  return [...new Set([...all, topics.deadLetters])]
}

async function checks(tables: Tables, exchange: unknown, chain: AuditOptions['chain']): Promise<string[]> {
  const made = [
    ...(exchange === undefined ? [] : [await checkCandles(tables, feedVenue)]),
    ...(chain === undefined ? [] : [await checkChain(chain, tables), await checkActivity(tables)]),
  ]
  return made.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`)
}

/** Every slot stands at the end of its log: nothing is left to do after the workers have ended. */
export async function offsetDifferences(
  config: Config,
  processors: readonly Processor[],
  sinks: readonly Sink[],
  ends: ReadonlyMap<Topic, Ends>,
): Promise<string[]> {
  const store = await RedisStore.connect(config, () => {})
  const database = await connectDatabase({ url: config.databaseUrl, connections: 1 })
  const writer = createSinkWriter(database)
  const differences: string[] = []
  const compare = (step: string, topic: Topic, partition: number, stored: number | undefined, end: number): void => {
    if ((stored ?? 0) !== end)
      differences.push(`${step} stands at ${stored ?? 'nothing'} of ${topic.name}:${partition}, which ends at ${end}`)
  }
  try {
    for (const { name: step, inputs } of processors)
      for (const topic of inputs)
        for (const [partition, end] of ends.get(topic) ?? [])
          compare(step, topic, partition, (await store.read({ step, topic: topic.name, partition })).offset, end)
    for (const { name: step, input: topic } of sinks)
      for (const [partition, end] of ends.get(topic) ?? [])
        compare(step, topic, partition, (await writer.open({ step, topic: topic.name, partition })).nextOffset, end)
  } finally {
    await store.close()
    await database.close()
  }
  return differences
}

/** Counts the messages of a topic and those that were written again. */
class Count {
  readonly #registry: Registry
  readonly #topic: Topic
  readonly #decoder: Decoder<object>
  readonly #ids = new Set<unknown>()
  #messages = 0
  #duplicates = 0

  constructor(registry: Registry, topic: Topic) {
    this.#registry = registry
    this.#topic = topic
    this.#decoder = new Decoder(topic)
  }

  async take({ accepted, mark, foreign, message: { value, headers } }: Entry): Promise<void> {
    this.#messages++
    if (foreign !== undefined || isRedriven(headers) || accepted || mark !== undefined || value === null) return
    this.#duplicates++
    await learn(this.#decoder, value, this.#registry)
    const record = this.#decoder.decode(value)
    if ('id' in record) this.#ids.add(record.id)
  }

  report(): TopicReport {
    return { name: this.#topic.name, messages: this.#messages, duplicates: this.#duplicates, duplicateIds: this.#ids.size } // prettier-ignore
  }
}
