/** What waits to be sent: a queue a partition, whose messages know who produced them. */
import type { Micros } from '../definitions.ts'
import type { Headers } from '../headers.ts'

/** What a send brings a partition at most, so that requests stay small. */
const messagesPerPartition = 2_000
/** Below the usual `max.message.bytes` of 1 MiB, which bounds what one send brings a partition. */
const bytesPerPartition = 768 * 1024
/** Origin, position and trace in the headers. */
const overheadPerMessage = 200

export interface OutgoingMessage {
  readonly key: Buffer | string
  readonly value: Buffer | null
  readonly headers: Headers
  /** Event time of a record that comes from outside, by which its latency is measured. */
  readonly time?: Micros | undefined
}

/** Who produces: told when the brokers refuse something of it for good, after which nothing of it is sent any more. */
export interface Owner {
  readonly failed: (error: unknown) => void
  failure: Error | undefined
}

interface Queue {
  readonly topic: string
  readonly partition: number
  readonly compressed: boolean
  /** Of each message: itself, its number counted over all queues, and who produced it. */
  messages: OutgoingMessage[]
  numbers: number[]
  owners: Owner[]
}

/** The next messages of a queue, which stay in it until they are acknowledged or given back. */
export interface Taken {
  readonly queue: Readonly<Pick<Queue, 'topic' | 'partition' | 'compressed'>>
  readonly messages: readonly OutgoingMessage[]
  readonly owners: readonly Owner[]
  readonly bytes: number
}

export class SendQueues {
  readonly #queues: Queue[] = []
  /** By topic and partition: a look-up for each message must not build a name. */
  readonly #queuesOf = new Map<string, Queue[]>()
  /** The newest message's number. */
  appended = 0
  /** Bytes of what waits. */
  bytes = 0

  /** Number of the oldest message that waits; where none does, the next one's. */
  get oldest(): number {
    let oldest = this.appended + 1
    for (const { numbers } of this.#queues) oldest = Math.min(oldest, numbers[0] ?? oldest)
    return oldest
  }

  /** Nothing is queued of an owner that has failed. */
  add(owner: Owner, topic: string, partition: number, message: OutgoingMessage, compressed: boolean): void {
    if (owner.failure !== undefined) return
    const queue = this.#queuesOf.get(topic)?.[partition] ?? this.#open(topic, partition, compressed)
    queue.messages.push(message)
    queue.numbers.push(++this.appended)
    queue.owners.push(owner)
    this.bytes += sizeOf(message)
  }

  /** @returns what one send takes of each queue. */
  take(): Taken[] {
    return this.#queues.filter((queue) => queue.messages.length > 0).map(takeFirst)
  }

  acknowledged({ queue: { topic, partition }, messages, bytes }: Taken): void {
    const queue = this.#queuesOf.get(topic)?.[partition]
    queue?.messages.splice(0, messages.length)
    queue?.numbers.splice(0, messages.length)
    queue?.owners.splice(0, messages.length)
    this.bytes -= bytes
  }

  /** Drops all that waits of those who produced some messages. @returns them */
  giveBack(taken: Taken): ReadonlySet<Owner> {
    const owners = new Set(taken.owners)
    for (const queue of this.#queues) {
      const kept = queue.owners.map((owner) => !owners.has(owner))
      for (const [at, message] of queue.messages.entries()) if (!kept[at]) this.bytes -= sizeOf(message)
      queue.messages = queue.messages.filter((_, at) => kept[at])
      queue.numbers = queue.numbers.filter((_, at) => kept[at])
      queue.owners = queue.owners.filter((_, at) => kept[at])
    }
    return owners
  }

  #open(topic: string, partition: number, compressed: boolean): Queue {
    const queue: Queue = { topic, partition, compressed, messages: [], numbers: [], owners: [] }
    const queues = this.#queuesOf.get(topic) ?? []
    queues[partition] = queue
    this.#queuesOf.set(topic, queues)
    this.#queues.push(queue)
    return queue
  }
}

function takeFirst(queue: Queue): Taken {
  let [count, bytes] = [0, 0]
  for (const message of queue.messages) {
    const size = sizeOf(message)
    if (count > 0 && (count >= messagesPerPartition || bytes + size > bytesPerPartition)) break
    count++
    bytes += size
  }
  return { queue, messages: queue.messages.slice(0, count), owners: queue.owners.slice(0, count), bytes }
}

const sizeOf = (message: OutgoingMessage): number =>
  message.key.length + (message.value?.length ?? 0) + overheadPerMessage
