/**
 * State in Redis: one hash a slot (step, topic, partition), claimed by a random token. A checkpoint changes it only if the
 * token is still ours and the offset is that of our checkpoint before; so a worker that was overtaken changes nothing.
 */
import { randomUUID } from 'node:crypto'
import './mend-ioredis.ts'
import { Redis } from 'ioredis'
import type { Config } from '../config.ts'
import { FatalError, RetryableError, classify, oneLine } from '../errors.ts'
import { mayFail } from '../test-errors.ts'
import { guarded } from '../test-switches.ts'
import type { Change } from './engine.ts'
import { generationField } from './version.ts'

export interface SlotName {
  readonly step: string
  readonly topic: string
  readonly partition: number
}

/** A snapshot of a slot in state.snapshots.v1. */
export interface SnapshotNote {
  /** Token of its writer and its number, with a slash between. */
  readonly name: string
  readonly offset: number
  readonly chunks: number
  /** When it was taken, in milliseconds; undefined while it may be incomplete. */
  readonly takenAt: number | undefined
}

/** What a slot holds. */
export interface StoredSlot {
  /** Next offset to read, undefined where nothing was stored. */
  readonly offset: number | undefined
  readonly appendTime: number | undefined
  readonly positions: readonly (readonly [origin: string, text: string])[]
  readonly fields: readonly (readonly [field: string, text: string])[]
  /** Of this slot; written down before the first chunk is, so that whoever comes next can clear away what was left. */
  readonly snapshots: readonly SnapshotNote[]
}

/** What a slot held when it was claimed. */
export interface ClaimedSlot extends StoredSlot {
  readonly token: string
}

export interface Checkpoint {
  readonly token: string
  readonly expected: number | undefined
  readonly offset: number
  readonly appendTime: number | undefined
  readonly positions: readonly (readonly [origin: string, text: string])[]
  readonly changes: readonly Change[]
}

const tokenField = 'token'
const offsetField = 'offset'
const appendTimeField = 'append-time'
const positionPrefix = 'p:'
const snapshotPrefix = 's:'
/** A slot is put back in parts of at most so many fields, or so much text. */
const partFields = 1_000
const partLength = 1 << 20
/** What was put back in part only is forgotten. */
const stagedS = 3_600

const fence = `
if redis.call('HGET', KEYS[1], '${tokenField}') ~= ARGV[1] then return 0 end
if (redis.call('HGET', KEYS[1], '${offsetField}') or '') ~= ARGV[2] then return 0 end`
/** KEYS: the slot. ARGV: token, expected offset ('' for none), next offset, append time, number of fields set, then those with their texts, then fields to delete. */
const checkpointScript = `${guarded('fence') ? fence : ''}
redis.call('HSET', KEYS[1], '${offsetField}', ARGV[3], '${appendTimeField}', ARGV[4])
local last = 5 + 2 * tonumber(ARGV[5])
for i = 6, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
return 1`

/** A script rather than a transaction: what Redis refuses then keeps its own error code. */
const claimScript = `
redis.call('HSET', KEYS[1], '${tokenField}', ARGV[1])
return redis.call('HGETALL', KEYS[1])`

/** KEYS: the slot. ARGV: token, field to set, its text, fields to delete. */
const noteScript = `
if redis.call('HGET', KEYS[1], '${tokenField}') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
for i = 4, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
return 1`

/** KEYS: the slot, its content in waiting. ARGV: token. */
const restoreScript = `
if redis.call('HGET', KEYS[1], '${tokenField}') ~= ARGV[1] or redis.call('HEXISTS', KEYS[1], '${offsetField}') == 1 then
  redis.call('DEL', KEYS[2])
  return 0
end
redis.call('HSET', KEYS[2], '${tokenField}', ARGV[1])
redis.call('PERSIST', KEYS[2])
redis.call('RENAME', KEYS[2], KEYS[1])
return 1`

export class RedisStore {
  readonly #redis: Redis
  readonly #prefix: string

  private constructor(redis: Redis, namespace: string) {
    this.#redis = redis
    this.#prefix = namespace === '' ? 'crypto-intel' : namespace
  }

