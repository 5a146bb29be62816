/** The schema registry: maps ids to schemas and our topics to ids, once each. */
import { setTimeout as sleep } from 'node:timers/promises'
import avro, { type Schema } from 'avsc'
import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry'
import { schemaText } from '../codec.ts'
import type { Config } from '../config.ts'
import type { Topic } from '../definitions.ts'
import { FatalError, RetryableError, classify } from '../errors.ts'
import type { Names } from './client.ts'

const attempts = 4
const conflictPauseMs = 150
/** A registry's replica may learn of a schema later than its writer, by so much at most. */
const replicationMs = 5_000
/** A control holds for so long. */
const controlMs = 1_000
/** Of the ids that were not known before a record is called unreadable. */
const mostAskedAgain = 32
/** An id that is not known is asked for again after so long. */
const againMs = 500

export class Registry {
  readonly #connect: () => SchemaRegistry
  readonly #answerMs: number
  #client: SchemaRegistry
  readonly #names: Names
  readonly #ids = new Map<string, Promise<number>>()
  readonly #schemas = new Map<number, Promise<string | undefined>>()
  readonly #host: string
  #heldAt = -Infinity

  constructor(config: Config, names: Names) {
    const url = new URL(config.schemaRegistryUrl)
    const auth =
      url.username === '' ? {} : { auth: { username: url.username, password: decodeURIComponent(url.password) } }
    this.#host = url.host
    url.username = ''
    url.password = ''
    // Closes a connection on which nothing comes; the client has no time-out of its own.
    const timeout = (config.stallMs * 2) / 3
    this.#connect = () =>
      new SchemaRegistry({
        host: url.href.replace(/\/$/, ''),
        clientId: 'crypto-intel',
        retry: { retries: 3 },
        middlewares: [() => ({ prepareRequest: async (next) => (await next()).enhance({ timeout }) })],
        ...auth,
      })
    this.#answerMs = (config.stallMs * 9) / 10
    this.#client = this.#connect()
    this.#names = names
  }

