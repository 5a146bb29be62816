/**
 * The contracts: what a topic, a connector, a processor, a sink and a topology are.
 *
 * Glossary. A *step* is a connector, processor or sink. A *slot* is one partition of one input topic of one step: the
 * unit of assignment, state and checkpoint. An *origin* is one writer's sequence, a *position* a place in it. A record
 * is *ahead* whose time is too far beyond its append time. A *mark* is a message without a value that says how far an
 * origin's time has come. *Stream time* is how far event time has come, for an origin or a key. A *pending* input
 * belongs to a block that is not final yet; *standing* outputs are those that a key's pending inputs have led to. A
 * *feed* is what replicas of a connector share: a symbol's stream, a chain.
 */
import type { Logger } from 'pino'
import type { Watch } from './watch.ts'

/** Microseconds since the epoch, or a length of time in microseconds; a safe integer. */
export type Micros = number

/** A topic: its schema stands in schemas/<name>.avsc. */
export interface Topic<T extends object = object> {
  readonly name: string
  /** Decides the partition; what must stay in order shares a key. */
  key(record: T): string
  readonly partitions: number
  readonly cleanup: { readonly policy: 'delete'; readonly retentionMs: number } | { readonly policy: 'compact' }
  /** Largest message in bytes, where it is not the broker's default of 1 MiB. */
  readonly maxMessageBytes?: number
  /**
   * How far a record's time may lie beyond its append time. One further ahead is left out by every reader and goes to the DLQ, and
   * neither a record nor a mark moves time beyond its append time. It is given for what connectors and foreign producers write.
   * Times of chains are not judged: a connector waits with a block that is ahead. Times of derived records follow from those of
   * their inputs, which were judged; by append times of their own, which a replay gives anew, they would differ in it.
   */
  readonly maxAhead?: Micros
  /** True where consumers outside the topology read it, so that `check` does not ask for a reader. */
  readonly output?: true
  /** True where several steps write it, each under origins of its own; `check` allows one writer elsewhere. */
  readonly shared?: true
  /**
   * Says what is wrong with the values of a record (`price: "0" is no price`), or undefined. Every reader asks it, and it is
   * asked of what processors emit; it neither throws nor keeps anything.
   */
  check?(this: void, record: T): string | undefined
}

/** Fields by which a record says which blocks it rests on; the runtime fills them in for derived records. */
export type ProvenanceField = 'block' | 'finalized' | 'removed' | 'revision'

/** A record as a step emits it: the provenance may be left to the runtime. */
export type Draft<T extends object> = Omit<T, ProvenanceField> & Partial<Pick<T, Extract<keyof T, ProvenanceField>>>

/** Hands a derived record to the runtime, which encodes, places and publishes it. */
export type Emit = <T extends object>(topic: Topic<T>, record: Draft<T>) => void

/** What a processor may know besides its record and its state. */
export interface Place<Settings> {
  /** Name of the topic that the record came from. */
  readonly topic: string
  /** The record's key, which is the state's. */
  readonly key: string
  /** Stream time of the key: how far its origin has come, and where several write it the least of them. */
  readonly time: Micros
  /** What `settings` made of the watch file when the record was first processed; at a timer, the key's newest unfinalized record. */
  readonly settings: Settings
  /** Asks for `onTime` when stream time has passed `time`; a key has one wake-up, the newest wish replaces it. */
  wakeAt(time: Micros): void
  /** Says that the record came after its window closed: it is counted and kept in the DLQ. */
  late(): void
}

/** State of one key: plain data that JSON carries. */
export interface StateSpec<State extends object> {
  /** Grows where older state or settings cannot be gone on with, and where the same input leads to other outputs. */
  readonly version: number
  empty(): State
  /** Turns the state of an older version into this one's. */
  migrate?(old: unknown, version: number): State
  /** How long after its newest record a key's state is kept, in stream time; for ever where it is not given. */
  readonly expiresAfter?: Micros
}

/** A pure, deterministic function of (state of the key, next record of the key). No clock, no I/O, no randomness. */
export interface Processor<In extends object = object, State extends object = object, Settings = unknown> {
  readonly kind: 'processor'
  readonly name: string
  /** import.meta.url of the step's file, from which threads import it. */
  readonly module: string
  readonly inputs: readonly Topic<In>[]
  readonly outputs: readonly Topic[]
  readonly state: StateSpec<State>
  /**
   * 'passed': the step sees removed blocks itself and emits complete records, as decode-block does, and passes block
   * marks on. Otherwise the runtime takes a removed input out, folds the key again and emits the difference.
   */
  readonly removals?: 'passed'
  /** The part of the watch file that the step needs; plain data that JSON carries. The order of keys says nothing. */
  settings?(watch: Watch): Settings
  /** Changes `state` in place and emits what follows from the record. */
  process(record: In, state: State, emit: Emit, at: Place<Settings>): void
  /** Stream time has passed the key's wake-up `time`. */
  onTime?(time: Micros, state: State, emit: Emit, at: Place<Settings>): void
}

/** Defines a processor: one step that turns topics into topics. */
export function defineProcessor<In extends object, State extends object, Settings = undefined>(
  processor: Omit<Processor<In, State, Settings>, 'kind'>,
): Processor<In, State, Settings> {
  return { kind: 'processor', ...processor }
}