  /**
   * Connects and checks that Redis keeps what it is given.
   * @throws FatalError where it may evict or does not persist, RetryableError where it does not answer
   */
  static async connect(config: Config, onError: (error: string) => void): Promise<RedisStore> {
    const redis = new Redis(config.redisUrl, {
      lazyConnect: true,
      connectTimeout: 3_000,
      // A server that goes silent is left, and asked again on another connection.
      socketTimeout: (config.stallMs * 2) / 3,
      commandTimeout: (config.stallMs * 9) / 10,
      maxRetriesPerRequest: 2,
      retryStrategy: (attempt) => Math.min(100 * attempt, 2_000),
    })
    let refusal: unknown
    redis.on('error', (error) => {
      refusal = error
      onError(oneLine(error))
    })
    try {
      await redis.connect()
      await assertKeeps(redis)
    } catch (error) {
      redis.disconnect()
      if (error instanceof FatalError) throw error
      // A refused connection is told by the event alone: the call says no more than that it is closed.
      const cause = refusal ?? error
      const where = new URL(config.redisUrl).host
      if (classify(cause) === 'retryable')
        throw new RetryableError('unavailable', `Connecting to Redis at ${where}`, { cause, hint: 'check REDIS_URL' })
      throw new FatalError('redis', `Connecting to Redis at ${where}`, { cause, hint: 'check REDIS_URL' })
    }
    return new RedisStore(redis, config.namespace)
  }

  /** Puts a new token on the slot and reads it, in one step. */
  async claim(name: SlotName): Promise<ClaimedSlot> {
    const token = randomUUID()
    const pairs: unknown = await this.#redis.eval(claimScript, 1, this.#key(name), token)
    const stored: Record<string, unknown> = {}
    if (Array.isArray(pairs)) for (let at = 0; at < pairs.length; at += 2) stored[String(pairs[at])] = pairs[at + 1]
    return { token, ...split(stored) }
  }

