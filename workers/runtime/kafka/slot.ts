/** What a group and the owner of one of its partitions are to each other. */
import type { KafkaMessage } from 'kafkajs'
import type { Topic } from '../definitions.ts'
import type { Ownership } from '../ownership.ts'

/** Where a slot goes on. */
export interface Resumption {
  /** Next offset to read; undefined: the log's beginning. */
  readonly offset: number | undefined
  /** When the newest message before it was appended, in milliseconds; tells a topic that was created anew. */
  readonly appendTime: number | undefined
}

/** What a step does with one assigned partition. */
export interface Slot {
  /** Takes ownership and reads where to go on; called again, with another, after `reopen` or a failure. */
  open(ownership: Ownership): Promise<Resumption>
  /** The log from here on will be taken. */
  opened(offset: number): void
  /** Queues messages; must return at once. */
  take(messages: readonly KafkaMessage[], highWatermark: number): void
  /** The ownership is over: let go of everything. */
  close(): void
  /** Messages queued. */
  readonly queued: number
  /** Bytes queued, for back-pressure. */
  readonly queuedBytes: number
  /** For how long nothing but messages seen before came, in milliseconds. */
  readonly droppingMs: number
  /** Whether messages are queued or worked on. */
  readonly busy: boolean
  /** Grows with everything that is done; for the watchdog. */
  readonly progress: number
}

/** What a slot may ask of its group. */
export interface SlotControl {
  readonly topic: Topic
  readonly partition: number
  /** Drops what is queued, opens the slot again and reads from where the store stands. */
  reopen(reason: string): void
  /** Commits for lag monitors; never fails. @returns whether the broker took it and we still hold the partition. */
  commit(offset: number): Promise<boolean>
  /** The commit failed where another worker had written: the slot rests until the partition is assigned anew. */
  letGo(): void
  /** Something was worked off: reads on where the queue had been full. */
  relieved(): void
}
