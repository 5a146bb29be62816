/** The dirty part of a run: a foreign producer, records at which steps throw, a step with a bug; and what the audit must know of them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { seeded } from '../../../ops/local/chain/random.ts'
import { topics } from '../../../schemas/topics.ts'
import { schemaText } from '../../../workers/runtime/codec.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import type { Processor, Step } from '../../../workers/runtime/definitions.ts'
import { createNames } from '../../../workers/runtime/kafka/client.ts'
import { RedisStore, type SlotName } from '../../../workers/runtime/state/redis-store.ts'
import { leftOutIn } from '../../../workers/runtime/state/task-notes.ts'
import type { TestErrors } from '../../../workers/runtime/test-errors.ts'
import type { Place } from '../standing.ts'
import { Dirt, taskName } from './dirt.ts'
import type { ErrorFile } from './error-file.ts'
import { ForeignProducer } from './foreign-producer.ts'
import { newerVersion } from './poison.ts'
import { registerNewer } from './registry-door.ts'

export interface DirtyOptions {
  /** Pause between two foreign messages, from and to. */
  readonly pauseMs: readonly [number, number]
  /** Of the records of a step one in so many is one at which it throws. */
  readonly oneIn: number
  /** How long a step throws at everything; 0: none does. */
  readonly bugMs: number
}

export interface DirtyParts {
  /** Addresses of the servers themselves. */
  readonly env: Readonly<Record<string, string>>
  readonly seed: number
  readonly steps: readonly Step[]
  readonly errors: ErrorFile
  /** A key of market topics that a feed writes. */
  readonly genuineKey: string
}

/** Not build-candles: a trade that comes again minutes later is late there, and the candles are compared with the trades. */
const throwing = {
  decode: ['timescale-trades', 'timescale-quotes', 'measure-market-risk', 'detect-price-shocks', 'timescale-candles', 'generate-signals'], // prettier-ignore
  process: ['measure-market-risk', 'detect-price-shocks', 'generate-signals', 'detect-whale-transfers', 'detect-wash-rings', 'detect-address-poisoning', 'detect-sandwiches', 'score-wallet-risk', 'evaluate-alerts'], // prettier-ignore
}
/** So many trades come that a minute is enough; one of them at a time. */
const withBug = ['detect-price-shocks', 'measure-market-risk']
const newerMessages = 8
/** That a task has worked off before its step gets its bug. */
const recordsBefore = 50

export class DirtyRun {
  readonly errors: ErrorFile
  readonly foreign: ForeignProducer
  readonly #options: DirtyOptions
  readonly #seed: number
  readonly #steps: readonly Step[]
  readonly #env: Readonly<Record<string, string>>
  readonly #records: TestErrors['records']
  #bug: string | undefined
  #versions = 0

  private constructor(options: DirtyOptions, parts: DirtyParts, foreign: ForeignProducer) {
    this.#options = options
    this.foreign = foreign
    this.errors = parts.errors
    ;[this.#seed, this.#steps, this.#env] = [parts.seed, parts.steps, parts.env]
    this.#records = { oneIn: options.oneIn, seed: parts.seed, ...throwing }
    this.errors.write({ records: this.#records })
  }

  static async open(options: DirtyOptions, parts: DirtyParts): Promise<DirtyRun> {
    return new DirtyRun(options, parts, await ForeignProducer.open(parts))
  }

  /** The step that threw at everything for a while. */
  get bug(): string | undefined {
    return this.#bug
  }

  /** Does it all until the signal aborts. */
  async run(until: AbortSignal): Promise<void> {
    await Promise.all([this.foreign.run(this.#options.pauseMs, until), this.#haveBug(until)])
  }

  /** Registers newer versions of schemas and writes records of them, as a producer does that was deployed before its readers. */
  async useNewerVersion(): Promise<void> {
    const topic = topics.marketTrades
    const { SCHEMA_REGISTRY_URL: url = '' } = this.#env
    const subject = createNames(loadConfig(this.#env).namespace).subject(topic)
    const id = await registerNewer(url, subject, schemaText(topic.name), `newer ${++this.#versions}`)
    const kind = newerVersion(id)
    for (let written = 0; written < newerMessages; written++) await this.foreign.write(kind, topic)
  }

  /** Throws nothing any more, and tells the audit what had been thrown. @param ends of the logs, which are all worked off */
  async over(ends: readonly Place[]): Promise<Dirt> {
    const until = new Map(ends.map(({ topic, partition, offset }) => [`${topic.name}:${partition}`, offset]))
    const buggy = new Map<string, ReadonlySet<number>>()
    const step = this.#steps.find(({ name }) => name === this.#bug)
    if (step?.kind === 'processor') await this.#readLeftOut(step, buggy)
    this.errors.write({})
    await this.errors.seen()
    return new Dirt({
      records: this.#records,
      until,
      buggy,
      ...(this.#bug !== undefined && { buggySteps: [this.#bug] }),
    })
  }

  /** @param logs of the workers @returns what the step with the bug did wrong */
  bugFaults(logs: readonly string[]): string[] {
    const name = this.#bug
    if (name === undefined || logs.some((log) => log.includes(`${name} refuses one record after the other`))) return []
    return [`${name} threw at everything and was not broken`]
  }

  async close(): Promise<void> {
    await this.foreign.close()
  }

  /** In the middle of the run one step throws at every record for a while. */
  async #haveBug(until: AbortSignal): Promise<void> {
    const { bugMs } = this.#options
    if (bugMs === 0) return
    const random = seeded(`bug ${this.#seed}`)
    await sleep(random.int(bugMs / 4, bugMs), undefined, { signal: until }).catch(() => {})
    const name = random.pick(withBug)
    const step = this.#steps.find((one) => one.name === name)
    if (step?.kind !== 'processor') return
    // A step whose very first records are refused cannot know that it is the step's fault.
    while (!until.aborted && !(await this.#underWay(step)))
      await sleep(500, undefined, { signal: until }).catch(() => {})
    if (until.aborted) return
    this.#bug = name
    this.errors.write({ ...this.errors.content, buggy: [this.#bug] })
    await sleep(bugMs, undefined, { signal: until }).catch(() => {})
    this.errors.write({ ...this.errors.content, buggy: [] })
  }

  /** @returns whether every task of a step has stored that it has processed something */
  async #underWay(step: Processor): Promise<boolean> {
    const offsets = await this.#ofTasks(step, async (store, slot) => (await store.offset(slot)) ?? 0)
    return offsets.every((offset) => offset >= recordsBefore)
  }

  async #readLeftOut(step: Processor, found: Map<string, ReadonlySet<number>>): Promise<void> {
    await this.#ofTasks(step, async (store, slot) => {
      const offsets = leftOutIn((await store.read(slot)).fields).map(([offset]) => offset)
      found.set(taskName(slot.step, slot.topic, slot.partition), new Set(offsets))
    })
  }

  async #ofTasks<T>({ name: step, inputs }: Processor, each: (store: RedisStore, slot: SlotName) => Promise<T>) {
    const store = await RedisStore.connect(loadConfig({ ...this.#env, LOG_LEVEL: 'silent' }), () => {})
    try {
      const slots = inputs.flatMap(({ name: topic, partitions }) =>
        Array.from({ length: partitions }, (_, partition) => ({ step, topic, partition })),
      )
      return await Promise.all(slots.map((slot) => each(store, slot)))
    } finally {
      await store.close()
    }
  }
}