  /** Reads a slot without claiming it. */
  async read(name: SlotName): Promise<StoredSlot> {
    return split(await this.#redis.hgetall(this.#key(name)))
  }

  /** Whose token a slot has, and where it stands. */
  async owner(name: SlotName): Promise<{ readonly token: string | null; readonly offset: number | undefined }> {
    const [token = null, offset] = await this.#redis.hmget(this.#key(name), tokenField, offsetField)
    return { token, offset: typeof offset === 'string' ? Number(offset) : undefined }
  }

  /** Reads a slot in one step. @returns undefined where it is not ours any more */
  async held(name: SlotName, token: string): Promise<StoredSlot | undefined> {
    const stored = await this.#redis.hgetall(this.#key(name))
    return stored[tokenField] === token ? split(stored) : undefined
  }

  /**
   * Writes down a snapshot that is begun, or complete.
   * @param gone names of those that are not in the topic any more
   * @returns false where the slot is not ours any more: nothing was written
   */
  async noteSnapshot(
    name: SlotName,
    token: string,
    note: SnapshotNote,
    gone: readonly string[] = [],
  ): Promise<boolean> {
    const [field, text] = noted(note)
    const deleted = gone.map((one) => snapshotPrefix + one)
    return (await this.#redis.eval(noteScript, 1, this.#key(name), token, field, text, ...deleted)) === 1
  }

  /**
   * Gives a slot that was claimed and found empty its content back, all at once.
   * @returns false where the slot is not ours any more, or has content: nothing was changed
   */
  async restore(name: SlotName, token: string, { offset, appendTime, positions, fields, snapshots }: StoredSlot) {
    const [key, staged] = [this.#key(name), `${this.#key(name)}:${token}`]
    await this.#redis.hset(staged, offsetField, offset ?? '', appendTimeField, appendTime ?? '')
    await this.#redis.expire(staged, stagedS)
    const pairs = [
      ...positions.map(([origin, text]) => [positionPrefix + origin, text] as const),
      ...fields,
      ...snapshots.map(noted),
    ]
    for (const part of parts(pairs)) await this.#redis.hset(staged, ...part)
    return (await this.#redis.eval(restoreScript, 2, key, staged, token)) === 1
  }

  /** @returns the next offset that the slot's owner will read, undefined where nothing was stored. */
  async offset(name: SlotName): Promise<number | undefined> {
    return (await this.owner(name)).offset
  }

  /** @returns false where the slot is not ours any more: nothing was written. */
  async checkpoint(
    name: SlotName,
    { token, expected, offset, appendTime, positions, changes }: Checkpoint,
  ): Promise<boolean> {
    const set: string[] = []
    const deleted: string[] = []
    for (const [origin, text] of positions) set.push(positionPrefix + origin, text)
    for (const [field, text] of changes) {
      if (text === null) deleted.push(field)
      else set.push(field, text)
    }
    const head = [checkpointScript, 1, this.#key(name), token, expected ?? '', offset, appendTime ?? '', set.length / 2]
    // As a list: a call with some hundred thousand arguments overflows the stack.
    mayFail('checkpoint')
    const answer = await this.#redis.call('EVAL', [...head, ...set, ...deleted])
    mayFail('checkpoint')
    return answer === 1
  }

  /** Forgets a slot: it goes on from its newest snapshot, or begins at the start of the log. */
  async reset(name: SlotName): Promise<boolean> {
    return (await this.#redis.del(this.#key(name))) > 0
  }

  /** Puts a slot at an offset, with nothing but the generation of what it emits. */
  async begin(name: SlotName, offset: number, generation: number): Promise<void> {
    const key = this.#key(name)
    await this.#redis.multi().del(key).hset(key, offsetField, offset, generationField, generation).exec()
  }

  /** Writes a field of a slot that its owner reads when it opens it. */
  async note(name: SlotName, field: string, text: string): Promise<void> {
    await this.#redis.hset(this.#key(name), field, text)
  }

  /** Moves the offset of a slot; the token is taken off, so that a running owner reads it again. */
  async setOffset(name: SlotName, offset: number): Promise<void> {
    const key = this.#key(name)
    await this.#redis.multi().hset(key, offsetField, offset).hdel(key, tokenField, appendTimeField).exec()
  }

  async close(): Promise<void> {
    await this.#redis.quit().catch(() => this.#redis.disconnect())
  }

  /** The braces keep a slot on one node of a cluster. */
  #key({ step, topic, partition }: SlotName): string {
    return `{${this.#prefix}:${step}:${topic}:${partition}}`
  }
}

const noted = ({ name, offset, chunks, takenAt }: SnapshotNote): [field: string, text: string] => [
  snapshotPrefix + name,
  [offset, chunks, ...(takenAt === undefined ? [] : [takenAt])].join(' '),
]

function noteOf(name: string, text: string): SnapshotNote {
  const [offset = 0, chunks = 0, takenAt] = text.split(' ').map(Number)
  return { name, offset, chunks, takenAt }
}

function* parts(pairs: Iterable<readonly [field: string, text: string]>): Generator<string[]> {
  let [part, length]: [string[], number] = [[], 0]
  for (const [field, text] of pairs) {
    part.push(field, text)
    length += field.length + text.length
    if (part.length < 2 * partFields && length < partLength) continue
    yield part
    ;[part, length] = [[], 0]
  }
  if (part.length > 0) yield part
}

function split(stored: unknown): StoredSlot {
  const positions: [string, string][] = []
  const snapshots: SnapshotNote[] = []
  const fields: [string, string][] = []
  let [offset, appendTime]: (number | undefined)[] = []
  for (const [field, text] of Object.entries(stored ?? {})) {
    if (typeof text !== 'string' || field === tokenField) continue
    if (field === offsetField) offset = Number(text)
    else if (field === appendTimeField) appendTime = text === '' ? undefined : Number(text)
    else if (field.startsWith(positionPrefix)) positions.push([field.slice(positionPrefix.length), text])
    else if (field.startsWith(snapshotPrefix)) snapshots.push(noteOf(field.slice(snapshotPrefix.length), text))
    else fields.push([field, text])
  }
  return { offset, appendTime, positions, fields, snapshots }
}

async function assertKeeps(redis: Redis): Promise<void> {
  const settings: unknown = await redis.config('GET', 'maxmemory-policy', 'appendonly').catch(() => undefined)
  // Managed servers forbid CONFIG; their operator has to see to it.
  if (!Array.isArray(settings)) return
  const value = (name: string): unknown => settings[settings.indexOf(name) + 1]
  const faults = [
    ...(value('maxmemory-policy') === 'noeviction'
      ? []
      : ['maxmemory-policy must be noeviction, or state is lost when memory runs out']),
    ...(value('appendonly') === 'yes' ? [] : ['appendonly must be yes, or state is lost at a restart']),
  ]
  if (faults.length > 0) throw new FatalError('redis', 'Redis would lose state', { details: faults })
}
