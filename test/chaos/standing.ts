/** Where steps stand in their topics, as the stores of results say: what counts is what is stored, not what was fetched. */
import type { Admin } from 'kafkajs'
import { loadConfig } from '../../workers/runtime/config.ts'
import { connectDatabase, type Database } from '../../workers/runtime/database.ts'
import type { Step, Topic } from '../../workers/runtime/definitions.ts'
import { createKafka, createNames, type Names } from '../../workers/runtime/kafka/client.ts'
import { createLogger } from '../../workers/runtime/logger.ts'
import { createSinkWriter } from '../../workers/runtime/sink-writer.ts'
import { RedisStore } from '../../workers/runtime/state/redis-store.ts'
import { endsOf } from '../support/topics.ts'

/** An offset of an input of a step. */
export interface Place {
  readonly step: Step
  readonly topic: Topic
  readonly partition: number
  readonly offset: number
}

export class Standing {
  readonly names: Names
  readonly admin: Admin
  readonly #steps: readonly Step[]
  readonly #store: RedisStore
  readonly #database: Database

  private constructor(steps: readonly Step[], names: Names, admin: Admin, store: RedisStore, database: Database) {
    ;[this.names, this.admin] = [names, admin]
    ;[this.#steps, this.#store, this.#database] = [steps, store, database]
  }

  /** @param env of the workers, or with other addresses of the same servers */
  static async open(env: Readonly<Record<string, string>>, steps: readonly Step[]): Promise<Standing> {
    const config = loadConfig({ ...env, LOG_LEVEL: 'silent' })
    const admin = createKafka(config, createLogger(config, 'standing')).admin()
    const [store, database] = await Promise.all([
      RedisStore.connect(config, () => {}),
      connectDatabase({ url: config.databaseUrl, connections: 1 }),
      admin.connect(),
    ])
    return new Standing(steps, createNames(config.namespace), admin, store, database)
  }

  /** Where the logs of the steps' inputs end now. @throws the broker's error where it is away */
  async ends(): Promise<readonly Place[]> {
    const ends: Place[] = []
    for (const step of this.#steps) {
      const inputs = step.kind === 'processor' ? step.inputs : step.kind === 'sink' ? [step.input] : []
      for (const topic of inputs)
        for (const { partition, high } of await endsOf(this.admin, this.names.topic(topic)))
          ends.push({ step, topic, partition, offset: high })
    }
    return ends
  }

  /** @returns which steps have not stored that they have come so far @throws the error of a server that is away */
  async behind(places: readonly Place[]): Promise<string[]> {
    const behind: string[] = []
    for (const { step, topic, partition, offset } of places) {
      const stored = await this.#stored(step, topic, partition)
      if (stored < offset) behind.push(`${step.name} stands at ${stored} of ${topic.name}:${partition}, not at ${offset}`) // prettier-ignore
    }
    return behind
  }

  async close(): Promise<void> {
    await Promise.all([this.admin.disconnect(), this.#store.close(), this.#database.close()])
  }

  async #stored({ kind, name: step }: Step, topic: Topic, partition: number): Promise<number> {
    const slot = { step, topic: topic.name, partition }
    if (kind === 'processor') return (await this.#store.read(slot)).offset ?? 0
    return (await createSinkWriter(this.#database).open(slot)).nextOffset ?? 0
  }
}
