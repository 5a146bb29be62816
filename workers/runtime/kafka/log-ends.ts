/** Where logs begin and end. One question at a time: kafkajs's admin stumbles over its own metadata when asked several at once. */
import type { Admin } from 'kafkajs'

interface End {
  readonly partition: number
  readonly low: number
  readonly high: number
}

export class LogEnds {
  readonly #admin: () => Promise<Admin>
  #last: Promise<unknown> = Promise.resolve()
  /** Questions that wait for their turn, so that many about one topic are asked once. */
  readonly #waiting = new Map<string, Promise<readonly End[]>>()

  constructor(admin: () => Promise<Admin>) {
    this.#admin = admin
  }

  /** @returns first offset and the offset behind the last of a partition. */
  async of(topic: string, partition: number): Promise<{ low: number; high: number }> {
    let answer = this.#waiting.get(topic)
    if (answer === undefined) {
      answer = this.#inTurn(async () => {
        this.#waiting.delete(topic)
        const ends = await (await this.#admin()).fetchTopicOffsets(topic)
        return ends.map((end) => ({ partition: end.partition, low: Number(end.low), high: Number(end.high) }))
      })
      this.#waiting.set(topic, answer)
    }
    return (await answer).find((end) => end.partition === partition) ?? { low: 0, high: 0 }
  }

  /** @returns the first offset that was appended at `timeMs` or later, or the log's end. */
  async since(topic: string, partition: number, timeMs: number): Promise<number> {
    const ends = await this.#inTurn(async () => (await this.#admin()).fetchTopicOffsetsByTimestamp(topic, timeMs))
    return Number(ends.find((end) => end.partition === partition)?.offset ?? 0)
  }

  #inTurn<T>(question: () => Promise<T>): Promise<T> {
    const answer = this.#last.then(question)
    this.#last = answer.catch(() => {})
    return answer
  }
}