  /**
   * Registers the schema of a topic, which changes nothing where it is registered already.
   * @returns its id
   * @throws FatalError where it breaks compatibility, RetryableError where the registry does not answer
   */
  async register(topic: Topic): Promise<number> {
    let known = this.#ids.get(topic.name)
    if (known === undefined) {
      known = this.#register(topic)
      this.#ids.set(topic.name, known)
      known.catch(() => this.#ids.delete(topic.name))
    }
    return known
  }

  async #register(topic: Topic): Promise<number> {
    const subject = this.#names.subject(topic)
    const schema = { type: SchemaType.AVRO, schema: schemaText(topic.name) } as const
    for (let attempt = 1; ; attempt++) {
      try {
        const { id } = await this.#answer((client) =>
          client.register(schema, { subject, compatibility: COMPATIBILITY.FULL_TRANSITIVE }),
        )
        return id
      } catch (cause) {
        // Two that register a new subject at once may both be told of a conflict; a real one stays.
        if (statusOf(cause) !== 409 || attempt === attempts)
          throw this.#explained(cause, `Registering schemas/${topic.name}.avsc as ${subject}`)
        await sleep(attempt * conflictPauseMs)
      }
    }
  }

  /** @returns ids by topic name. */
  async registerAll(topics: Iterable<Topic>): Promise<Map<string, number>> {
    const ids = new Map<string, number>()
    for (const topic of topics) ids.set(topic.name, await this.register(topic))
    return ids
  }

  /**
   * The control before a record is called unreadable: a registry that was emptied, or exchanged for another, makes every record
   * unreadable that names one of its ids. What it did not know may be known again by now: it is asked once more, between two controls.
   * @param missed ids that it did not know when the records were read
   * @throws FatalError where it does not hold our schemas under the ids that it gave us, RetryableError where it does not answer or
   *   knows what it did not know
   */
  async assertOwnSchemas(missed: readonly number[] = []): Promise<void> {
    if (missed.length === 0) return this.#assertOwn(controlMs)
    await this.#assertOwn(0)
    const client = this.#connect()
    for (const id of missed.slice(0, mostAskedAgain))
      if ((await this.#fetch(id, client)) !== undefined)
        throw new RetryableError('unavailable', `The schema registry at ${this.#host} knows schema ${id}, which it did not know before`) // prettier-ignore
    await this.#assertOwn(0)
  }

  /** @param sinceMs a control holds for so long */
  async #assertOwn(sinceMs: number): Promise<void> {
    if (performance.now() - this.#heldAt < sinceMs) return
    for (const [topic, known] of this.#ids) {
      const id = await known
      // A client of its own remembers nothing yet.
      const schema = await this.#fetch(id, this.#connect())
      if (schema !== undefined && isSame(schema, schemaText(topic))) continue
      const hint = 'give it back what it held; what the registry does not know any more cannot be read'
      throw new FatalError('registry', `The schema registry at ${this.#host} does not hold our schema of ${topic} under id ${id} any more: it was emptied or exchanged`, { hint }) // prettier-ignore
    }
    this.#heldAt = performance.now()
  }

  /**
   * @param appended when a message that names the id was appended, in milliseconds: as long as the schema may be too new for the
   *   registry to know it, which is 5 s, it is asked again
   * @returns the schema that the id stands for, or undefined where the registry does not know it
   */
  async schema(id: number, appended = 0): Promise<string | undefined> {
    const patientUntil = Math.min(Date.now(), appended) + replicationMs
    for (;;) {
      const schema = await this.#known(id)
      if (schema !== undefined || Date.now() >= patientUntil) return schema
      await sleep(againMs)
    }
  }

  async #known(id: number): Promise<string | undefined> {
    let known = this.#schemas.get(id)
    if (known === undefined) {
      known = this.#fetch(id)
      this.#schemas.set(id, known)
      const forget = (): boolean => this.#schemas.delete(id)
      known.then((schema) => schema ?? setTimeout(forget, againMs).unref(), forget)
    }
    return known
  }

  async #fetch(id: number, own?: SchemaRegistry): Promise<string | undefined> {
    try {
      const schema = await this.#answer((client) => (own ?? client).getSchema(id))
      return 'schema' in schema && typeof schema.schema === 'function'
        ? JSON.stringify(schema.schema({ exportAttrs: true }))
        : undefined
    } catch (cause) {
      if (statusOf(cause) === 404) return undefined
      throw this.#explained(cause, `Reading schema ${id}`)
    }
  }

  /** The client waits for ever for an answer that breaks off, and so does whoever asks it the same: it is replaced then. */
  async #answer<T>(ask: (client: SchemaRegistry) => Promise<T>): Promise<T> {
    const client = this.#client
    const giveUp = new AbortController()
    const late = sleep(this.#answerMs, undefined, { signal: giveUp.signal }).then(() => {
      if (this.#client === client) this.#client = this.#connect()
      throw new Error('the answer does not come')
    })
    late.catch(() => {})
    try {
      return await Promise.race([ask(client), late])
    } finally {
      giveUp.abort()
    }
  }

  #explained(cause: unknown, doing: string): Error {
    const status = statusOf(cause)
    if (status === 409 || (cause instanceof Error && cause.name.includes('Compatibility'))) {
      const hint = 'give a new field a default, or make a new version of the topic'
      return new FatalError('schema', `${doing}: it breaks compatibility with an earlier version`, { cause, hint })
    }
    if (status === undefined ? classify(cause) !== 'poison' : status >= 500)
      return new RetryableError('unavailable', `${doing}: the schema registry at ${this.#host} does not answer`, {
        cause,
      })
    return new FatalError('schema', doing, { cause })
  }
}

/** Whether two texts are the same schema; registries differ in what they leave out of documentation and order. */
function isSame(one: string, other: string): boolean {
  return fingerprintOf(one) === fingerprintOf(other)
}

const fingerprintOf = (text: string): string | undefined => {
  try {
    const schema: Schema = JSON.parse(text)
    return avro.Type.forSchema(schema).fingerprint().toString('hex')
  } catch {
    return undefined
  }
}

/** The client's HTTP layer reports that nobody answered as status 400, and only its text tells. */
const noAnswer = /status 400: .*\b(E[A-Z_]{4,}|socket|Timeout)\b/

function statusOf(error: unknown): number | undefined {
  if (error instanceof Error && noAnswer.test(error.message)) return undefined
  return typeof error === 'object' && error !== null && 'status' in error && typeof error.status === 'number'
    ? error.status
    : undefined
}
