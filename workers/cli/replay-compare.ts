/**
 * Compares what a replay wrote with what the live run wrote for the same stretch.
 *
 * What follows from a live topic has the same origin and position in both. Further steps read the replay's own topics, whose
 * offsets differ: there messages are told by their origin, their id and how often that came before, and must come in the
 * same order for each key. Between origins the order is the broker's, and not compared.
 */
import { createHash } from 'node:crypto'
import type { KafkaMessage } from 'kafkajs'
import { schemaIdOf } from '../runtime/codec.ts'
import type { Micros, Topic } from '../runtime/definitions.ts'
import { markOf, placeOf } from '../runtime/headers.ts'
import type { Installation } from '../runtime/installation.ts'
import { createNames } from '../runtime/kafka/client.ts'
import { followTopic, type Stretch } from '../runtime/kafka/read.ts'
import { Positions, type Placed } from '../runtime/position.ts'
import { outputsOf } from '../runtime/topology.ts'
import { textOf } from './app.ts'
import { MessageReader } from './message-reader.ts'
import type { ReplayPlan } from './replay-plan.ts'
import type { OwnStretch } from './replay-run.ts'

export interface TopicComparison {
  readonly topic: string
  /** Messages of both, byte for byte. */
  readonly same: number
  /** Of both, with another content. */
  readonly differing: number
  readonly onlyLive: number
  readonly onlyReplay: number
  /** Keys of an origin whose messages come in another order. */
  readonly reordered: number
  readonly examples: readonly string[]
}

export interface Compared {
  readonly plan: ReplayPlan
  readonly namespace: string
  readonly written: readonly OwnStretch[]
  /** Beginning of the stretch. */
  readonly from: Micros
}

const shown = 5
/** Brokers' clocks differ, and a new leader may date what it appends before what the old one did. */
const clockSlack = 5_000_000
/** The schema's id, which need not be the same in both namespaces. */
const headBytes = 5

/** Compares topic by topic, those first from which others follow. */
export async function compareReplay(compared: Compared, live: Installation): Promise<TopicComparison[]> {
  const { plan, written } = compared
  const lineage = new Lineage(plan)
  const outputs = inOrder(plan)
  const comparisons: TopicComparison[] = []
  for (const topic of outputs) {
    const reader = new MessageReader(topic, live.registry)
    const [ours, theirs] = [new Side(reader, lineage), new Side(reader, lineage)]
    await readLive(topic, compared, live, lineage, theirs)
    const names = createNames(compared.namespace)
    const stretches = written.filter((one) => one.topic === topic)
    await read(live, names.topic(topic), stretches, (message, partition, place) => ours.take(message, partition, place))
    comparisons.push(differences(topic, theirs, ours))
  }
  return comparisons
}

/** Output topics, each after those from which it follows. */
function inOrder({ processors }: ReplayPlan): Topic[] {
  const ordered = new Set<Topic>()
  const visit = (topic: Topic): void => {
    for (const step of processors) if (step.outputs.includes(topic)) for (const input of step.inputs) visit(input)
    if (processors.some((step) => outputsOf(step).includes(topic))) ordered.add(topic)
  }
  for (const step of processors) for (const topic of step.outputs) visit(topic)
  return [...ordered]
}

async function readLive(
  topic: Topic,
  { from }: Compared,
  live: Installation,
  lineage: Lineage,
  side: Side,
): Promise<void> {
  const { ends, names } = live
  const name = names.topic(topic)
  const stretches: Omit<Stretch, 'topic'>[] = []
  for (let partition = 0; partition < topic.partitions; partition++) {
    const { high } = await ends.of(name, partition)
    const since = await ends.since(name, partition, Math.floor((from - clockSlack) / 1_000))
    stretches.push({ partition, from: since, to: high })
  }
  await read(live, name, stretches, async (message, partition, place) => {
    if (!lineage.follows(place)) return
    lineage.add(topic, partition, Number(message.offset))
    await side.take(message, partition, place)
  })
}

/** Calls `each` with what the position rule accepts. */
async function read(
  servers: Installation,
  topic: string,
  stretches: readonly Omit<Stretch, 'topic'>[],
  each: (message: KafkaMessage, partition: number, place: Placed) => Promise<void>,
): Promise<void> {
  const positions = new Map(stretches.map(({ partition }) => [partition, new Positions()]))
  const { kafka, names } = servers
  const admin = await servers.admin()
  await followTopic({ kafka, names, admin }, topic, stretches, async (message, partition) => {
    const place = placeOf(message.headers)
    if (place === undefined || !positions.get(partition)?.accept(place)) return
    await each(message, partition, place)
  })
}

/** Which live messages follow from the stretch: origins name the input partition, positions the input's offset. */
class Lineage {
  readonly #steps: ReadonlySet<string>
  /** Topic and partition → the offsets of the stretch, as ranges in order: those from even indexes up to odd ones. */
  readonly #offsets = new Map<string, number[]>()
  readonly #sources: ReadonlySet<string>

