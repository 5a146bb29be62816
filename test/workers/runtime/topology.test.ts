import { describe, expect, it } from 'vitest'
import {
  defineConnector,
  defineSink,
  defineTopology,
  type Processor,
  type Step,
  type Topic,
} from '../../../workers/runtime/definitions.ts'
import { checkTopology, graphTopology, serversOf, topicsOf } from '../../../workers/runtime/topology.ts'
import { topics } from '../../../schemas/topics.ts'
import { timescaleCandles } from '../../../sinks/timescale-candles.ts'
import { timescaleTrades } from '../../../sinks/timescale-trades.ts'
import { cryptoIntel } from '../../../topologies/crypto-intel.ts'
import { buildCandles } from '../../../workers/build-candles.ts'
import { decodeBlock } from '../../../workers/decode-block.ts'

const venue = defineConnector({ name: 'venue', outputs: [topics.marketTrades], feeds: () => [], run: async () => {} })
const own = (name: string, rest: Partial<Topic> = {}): Topic => ({
  name,
  key: () => '',
  partitions: 1,
  cleanup: { policy: 'compact' },
  ...rest,
})
const sink = (name: string, input: Topic): Step => defineSink({ name, input, write: async () => {} })
/** A processor that passes what a step of another name is; its file's name and export are found wanting too. */
const processor = (name: string, inputs: readonly Topic[], outputs: readonly Topic[]): Processor => ({
  kind: 'processor',
  name,
  module: new URL('../../../workers/decode-block.ts', import.meta.url).href,
  inputs,
  outputs,
  state: { version: 1, empty: () => ({}) },
  process: () => {},
})
/** The faults, without those of the modules of made-up processors. */
const faultsOf = async (...steps: Step[]): Promise<string[]> =>
  (await checkTopology(defineTopology('test', steps))).filter((fault) => !fault.includes('decode-block.ts'))

describe('checking a topology', () => {
  it('finds no fault in the whole pipeline', async () => {
    expect(await checkTopology(cryptoIntel)).toEqual([])
  })

  it('names a topic that is read and never written, and one that is written and never read', async () => {
    expect(await faultsOf(buildCandles, timescaleTrades)).toEqual([
      'market.trades.v1 is read by build-candles and timescale-trades, and nothing writes it',
      'market.candles.v1 is written by build-candles, never read and not marked as an output',
    ])
  })

  it('asks for no reader of an output', async () => {
    const output = own('told.v1', { output: true })
    expect(await faultsOf(venue, timescaleTrades, processor('tell', [topics.marketTrades], [output]))).toEqual([])
  })

  it('names two steps of one name', async () => {
    expect(await faultsOf(venue, timescaleTrades, timescaleTrades)).toEqual(['2 steps are called timescale-trades'])
  })

  it('names two writers of a topic that is not shared', async () => {
    const [one, two] = ['one', 'two'].map((name) => processor(name, [topics.marketTrades], [topics.marketCandles]))
    if (one === undefined || two === undefined) throw new Error('two processors')
    expect(await faultsOf(venue, one, two, timescaleCandles)).toEqual([
      'market.candles.v1 is written by one and two; only a topic marked as shared has several writers',
    ])
    expect(await faultsOf(venue, { ...venue, name: 'other-venue' }, timescaleTrades)).toEqual([])
  })

  it('names the steps and topics of a cycle once', async () => {
    const [a, b, c] = [own('a.v1'), own('b.v1'), own('c.v1')]
    const steps = [processor('first', [a, c], [b]), processor('second', [b], [c])]
    const start = defineConnector({ ...venue, outputs: [a] })
    expect(await faultsOf(start, ...steps)).toEqual(['cycle: first → b.v1 → second → c.v1 → first'])
  })

  it('finds a step that reads what it writes', async () => {
    const a = own('a.v1', { shared: true })
    const start = defineConnector({ ...venue, outputs: [a] })
    expect(await faultsOf(start, processor('echo', [a], [a]))).toEqual(['cycle: echo → a.v1 → echo'])
  })

  it('refuses onTime where no time marks come', async () => {
    const timed = { ...processor('timed', [topics.marketCandles], []), onTime: () => {} }
    expect(await faultsOf(venue, buildCandles, timed)).toEqual([
      'timed has onTime and reads market.candles.v1, which build-candles writes without time marks',
    ])
  })

  it('allows onTime behind a connector and behind a step that passes block marks on', async () => {
    const chain = defineConnector({ ...venue, name: 'chain', outputs: [topics.chainBlocks] })
    const timed = { ...processor('timed', decodeBlock.outputs, []), onTime: () => {} }
    expect(await faultsOf(chain, decodeBlock, timed)).toEqual([])
  })

  it('finds a processor that threads cannot import', async () => {
    const topology = defineTopology('test', [
      venue,
      { ...buildCandles, outputs: [] },
      processor('stray', [topics.marketTrades], []),
    ])
    expect(await checkTopology(topology)).toEqual([
      'build-candles.ts does not export build-candles, so threads cannot load it',
      "stray stands in decode-block.ts; a step's file has its name",
      'decode-block.ts does not export stray, so threads cannot load it',
    ])
  })

  it('reports all faults at once', async () => {
    const timed = { ...processor('timed', [topics.marketCandles], [topics.marketTrades]), onTime: () => {} }
    expect(
      await faultsOf(buildCandles, timed, sink('twice', topics.riskMarkets), sink('twice', topics.riskMarkets)),
    ).toEqual([
      '2 steps are called twice',
      'risk.markets.v1 is read by twice and twice, and nothing writes it',
      'cycle: build-candles → market.candles.v1 → timed → market.trades.v1 → build-candles',
      'build-candles has onTime and reads market.trades.v1, which timed writes without time marks',
      'timed has onTime and reads market.candles.v1, which build-candles writes without time marks',
    ])
  })
})

describe('the diagram of a topology', () => {
  it('leads from connectors over topics to sinks', () => {
    const graph = graphTopology(defineTopology('thin', [venue, buildCandles, timescaleCandles]))
    expect(graph.split('\n').slice(0, 10)).toEqual([
      'flowchart LR',
      '  venue{{venue}}:::connector',
      '  build_candles[build-candles]:::processor',
      '  timescale_candles[(timescale-candles)]:::sink',
      '  market_trades_v1([market.trades.v1]):::topic',
      '  market_candles_v1([market.candles.v1]):::topic',
      '  venue --> market_trades_v1',
      '  market_trades_v1 --> build_candles',
      '  build_candles --> market_candles_v1',
      '  market_candles_v1 --> timescale_candles',
    ])
  })
})

describe('what steps need', () => {
  it('is asked of the servers by kind', () => {
    expect(serversOf([venue])).toEqual(['kafka', 'registry'])
    expect(serversOf([buildCandles])).toEqual(['kafka', 'registry', 'redis'])
    expect(serversOf([timescaleTrades, buildCandles])).toEqual(['kafka', 'registry', 'database', 'redis'])
  })

  it('holds the topics of the runtime', () => {
    expect(topicsOf([venue]).map(({ name }) => name)).toEqual(['market.trades.v1', 'feeds.cursors.v1', 'dlq.v1'])
    expect(topicsOf([timescaleTrades]).map(({ name }) => name)).toEqual(['market.trades.v1', 'dlq.v1'])
  })
})
