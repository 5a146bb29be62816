/** Everything of the pipeline that reads a topic. */
import { cryptoIntel } from '../../../topologies/crypto-intel.ts'
import { DecodingReader } from './decoding.ts'
import { allTopics } from './messages.ts'
import { ProcessorReader } from './processor.ts'
import type { Reader } from './reader.ts'
import { SinkReader } from './sink.ts'

/** @returns the readers of each topic: its processors and sinks, and one that only decodes */
export function allReaders(): ReadonlyMap<string, readonly Reader[]> {
  const readers: Reader[] = [
    ...allTopics.map(({ name }) => new DecodingReader(name)),
    ...cryptoIntel.steps.flatMap((step): Reader[] => {
      switch (step.kind) {
        case 'connector':
          return []
        case 'processor':
          return step.inputs.map((topic) => new ProcessorReader(step, topic))
        case 'sink':
          return [new SinkReader(step)]
      }
    }),
  ]
  return Map.groupBy(readers, ({ topic }) => topic)
}
