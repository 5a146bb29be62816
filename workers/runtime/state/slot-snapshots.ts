/** What an open slot has to do with its snapshots: it is loaded from one where Redis has lost it, and written from time to time. */
import { crc32 } from 'node:zlib'
import type { Context } from '../definitions.ts'
import { classify, oneLine, RetryableError } from '../errors.ts'
import type { ClaimedSlot, RedisStore, SlotName } from './redis-store.ts'
import type { SnapshotReader } from './snapshot-reader.ts'
import { slotText, type SnapshotWriter } from './snapshots.ts'

export interface SlotSnapshotsOptions {
  readonly context: Context
  readonly store: RedisStore
  readonly snapshots: SnapshotWriter
  readonly snapshotReader: SnapshotReader
}

export class SlotSnapshots {
  readonly #options: SlotSnapshotsOptions
  readonly #slot: SlotName
  readonly #lost: () => void
  readonly #fatal: (error: unknown) => void
  #token: string | undefined
  /** Offset of the newest snapshot. */
  #saved: number | undefined
  #timer: NodeJS.Timeout | undefined

  /** @param lost called where somebody else has claimed the slot, or Redis has forgotten it */
  constructor(options: SlotSnapshotsOptions, slot: SlotName, lost: () => void, fatal: (error: unknown) => void) {
    this.#options = options
    this.#slot = slot
    this.#lost = lost
    this.#fatal = fatal
  }

  /**
   * Claims the slot, and where Redis knows nothing of it puts its newest snapshot back.
   * @throws RetryableError where somebody else has claimed it meanwhile
   */
  async claim(): Promise<ClaimedSlot> {
    const { store, snapshotReader, context } = this.#options
    const claimed = await store.claim(this.#slot)
    if (claimed.offset !== undefined) return claimed
    const snapshot = await snapshotReader.newest(this.#slot)
    if (snapshot === undefined) return claimed
    if (!(await store.restore(this.#slot, claimed.token, snapshot)))
      throw new RetryableError('fence-lost', 'another worker has claimed the slot while its snapshot was read')
    const { offset, takenAt } = snapshot
    context.metrics.restored.inc({ step: this.#slot.step })
    const about = { topic: this.#slot.topic, partition: this.#slot.partition, offset }
    context.log.warn({ ...about, takenAt: new Date(takenAt).toISOString() }, 'Redis had lost the slot: loaded from its snapshot') // prettier-ignore
    return { ...snapshot, token: claimed.token }
  }

  /** The slot is ours: from now on it is looked after. */
  begin({ token, snapshots }: ClaimedSlot): void {
    this.end()
    this.#token = token
    const complete = snapshots.flatMap(({ offset, takenAt }) => (takenAt === undefined ? [] : offset))
    this.#saved = complete.length === 0 ? undefined : Math.max(...complete)
    this.#schedule(token)
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#token = undefined
  }

  /** Each slot has a moment of its own in the period, so that not all are written at once. */
  #schedule(token: string): void {
    const { snapshotMs } = this.#options.context.config
    const moment = (crc32(slotText(this.#slot)) / 2 ** 32) * snapshotMs
    const waitMs = snapshotMs - ((Date.now() - moment) % snapshotMs)
    this.#timer = setTimeout(() => void this.#look(token), waitMs)
  }

  /** Writes the slot if it has changed, and sees whether it is still there: a slot that rests would not notice otherwise. */
  async #look(token: string): Promise<void> {
    const { store, snapshots, context } = this.#options
    try {
      const { token: present, offset } = await store.owner(this.#slot)
      let ours = present === token
      if (ours && offset !== undefined && offset !== this.#saved) {
        const written = await snapshots.write(this.#slot, token)
        ours = written !== undefined
        if (ours) this.#saved = written
      }
      if (!ours && this.#token === token) return this.#lost()
    } catch (error) {
      context.metrics.snapshots.inc({ step: this.#slot.step, outcome: 'failed' })
      if (classify(error) === 'fatal') return this.#fatal(error)
      const { topic, partition } = this.#slot
      context.log.warn({ topic, partition, error: oneLine(error) }, 'the snapshot of a slot is left to the next time')
    }
    if (this.#token === token) this.#schedule(token)
  }
}
