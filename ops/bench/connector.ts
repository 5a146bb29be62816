/** Connector: frames a second from text to record to bytes on the recorded capture, beside bare JSON.parse of the frames. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { readAnyFrame } from '../../connectors/binance-spot.ts'
import { FeedStatusWriter } from '../../connectors/market/feed-status.ts'
import { QuoteFeed } from '../../connectors/market/quote-feed.ts'
import { TradeFeed } from '../../connectors/market/trade-feed.ts'
import { usualTiming, VenueClock } from '../../connectors/market/venue.ts'
import { topics } from '../../schemas/topics.ts'
import { loadConfig } from '../../workers/runtime/config.ts'
import { createContext } from '../../workers/runtime/context.ts'
import type { ConnectorSession } from '../../workers/runtime/definitions.ts'
import type { OutgoingMessage } from '../../workers/runtime/kafka/send-queues.ts'
import { createNames } from '../../workers/runtime/kafka/client.ts'
import { RecordSender } from '../../workers/runtime/record-sender.ts'
import { WatchSchema } from '../../workers/runtime/watch.ts'
// All that a worker loads: a library can slow what the engine compiles, as ioredis does where it is not mended.
import '../../workers/cli/command-line.ts'
import { projectFolder } from '../local/paths.ts'
import { cpuSeconds, figure, type BenchOptions, type Figure } from './report.ts'

const capture = join(projectFolder, '..', 'shared', 'fixtures', 'market', 'binance-spot', 'btcusdt-20240808.gz')
/** Times that a round goes through the capture: CPU time is told in steps of 4 ms. */
const passes = 8
/** As the accumulator counts. */
const overheadPerMessage = 200
const venue = 'binance-spot'
const symbol = 'BTC-USDT'
const context = createContext(loadConfig({ LOG_LEVEL: 'silent' }, { require: [] }), WatchSchema.parse({}), 'bench')

export async function benchConnector({ say, rounds = 9 }: BenchOptions): Promise<Figure[]> {
  if (!existsSync(capture)) {
    say(`skipped: the recorded capture is not here (${capture})`)
    return []
  }
  const texts = readFrames()
  const frames = texts.map((text) => Buffer.from(text))
  say(`${frames.length} recorded frames of trades and quotes`)
  const [ours, parse]: [number[], number[]] = [[], []]
  for (let round = 0; round <= rounds; round++) {
    for (const [rates, work] of [
      [ours, () => recordAndEncode(frames)],
      [parse, () => parseAlone(texts)],
    ] as const) {
      const started = process.threadCpuUsage()
      let done = 0
      for (let pass = 0; pass < passes; pass++) done += work()
      const perSecond = (passes * frames.length) / cpuSeconds(started)
      if (done < passes * frames.length * 0.9) throw new Error(`only ${done} of ${passes} × ${frames.length} frames became records`) // prettier-ignore
      if (round > 0) rates.push(perSecond)
    }
  }
  return [figure('binance-spot', 'frames/s', ours, 'JSON.parse', parse, '≥ 0.5')]
}

/** The frames that the connector subscribes to. */
function readFrames(): string[] {
  const lines = gunzipSync(readFileSync(capture)).toString().split('\n')
  return lines
    .map((line) => line.slice(line.indexOf(' ') + 1))
    .filter((frame) => frame.includes('@trade"') || frame.includes('@bookTicker"'))
}

function parseAlone(frames: readonly string[]): number {
  let parsed = 0
  for (const frame of frames) if (typeof JSON.parse(frame) === 'object') parsed++
  return parsed
}

/** What the running connector does with frames, from their bytes to messages that the producer's next request would take. */
function recordAndEncode(frames: readonly Buffer[]): number {
  let sent = 0
  const queue: OutgoingMessage[] = []
  let bytes = 0
  const sender = new RecordSender({
    step: venue,
    topics: Object.values(topics),
    names: createNames(''),
    schemaIds: new Map(Object.values(topics).map(({ name }, index) => [name, index + 1])),
    append(_topic, _partition, message) {
      sent++
      queue.push(message)
      bytes += message.key.length + (message.value?.length ?? 0) + overheadPerMessage
      if (bytes < context.config.producerBatchBytes) return
      // A request that is acknowledged lets its messages go.
      queue.splice(0, queue.length)
      bytes = 0
    },
  })
  const { signal } = new AbortController()
  const session: ConnectorSession = {
    feeds: [],
    context,
    signal,
    send: (topic, record, stamp) => sender.send(topic, record, stamp),
    lane: (topic, key, origin) => sender.lane(topic, key, origin),
    mark() {},
    saveCursor() {},
    congested: () => false,
    acknowledged: () => Promise.resolve(),
    journal: () => {
      throw new Error('a market connector has no journal')
    },
  }
  const clock = new VenueClock()
  const status = new FeedStatusWriter(session, `${venue}:${symbol}`, 1, clock)
  const quotes = new QuoteFeed(session, venue, symbol, 1, clock)
  const nothing = () => Promise.resolve({ trades: [], end: 'end' as const })
  const firstTradeSince = () => Promise.resolve(undefined)
  const trades = new TradeFeed({ session, venue, symbol, status, clock, timing: usualTiming, lastTrade: undefined, lookback: 0, staleAfter: 60_000_000, tradesFrom: nothing, firstTradeSince, malformed: () => {}, mute: () => {}, signal }) // prettier-ignore
  const feeds = new Map([['BTCUSDT', { trades, quotes }]])
  for (const frame of frames) {
    const receivedAt = context.now()
    const event = readAnyFrame(frame, receivedAt)
    if (event.kind === 'trade') {
      clock.see(event.trade.ts, event.eventTime, receivedAt)
      feeds.get(event.symbol)?.trades.live(event.trade)
    } else if (event.kind === 'quote') feeds.get(event.symbol)?.quotes.live(event.quote)
  }
  return sent
}
