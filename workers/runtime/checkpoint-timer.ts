/** When a task's next checkpoint is due: so long after the first record that is not in one, or after so many records. */
export class CheckpointTimer {
  readonly #options: { readonly checkpointMs: number; readonly checkpointRecords: number }
  readonly #due: () => void
  #timer: NodeJS.Timeout | undefined
  #unsaved = 0
  #savedAt = Date.now()
  #overdue = false

  /** @param due called when the time is up, where nothing else would notice */
  constructor(options: { readonly checkpointMs: number; readonly checkpointRecords: number }, due: () => void) {
    this.#options = options
    this.#due = due
  }

  /** Records that are in no checkpoint. */
  get unsaved(): number {
    return this.#unsaved
  }

  /** Seconds since the newest checkpoint where something is not in it, else 0. */
  get age(): number {
    return this.#unsaved === 0 ? 0 : (Date.now() - this.#savedAt) / 1_000
  }

  get isDue(): boolean {
    const { checkpointMs, checkpointRecords } = this.#options
    const old = this.#overdue || Date.now() - this.#savedAt >= checkpointMs
    return this.#unsaved > 0 && (old || this.#unsaved >= checkpointRecords)
  }

  /** Records were processed. */
  progressed(records: number): void {
    if (this.#unsaved === 0) this.#savedAt = Date.now()
    this.#unsaved += records
    this.#timer ??= setTimeout(() => {
      this.#overdue = true
      this.#due()
    }, this.#options.checkpointMs)
  }

  /** A checkpoint of all of them begins, or the task is over. */
  reset(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#overdue = false
    this.#unsaved = 0
  }
}
