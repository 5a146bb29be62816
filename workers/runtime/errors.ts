/** The three classes of error (retryable, poison, fatal), how foreign errors fall into them, and how people read them. */
import { inspect } from 'node:util'

export type ErrorClass = 'retryable' | 'poison' | 'fatal'

/** Passes by itself: back off and try again. */
export type RetryableCode =
  | 'unavailable'
  | 'timeout'
  | 'rate-limited'
  | 'fence-lost'
  | 'newer-state'
  | 'stale-upstream'
  | 'inconsistent-upstream'
  | 'thread-died'
/** Of one record: it goes to dlq.v1 and the stream goes on. */
export type PoisonCode = 'undecodable' | 'invalid' | 'unstamped' | 'unprocessable' | 'refused' | 'ahead' | 'late'
/** A person has to change something: what failed ends alone (a partition task, a feed, a channel), and is tried again later. */
export type FatalCode =
  | 'broken'
  | 'failed'
  | 'produce'
  | 'registry'
  | 'configuration'
  | 'watch-file'
  | 'topology'
  | 'schema'
  | 'topic'
  | 'offset'
  | 'state'
  | 'database'
  | 'redis'
  | 'reorganisation'
  | 'history'
  | 'replay'
  | 'shutdown'
  | 'usage'
export type ErrorCode = RetryableCode | PoisonCode | FatalCode

export interface ErrorOptions {
  /** Facts about the fault, one each: a topic and partition, a faulty variable. */
  readonly details?: readonly string[]
  /** What to change, as a request: `set KAFKA_BROKERS`. */
  readonly hint?: string
  readonly cause?: unknown
}

/** Common base. The message says what was being done and what went wrong. */
export abstract class RuntimeError<Code extends ErrorCode = ErrorCode> extends Error {
  abstract readonly class: ErrorClass
  readonly code: Code
  readonly details: readonly string[]
  readonly hint: string | undefined

  constructor(code: Code, message: string, options: ErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = new.target.name
    this.code = code
    this.details = options.details ?? []
    this.hint = options.hint
  }
}

export class RetryableError extends RuntimeError<RetryableCode> {
  readonly class = 'retryable'
  /** How long the other side asked us to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined

  constructor(code: RetryableCode, message: string, options: ErrorOptions & { readonly retryAfterMs?: number } = {}) {
    super(code, message, options)
    this.retryAfterMs = options.retryAfterMs
  }
}

/** It tells of a record, not of code, and comes as often as records are bad: it takes no stack, which costs some 3 µs. */
export class PoisonError extends RuntimeError<PoisonCode> {
  readonly class = 'poison'

  constructor(code: PoisonCode, message: string, options: ErrorOptions = {}) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    try {
      super(code, message, options)
    } finally {
      Error.stackTraceLimit = limit
    }
  }
}

export class FatalError extends RuntimeError<FatalCode> {
  readonly class = 'fatal'
}

/**
 * The class of any error. Our own know theirs; of a foreign one the outermost error of its chain of causes that tells
 * decides, since client libraries wrap a lost connection in errors of their own. What nobody knows is fatal.
 */
export function classify(error: unknown): ErrorClass {
  for (const link of chain(error)) {
    const verdict = link instanceof RuntimeError ? link.class : classifyForeign(link)
    if (verdict) return verdict
  }
  return 'fatal'
}

/** How an error reads on one line: what was being done: what went wrong: what to change. Passwords in URLs are hidden. */
export function oneLine(error: unknown): string {
  const { parts, hint } = read(error)
  const texts = parts.map(({ text, details }) => (details.length > 0 ? `${text}: ${details.join('; ')}` : text))
  return [...texts, ...hint].join(': ')
}

/** The same for a terminal: where an error has several details, each has a line of its own. */
export function explain(error: unknown): string {
  const { parts, hint } = read(error)
  const details = parts.flatMap((part) => part.details)
  if (details.length < 2) return oneLine(error)
  const head = parts.map(({ text }) => text).join(': ')
  return [`${head}: ${details.length} faults`, ...details.map((detail) => `  ${detail}`), ...hint].join('\n')
}

