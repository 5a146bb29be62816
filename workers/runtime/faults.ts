/** What went wrong with the messages of a task, and whose fault it was. */

/** A record that cannot be read or processed, is ahead or came too late; it goes to the DLQ and the stream goes on. */
export interface Fault {
  readonly offset: number
  readonly reason: 'poison' | 'late'
  readonly code: string
  readonly error: string
  /** Id of the record, where it can be read. */
  readonly id?: string
  /** Where a wake-up is at fault and the record only moved time: whose, and how many of the record's came before it. */
  readonly wakeUp?: WakeUp
  /** Where another input is at fault, which was folded again because of the message at the offset. */
  readonly refold?: Refold
}

/** A fault for which the step could not be undone. */
export interface Crash extends Fault {
  /** True of removals and marks: without them what stands would be wrong from then on. */
  readonly required: boolean
}

export interface WakeUp {
  readonly key: string
  readonly index: number
}

/** An input that was folded again, and how many others of the same message's came before it. */
export interface Refold {
  readonly key: string
  readonly id: string
  readonly index: number
}