/** The open database transaction of a sink's batch. */
export interface SinkTransaction {
  query(sql: string, values?: readonly unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number }>
  /** Binary COPY into a table: a row a record. */
  copy<Row>(table: string, columns: readonly Column<Row>[], records: readonly Row[]): Promise<void>
}

export type ColumnValue = string | number | boolean | null | readonly string[] | object
export type ColumnType =
  'text' | 'bigint' | 'integer' | 'double' | 'numeric' | 'boolean' | 'timestamptz' | 'text[]' | 'jsonb'
export interface Column<Row> {
  readonly name: string
  /** timestamptz takes microseconds since the epoch, numeric a decimal string, jsonb plain data. */
  readonly type: ColumnType
  /** What a record puts into it. */
  readonly value: (record: Row) => ColumnValue
}

/** Writes one topic to the outside world, idempotently. */
export interface Sink<In extends object = object> {
  readonly kind: 'sink'
  readonly name: string
  readonly input: Topic<In>
  /** True where `write` wants the traces of its records. */
  readonly traced?: true
  /**
   * Writes a batch inside the transaction that also stores its positions and next offset. Without records it writes nothing, and
   * fails where the store would take no record at all.
   * @param traces the W3C traceparent of each record, where the sink is `traced`
   */
  write(records: readonly In[], transaction: SinkTransaction, traces?: readonly (string | undefined)[]): Promise<void>
  /** Runs beside the sink until `signal` aborts, as the alert dispatcher does. */
  serve?(service: Service): Promise<void>
}

/** Defines a sink: one step that takes a topic to the outside world. */
export function defineSink<In extends object>(sink: Omit<Sink<In>, 'kind'>): Sink<In> {
  return { kind: 'sink', ...sink }
}

/** What every long-running part of a step is given. */
export interface Service {
  readonly name: string
  readonly context: Context
  readonly signal: AbortSignal
}

/** What a record that a connector sends carries besides its value. */
export interface Stamp {
  readonly origin: string
  /** From position.ts. */
  readonly position: string
  /** For journals: what the message extends, and the tip that it leaves. */
  readonly link?: { readonly extends: string; readonly tip: string }
}

/** Where the records of one origin go that share a key. */
export interface Lane<T extends object> {
  /** As `ConnectorSession.send`; `position` is from position.ts. */
  send(record: T, position: string): void
}

/** One run of a connector over the feeds that this replica holds; ends when `signal` aborts or it throws. */
export interface ConnectorSession {
  readonly feeds: readonly { readonly feed: string; readonly cursor: string | undefined }[]
  readonly context: Context
  readonly signal: AbortSignal
  /** Queues a record; it is batched, and acknowledged in order per partition. */
  send<T extends object>(topic: Topic<T>, record: T, stamp: Stamp): void
  /** For the many records of one key and origin: `send` with all prepared that they share. */
  lane<T extends object>(topic: Topic<T>, key: string, origin: string): Lane<T>
  /** Queues a time mark for the key of a topic: no record of the origin before `time` will follow. */
  mark(topic: Topic, key: string, origin: string, time: Micros): void
  /** Saves where a feed stands, once all that was sent before is acknowledged. */
  saveCursor(feed: string, cursor: string): void
  /** True while more waits for the broker than the configured bound: conflate, remember ranges, send nothing more. */
  congested(): boolean
  /** Resolves when everything sent so far is acknowledged. */
  acknowledged(): Promise<void>
  /** The journal of a key of a topic; this connector writes it alone. */
  journal<T extends object>(topic: Topic<T>, key: string): Journal<T>
}

/** A partition's tail that is written and read back: the chain connector's memory. */
export interface Journal<T extends object> {
  /** Reads the newest accepted messages of the key, oldest first: those that extend each other. */
  tail(limit: number): Promise<readonly { readonly record: T; readonly position: string }[]>
  /**
   * Appends after all that the last `tail` saw.
   * @returns 'appended', or 'overtaken' when somebody else wrote in between: read the tail again and reconcile.
   */
  append(entries: readonly { readonly record: T; readonly stamp: Stamp }[]): Promise<'appended' | 'overtaken'>
}

/** Brings the outside world into topics; owns its sockets, backoff, watchdogs, gap detection and cursors. */
export interface Connector {
  readonly kind: 'connector'
  readonly name: string
  readonly outputs: readonly Topic[]
  /** Every feed that the watch file asks of this connector; replicas share them. */
  feeds(watch: Watch): readonly string[]
  run(session: ConnectorSession): Promise<void>
}

/** Defines a connector: one step that brings the outside world into topics. */
export function defineConnector(connector: Omit<Connector, 'kind'>): Connector {
  return { kind: 'connector', ...connector }
}

export type Step = Connector | Processor | Sink

export interface Topology {
  readonly name: string
  readonly steps: readonly Step[]
}

/** Defines a topology: which steps run together. */
export function defineTopology(name: string, steps: readonly Step[]): Topology {
  return { name, steps }
}

/** Passed explicitly to everything that lives: configuration, watch file, logs, metrics, clock, shutdown. */
export interface Context {
  readonly config: import('./config.ts').Config
  readonly watch: Watch
  readonly log: Logger
  readonly metrics: import('./metrics.ts').Metrics
  /** The machine's clock, the only one; it never enters a result. */
  now(): Micros
  /** Aborts when the process is asked to stop. */
  readonly shutdown: AbortSignal
}
