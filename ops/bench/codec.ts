/** Codec: our decode and encode of a trade, a quote and a transfer beside JSON and beside the registry's own client. */
import { SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import { topics } from '../../schemas/topics.ts'
import { Decoder, Encoder, schemaText } from '../../workers/runtime/codec.ts'
import { loadConfig } from '../../workers/runtime/config.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { createNames } from '../../workers/runtime/kafka/client.ts'
import { Registry } from '../../workers/runtime/kafka/registry.ts'
import { startStack } from '../local/stack.ts'
import { quote, trade, transfer } from './records.ts'
import { cpuSeconds, figure, type BenchOptions, type Figure } from './report.ts'

const samples = 10_000
/** The system counts a thread's CPU time in steps of some milliseconds: a measurement is to be much longer. */
const passes = 10

/** One way to do a thing to every sample; the number it gives keeps the compiler from leaving it out. */
type Way = () => number | Promise<number>

export async function benchCodec({ say, rounds = 9 }: BenchOptions): Promise<Figure[]> {
  const stack = await startStack({ name: 'bench', temporary: true, reuse: false, only: ['registry'], onProgress: say })
  try {
    const registry = new Registry(loadConfig(stack.env, { require: ['registry'] }), createNames(''))
    const client = new SchemaRegistry({ host: stack.env.SCHEMA_REGISTRY_URL })
    return [
      ...(await benchTopic('trade', topics.marketTrades, trade, registry, client, rounds)),
      ...(await benchTopic('quote', topics.marketQuotes, quote, registry, client, rounds)),
      ...(await benchTopic('transfer', topics.chainTransfers, transfer, registry, client, rounds)),
    ]
  } finally {
    await stack.stop()
  }
}

async function benchTopic<T extends object>(
  name: string,
  topic: Topic<T>,
  make: (index: number) => T,
  registry: Registry,
  client: SchemaRegistry,
  rounds: number,
): Promise<Figure[]> {
  const id = await registry.register(topic)
  const encoder = new Encoder(new Map([[topic.name, id]]))
  const decoder = new Decoder(topic)
  decoder.learn(id, schemaText(topic.name))
  const records = Array.from({ length: samples }, (_, index) => make(index))
  const encoded = records.map((record) => encoder.encode(topic, record))
  const texts = records.map((record) => Buffer.from(JSON.stringify(record)))
  const sum = <In>(list: readonly In[], size: (one: In) => number): number =>
    list.reduce((total, one) => total + size(one), 0)
  const keys = (value: unknown): number => (typeof value === 'object' && value !== null && 'id' in value ? 1 : 0)
  const measured = await interleave(rounds, {
    decode: () => sum(encoded, (bytes) => keys(decoder.decode(bytes))),
    // A consumer has bytes, so the text is read from bytes.
    parse: () => sum(texts, (bytes) => keys(JSON.parse(bytes.toString()))),
    async registryDecode() {
      let total = 0
      for (const bytes of encoded) total += keys(await client.decode(bytes))
      return total
    },
    encode: () => sum(records, (record) => encoder.encode(topic, record).length),
    stringify: () => sum(records, (record) => Buffer.from(JSON.stringify(record)).length),
    async registryEncode() {
      let total = 0
      for (const record of records) total += (await client.encode(id, record)).length
      return total
    },
  })
  const { decode, parse, registryDecode, encode, stringify, registryEncode } = measured
  return [
    figure(`decode ${name}`, 'records/s', decode, 'JSON.parse', parse),
    figure(`decode ${name}`, 'records/s', decode, 'registry client decode', registryDecode),
    figure(`encode ${name}`, 'records/s', encode, 'JSON.stringify', stringify),
    figure(`encode ${name}`, 'records/s', encode, 'registry client encode', registryEncode),
  ]
}

/** Samples a second of CPU of each way, round by round in turn; the first round warms up. */
async function interleave<Name extends string>(
  rounds: number,
  ways: Readonly<Record<Name, Way>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(ways).filter((name): name is Name => name in ways)
  const rates = names.map((): number[] => [])
  for (let round = 0; round <= rounds; round++) {
    for (const [at, name] of names.entries()) {
      const started = process.threadCpuUsage()
      for (let pass = 0; pass < passes; pass++) await ways[name]()
      if (round > 0) rates[at]?.push((passes * samples) / cpuSeconds(started))
    }
  }
  const result: Partial<Record<Name, number[]>> = {}
  for (const [at, name] of names.entries()) result[name] = rates[at] ?? []
  return complete(result, names)
}

function complete<Name extends string>(
  part: Partial<Record<Name, number[]>>,
  names: readonly Name[],
): Record<Name, number[]> {
  if (!isComplete(part, names)) throw new Error('a way was not measured')
  return part
}

const isComplete = <Name extends string>(
  part: Partial<Record<Name, number[]>>,
  names: readonly Name[],
): part is Record<Name, number[]> => names.every((name) => part[name] !== undefined)