  constructor({ processors, sources }: ReplayPlan) {
    this.#steps = new Set(processors.map(({ name }) => name))
    for (const { topic, partition, from, to } of sources) this.#offsets.set(`${topic.name}:${partition}`, [from, to])
    this.#sources = new Set(this.#offsets.keys())
  }

  /** Whether a step has read the input of a message from the live topics in both runs. */
  isDirect({ origin }: Placed): boolean {
    return this.#sources.has(inputOf(origin))
  }

  follows({ origin, position }: Placed): boolean {
    if (!this.#steps.has(origin.slice(0, origin.indexOf(':')))) return false
    const offset = Number(position.split('.')[1])
    const bounds = this.#offsets.get(inputOf(origin)) ?? []
    let [low, high] = [0, bounds.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((bounds[middle] ?? 0) <= offset) low = middle + 1
      else high = middle
    }
    return low % 2 === 1
  }

  /** A message that follows from the stretch; in the order of the log. */
  add(topic: Topic, partition: number, offset: number): void {
    const name = `${topic.name}:${partition}`
    if (this.#sources.has(name)) return
    const bounds = this.#offsets.get(name)
    if (bounds === undefined) this.#offsets.set(name, [offset, offset + 1])
    else if (bounds.at(-1) === offset) bounds[bounds.length - 1] = offset + 1
    else bounds.push(offset, offset + 1)
  }
}

/** `build-candles:market.trades.v1:0` → `market.trades.v1:0` */
const inputOf = (origin: string): string => origin.slice(origin.indexOf(':') + 1)

interface Seen {
  readonly name: string
  readonly digest: string
}

/** What one of the two runs wrote to a topic. */
class Side {
  /** By what tells a message from all others. */
  readonly messages = new Map<string, Seen>()
  /** Origin and key → a digest of the order of their messages. */
  readonly orders = new Map<string, string>()
  readonly #reader: MessageReader<object>
  readonly #lineage: Lineage
  readonly #counts = new Map<string, number>()

  constructor(reader: MessageReader<object>, lineage: Lineage) {
    this.#reader = reader
    this.#lineage = lineage
  }

  async take(message: KafkaMessage, partition: number, place: Placed): Promise<void> {
    const key = message.key === null ? '' : textOf(message.key)
    const name = await this.#nameOf(message)
    const where = `${partition} ${place.origin}`
    const digest = digestOf(key, message.headers?.['mark']?.toString() ?? '', payloadOf(message.value))
    if (this.#lineage.isDirect(place)) {
      // Of a later generation, which the replay's is not, the newest counts.
      this.messages.set(`${where} ${place.position.slice(place.position.indexOf('.') + 1)}`, { name, digest })
      return
    }
    const same = `${where} ${name}`
    const count = (this.#counts.get(same) ?? 0) + 1
    this.#counts.set(same, count)
    this.messages.set(`${same} ${count}`, { name, digest })
    const line = `${where} ${key}`
    this.orders.set(line, digestOf(this.orders.get(line) ?? '', name))
  }

  async #nameOf(message: KafkaMessage): Promise<string> {
    const mark = markOf(message.headers)
    if (mark !== undefined) return `mark ${message.headers?.['mark']?.toString() ?? ''}`
    const content = await this.#reader.read(message)
    if (content.kind === 'record' && 'id' in content.record) return String(content.record.id)
    return `offset ${message.offset}`
  }
}

function payloadOf(value: Buffer | null): Buffer {
  if (value === null) return Buffer.alloc(0)
  return schemaIdOf(value) === undefined ? value : value.subarray(headBytes)
}

function digestOf(...parts: readonly (string | Buffer)[]): string {
  const hash = createHash('sha1')
  for (const part of parts) hash.update(String(part.length)).update(':').update(part)
  return hash.digest('base64url')
}

function differences(topic: Topic, live: Side, replay: Side): TopicComparison {
  let [same, differing, onlyLive] = [0, 0, 0]
  const examples: string[] = []
  const tell = (place: string, { name }: Seen, what: string): void => {
    if (examples.length < shown) examples.push(`${topic.name}:${place}: ${name} ${what}`)
  }
  for (const [place, theirs] of live.messages) {
    const ours = replay.messages.get(place)
    if (ours === undefined) {
      onlyLive++
      tell(place, theirs, 'was written by the live run alone')
    } else if (ours.digest === theirs.digest) same++
    else {
      differing++
      tell(place, theirs, 'differs')
    }
  }
  let onlyReplay = 0
  for (const [place, ours] of replay.messages) {
    if (live.messages.has(place)) continue
    onlyReplay++
    tell(place, ours, 'was written by the replay alone')
  }
  const reordered = [...live.orders].filter(([line, order]) => replay.orders.get(line) !== order).length
  const whole = onlyLive + onlyReplay === 0
  if (whole && reordered > 0) examples.push(`${topic.name}: the order differs for ${reordered} keys`)
  return { topic: topic.name, same, differing, onlyLive, onlyReplay, reordered: whole ? reordered : 0, examples }
}
