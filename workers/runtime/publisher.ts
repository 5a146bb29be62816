/** Publishes what follows from a task: outputs at their places, and the records at fault to the DLQ. */
import type { KafkaMessage } from 'kafkajs'
import type { Processor, Topic } from './definitions.ts'
import type { Fault } from './faults.ts'
import { markHeaders, placeHeaders } from './headers.ts'
import type { Sender } from './kafka/accumulator.ts'
import { emissionPosition } from './position.ts'
import type { ProcessorShared } from './processor-host.ts'
import { readOutputs } from './slot-task.ts'
import type { RunAnswer } from './thread.ts'

/** A fault, and where its record stood first where the message is a redriven copy. */
export type LetterFault = Fault & { readonly original?: number }
type Published = Pick<RunAnswer, 'outputs' | 'newest'> & { readonly faults: readonly LetterFault[] }
type Shared = Pick<ProcessorShared, 'context' | 'accumulator' | 'deadLetters' | 'outputs'>

export class Publisher {
  readonly #step: Processor
  readonly #shared: Shared
  readonly #topic: Topic
  readonly #partition: number
  readonly #origin: string
  /** Of the open slot; what is emitted in a later one ranks above all of the earlier ones. */
  generation = 0

  /** @param topic and `partition`: the slot's; its outputs are of an origin of their own */
  constructor(step: Processor, shared: Shared, topic: Topic, partition: number) {
    this.#step = step
    this.#shared = shared
    this.#topic = topic
    this.#partition = partition
    this.#origin = `${step.name}:${topic.name}:${partition}`
  }

  /**
   * @param sender of the open task
   * @param messages of the batch, in whose order outputs and faults are
   */
  publish(sender: Sender, answer: Published, messages: readonly KafkaMessage[]): void {
    const { outputs, newest, faults } = answer
    this.bury(sender, faults, messages)
    this.#append(sender, outputs, messages)
    const emitted = outputs.byteLength > 0
    if (emitted) this.#shared.accumulator.push()
    if (newest >= 0) void this.#observe(sender, newest, emitted).catch(() => {})
  }

  /** Sends records at fault to the DLQ; the caller awaits the sender before it goes on. */
  bury(sender: Sender, faults: readonly LetterFault[], messages: readonly KafkaMessage[]): void {
    if (faults.length === 0) return
    const byOffset = new Map(messages.map((message) => [Number(message.offset), message]))
    for (const fault of faults) {
      const message = byOffset.get(fault.offset)
      if (message !== undefined) this.#shared.deadLetters.add(sender, this.#topic, this.#partition, message, fault)
    }
  }

  #append(sender: Sender, packed: ArrayBuffer, messages: readonly KafkaMessage[]): void {
    const { outputs } = this.#shared
    let source = 0
    for (const output of readOutputs(packed)) {
      const target = outputs[output.topic]
      if (target === undefined) throw new Error(`${this.#step.name} emits to a topic that is none of its outputs`)
      const position = emissionPosition(this.generation, output.offset, output.index)
      if (output.mark === undefined) {
        while (Number(messages[source]?.offset ?? Infinity) < output.offset) source++
        const headers = placeHeaders({ origin: this.#origin, position })
        const trace = messages[source]?.headers?.traceparent
        if (trace !== undefined) headers.traceparent = trace
        sender.append(target.name, target.partitioner.of(output.key), {
          key: output.key,
          value: output.value,
          headers,
        })
        continue
      }
      const headers = markHeaders({ ...output.mark, origin: this.#origin }, position)
      for (let partition = 0; partition < target.topic.partitions; partition++)
        sender.append(target.name, partition, { key: '', value: null, headers })
    }
  }

  /**
   * @param newest event time in the task
   * @param emitted whether anything follows from it that has to be acknowledged; dead letters alone are not waited for
   */
  async #observe(sender: Sender, newest: number, emitted: boolean): Promise<void> {
    const { context } = this.#shared
    if (emitted) await sender.flushed()
    context.metrics.latency.observe({ step: this.#step.name }, (context.now() - newest) / 1_000_000)
  }
}
