/** Serves a recorded capture as an exchange: its frames in order and time, REST as of the replay's position. */
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import type { Faults } from './faults.ts'
import { ledgerOf } from './exchange.ts'
import { RecordedMarket } from './recorded-market.ts'
import { readRecording } from './recording.ts'
import type { RecordedLine } from './recording.ts'
import { VenueServer } from './server.ts'
import type { ServerOptions, ServerStats } from './server.ts'
import type { TradeRow } from './trade-log.ts'
import { venueSymbol } from './venue.ts'
import type { LedgerEntry, Venue } from './venue.ts'

export interface ReplayOptions extends ServerOptions {
  readonly file: string
  /** Times the recorded pace, or as fast as the clients read. */
  readonly speed: number | 'max'
  /** The replay starts when subscriptions have not changed for so long; 250 where it is not given. */
  readonly settleMs?: number
}

export interface Replay {
  readonly restUrl: string
  readonly wsUrl: string
  /** BASE-QUOTE. */
  readonly symbols: readonly string[]
  /** What the recording holds; trades of all symbols together. */
  readonly recorded: { readonly frames: number; readonly trades: number; readonly seconds: number }
  readonly faults: Faults
  /** Resolves when every frame was sent and taken, or at `stop`; rejects where the recording is malformed. */
  readonly ended: Promise<void>
  /** Frames sent so far. */
  position(): number
  /** What was traded up to the present position. */
  ledger(): readonly LedgerEntry[]
  tradesOf(symbol: string, fromId: number, toId: number): readonly TradeRow[]
  stats(): ServerStats
  stop(): Promise<void>
}

/** Frames sent between two looks at how far the clients have come. */
const BATCH = 256
const MAX_BACKLOG = 262_144
const POLL_MS = 20

/**
 * Starts a replay on 127.0.0.1; it waits for its first subscriber, and while there is none.
 * @throws Error where the file cannot be read, is malformed or holds no frame, or the port is taken
 */
export async function startReplay(options: ReplayOptions): Promise<Replay> {
  const survey = await surveyRecording(options.file)
  const player = new Player(survey)
  const server = new VenueServer(player.venue, 'wait', options)
  await server.start()
  const stopping = new AbortController()
  const ended = player.play(server, options, stopping.signal)
  // Whoever awaits `ended` sees the error; stopping early is none.
  ended.catch(() => undefined)
  return {
    restUrl: `http://${server.address}`,
    wsUrl: `ws://${server.address}`,
    symbols: player.venue.markets().map(({ info }) => info.pair),
    recorded: { frames: survey.frames, trades: survey.trades, seconds: survey.seconds },
    faults: server.faults,
    ended,
    position: () => player.position,
    ledger: () => ledgerOf(player.venue, new Map()),
    tradesOf: (symbol, fromId, toId) => player.venue.market(venueSymbol(symbol))?.log.rows(fromId, toId) ?? [],
    stats: () => server.stats(),
    async stop() {
      stopping.abort()
      await server.stop()
    },
  }
}

interface Survey {
  readonly markets: ReadonlyMap<string, RecordedMarket>
  readonly frames: number
  readonly trades: number
  readonly seconds: number
  /** Recorder's time of the first line, milliseconds. */
  readonly startsAt: number
  readonly firstEventTime: number
}

/** Reads the recording once for its symbols, its counts and the snapshots that start the books. */
async function surveyRecording(file: string): Promise<Survey> {
  const firstTrades = new Map<string, number>()
  const snapshots: (RecordedLine & { kind: 'snapshot' })[] = []
  const symbols = new Set<string>()
  let [frames, trades, startsAt, endsAt, firstEventTime] = [0, 0, 0, 0, 0]
  for await (const line of readRecording(file)) {
    startsAt ||= line.at
    endsAt = line.at
    if (line.kind === 'snapshot') {
      snapshots.push(line)
      continue
    }
    frames++
    firstEventTime ||= line.eventTime ?? 0
    symbols.add(line.symbol)
    if (!line.trade) continue
    trades++
    if (!firstTrades.has(line.symbol)) firstTrades.set(line.symbol, line.trade.t)
  }
  if (frames === 0) throw new Error(`${file} holds no frame`)
  const markets = new Map([...symbols].map((name) => [name, new RecordedMarket(name, firstTrades.get(name) ?? 1)]))
  const [only] = markets.values()
  // A snapshot does not name its symbol.
  if (markets.size === 1 && only && snapshots[0]) only.snapshot(snapshots[0].snapshot)
  return { markets, frames, trades, seconds: (endsAt - startsAt) / 1_000, startsAt, firstEventTime }
}

class Player {
  readonly venue: Venue
  position = 0
  private readonly survey: Survey
  private eventTime: number

  constructor(survey: Survey) {
    this.survey = survey
    this.eventTime = survey.firstEventTime
    this.venue = {
      now: () => this.eventTime,
      market: (symbol) => survey.markets.get(symbol),
      markets: () => [...survey.markets.values()],
    }
  }

  /** Sends the recording; ends early, without an error, when `signal` aborts. */
  async play(server: VenueServer, options: ReplayOptions, signal: AbortSignal): Promise<void> {
    const { speed, file } = options
    await settled(server, options.settleMs ?? 250, signal)
    if (signal.aborted) return
    let pace = this.startPace(speed, this.survey.startsAt)
    let batch: RecordedLine[] = []
    for await (const line of readRecording(file)) {
      const wait = pace(line.at)
      if (wait > 0 || batch.length === BATCH) {
        await this.send(server, batch)
        batch = []
        if (wait > 0) await sleep(wait, undefined, { signal }).catch(() => undefined)
        if (signal.aborted) return
        if (server.hub.streams().length === 0) {
          await settled(server, options.settleMs ?? 250, signal)
          pace = this.startPace(speed, line.at)
        }
      }
      batch.push(line)
    }
    await this.send(server, batch)
    await server.hub.drained(0)
  }

  /** Milliseconds until a recorded time is due. */
  private startPace(speed: number | 'max', from: number): (at: number) => number {
    if (speed === 'max') return () => 0
    const startedAt = performance.now()
    return (at) => (at - from) / speed - (performance.now() - startedAt)
  }

  private async send({ hub }: VenueServer, lines: readonly RecordedLine[]): Promise<void> {
    hub.batch(() => {
      for (const line of lines) {
        if (line.kind === 'snapshot') continue
        this.position++
        this.eventTime = line.eventTime ?? this.eventTime
        const market = this.survey.markets.get(line.symbol)
        if (line.trade) market?.trade(line.trade)
        if (line.depth) market?.update(line.depth)
        hub.publish(line.stream, () => line.payload)
      }
    })
    await hub.drained(MAX_BACKLOG)
    // Lets REST requests and pings through between batches.
    await turn()
  }
}

/** Waits until somebody listens and subscriptions have been the same for a while. */
async function settled(server: VenueServer, settleMs: number, signal: AbortSignal): Promise<void> {
  let streams = ''
  let since = performance.now()
  while (!signal.aborted) {
    const current = server.hub.streams().join()
    if (current !== streams) [streams, since] = [current, performance.now()]
    if (current !== '' && performance.now() - since >= settleMs) return
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined)
  }
}