function read(error: unknown) {
  const clean = (text: string) =>
    text
      .toWellFormed()
      .replace(/\s+/g, ' ')
      .trim()
      .replace(/:\/\/[^\s/@]*@/g, '://***@')
  const parts: { text: string; details: string[] }[] = []
  const hint: string[] = []
  for (const link of chain(error)) {
    const text = clean(link.message || codeOf(link) || link.name)
    const own = link instanceof RuntimeError ? link : undefined
    // Wrappers such as kafkajs' repeat the message of what they wrap.
    if (!parts.some((part) => part.text.includes(text))) parts.push({ text, details: (own?.details ?? []).map(clean) })
    if (own?.hint !== undefined && hint.length === 0) hint.push(own.hint)
  }
  return { parts, hint }
}

/** The error and its causes, outermost first; of several at once (Node's AggregateError, kafkajs') the first. */
function chain(error: unknown): Error[] {
  const links: Error[] = []
  let next: unknown = error
  while (next !== undefined && next !== null && links.length < 10) {
    const link = next instanceof Error ? next : new Error(typeof next === 'string' ? next : inspect(next))
    if (links.includes(link)) break
    links.push(link)
    next = link.cause ?? ('errors' in link && Array.isArray(link.errors) ? link.errors[0] : undefined)
  }
  return links
}

const NETWORK =
  /^(ECONN(REFUSED|RESET|ABORTED)|ETIMEDOUT|EPIPE|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_AGAIN|UND_ERR_(CONNECT_TIMEOUT|HEADERS_TIMEOUT|BODY_TIMEOUT|SOCKET))$/
/** kafkajs calls these not retriable because its own retries are over or the member must join again; both pass. */
const KAFKA_PASSING =
  /^(KafkaJSNumberOfRetriesExceeded|KafkaJSTimeout|KafkaJSLockTimeout|KafkaJSGroupCoordinatorNotFound|KafkaJSFetcherRebalanceError)$/
const KAFKA_REJOIN = /^(REBALANCE_IN_PROGRESS|ILLEGAL_GENERATION|UNKNOWN_MEMBER_ID|NOT_COORDINATOR_FOR_GROUP)$/
/** https://www.postgresql.org/docs/current/errcodes-appendix.html; 25P03 is the idle-in-transaction time-out. */
const SQLSTATE_PASSING = /^(08|40|53|57)|^(25P03|55P03|25006)$/
/** Values that a type or a constraint refuses, and rows too large for an index. */
const SQLSTATE_POISON = /^(2[23]|54)/
/** Errors that pg, ioredis and kafkajs (src/broker/index.js) tell apart by message alone. */
const LOST_CONNECTION =
  /^(Connection (is closed|terminated)|timeout (expired|exceeded when trying to connect)|Query read timeout|Command timed out|Client (was closed|has encountered a connection error)|Stream isn't writeable|socket hang up|other side closed|Broker not connected)/
/** https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors */
const REDIS_PASSING = /^(LOADING|READONLY|TRYAGAIN|CLUSTERDOWN|MASTERDOWN|BUSY|NOREPLICAS|MISCONF|OOM)\b/

/** The class of one foreign error, or undefined where its cause may tell more. */
function classifyForeign(error: Error): ErrorClass | undefined {
  const code = codeOf(error)
  if (error.name === 'TimeoutError' || error.name === 'MaxRetriesPerRequestError') return 'retryable'
  if (KAFKA_PASSING.test(error.name) || NETWORK.test(code) || LOST_CONNECTION.test(error.message)) return 'retryable'
  if ('retriable' in error && error.retriable === true) return 'retryable'
  if ('type' in error && typeof error.type === 'string' && KAFKA_REJOIN.test(error.type)) return 'retryable'
  if (error.name === 'ReplyError') return REDIS_PASSING.test(error.message) ? 'retryable' : 'fatal'
  if ('severity' in error && /^[0-9A-Z]{5}$/.test(code)) {
    if (SQLSTATE_POISON.test(code)) return 'poison'
    return SQLSTATE_PASSING.test(code) ? 'retryable' : 'fatal'
  }
  if ('status' in error && typeof error.status === 'number') return classifyStatus(error.status)
  return undefined
}

/** https://www.rfc-editor.org/rfc/rfc9110#section-15 */
function classifyStatus(status: number): ErrorClass | undefined {
  if (status >= 500 || [408, 425, 429].includes(status)) return 'retryable'
  return status >= 400 ? 'fatal' : undefined
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}
