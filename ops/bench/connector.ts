/** Connector: frames a second from text to record to bytes on the recorded capture, beside bare JSON.parse of the frames. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { readFrame } from '../../connectors/binance-spot.ts'
import { FeedStatusWriter } from '../../connectors/market/feed-status.ts'
import { QuoteFeed } from '../../connectors/market/quote-feed.ts'
import { TradeFeed } from '../../connectors/market/trade-feed.ts'
import { usualTiming, VenueClock } from '../../connectors/market/venue.ts'
import { topics } from '../../schemas/topics.ts'
import { Encoder } from '../../workers/runtime/codec.ts'
import { loadConfig } from '../../workers/runtime/config.ts'
import { createContext } from '../../workers/runtime/context.ts'
import type { ConnectorSession } from '../../workers/runtime/definitions.ts'
import { placeHeaders, type Headers } from '../../workers/runtime/headers.ts'
import { Partitioner } from '../../workers/runtime/kafka/client.ts'
import { newTraceparent } from '../../workers/runtime/trace.ts'
import { WatchSchema } from '../../workers/runtime/watch.ts'
import { projectFolder } from '../local/paths.ts'
import { cpuSeconds, figure, type BenchOptions, type Figure } from './report.ts'

const capture = join(projectFolder, '..', 'shared', 'fixtures', 'market', 'binance-spot', 'btcusdt-20240808.gz')
const venue = 'binance-spot'
const symbol = 'BTC-USDT'
const context = createContext(loadConfig({ LOG_LEVEL: 'silent' }, { require: [] }), WatchSchema.parse({}), 'bench')

export async function benchConnector({ say, rounds = 9 }: BenchOptions): Promise<Figure[]> {
  if (!existsSync(capture)) {
    say(`skipped: the recorded capture is not here (${capture})`)
    return []
  }
  const frames = readFrames()
  say(`${frames.length} recorded frames of trades and quotes`)
  const [ours, parse]: [number[], number[]] = [[], []]
  for (let round = 0; round <= rounds; round++) {
    const rates = [ours, parse].map((rates) => ({ rates, work: rates === ours ? recordAndEncode : parseAlone }))
    for (const { rates: list, work } of rates) {
      const started = process.threadCpuUsage()
      const done = work(frames)
      const perSecond = frames.length / cpuSeconds(started)
      if (done < frames.length * 0.9) throw new Error(`only ${done} of ${frames.length} frames became records`)
      if (round > 0) list.push(perSecond)
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

interface Sent {
  readonly partition: number
  readonly key: string
  readonly value: Buffer
  readonly headers: Headers
}

/** What runFeeds does with a frame, and the session with a record, without the network. */
function recordAndEncode(frames: readonly string[]): number {
  const sent: Sent[] = []
  const encoder = new Encoder(new Map(Object.values(topics).map(({ name }, index) => [name, index + 1])))
  const partitioners = new Map(Object.values(topics).map((topic) => [topic.name, new Partitioner(topic)]))
  const { signal } = new AbortController()
  const session: ConnectorSession = {
    feeds: [],
    context,
    signal,
    send(topic, record, stamp) {
      const key = topic.key(record)
      const partition = partitioners.get(topic.name)?.of(key) ?? 0
      sent.push({
        partition,
        key,
        value: encoder.encode(topic, record),
        headers: { ...placeHeaders(stamp), traceparent: newTraceparent() },
      })
    },
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
  const trades = new TradeFeed({ session, venue, symbol, status, clock, timing: usualTiming, lastTrade: undefined, lookback: 0, staleAfter: 60_000_000, tradesFrom: nothing, firstTradeSince, mute: () => {}, signal }) // prettier-ignore
  for (const frame of frames) {
    const event = readFrame(frame, context.now())
    if (event.kind === 'trade') {
      clock.see(event.trade.ts)
      trades.live(event.trade)
    } else if (event.kind === 'quote') quotes.live(event.quote)
  }
  return sent.length
}
