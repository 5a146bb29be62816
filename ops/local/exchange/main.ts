/** Runs the exchange alone, or replays a recording: node ops/local/exchange/main.ts --help. */
import { parseArgs } from 'node:util'
import { startExchange } from './exchange.ts'
import { startReplay } from './replay.ts'

const USAGE = `Speaks Binance spot's public protocol on 127.0.0.1.

  --seed TEXT     decides the market (default 1)
  --port N        default: a free one
  --rate N        trades per second of all symbols together (default 150)
  --history S     seconds of trades before the start (default 600)
  --symbols A,B   default: all twenty
  --crash S       plants a flash crash S seconds after the start
  --silence S     plants a silent feed S seconds after the start
  --replay FILE   serves a recording instead
  --speed N|max   of the replay (default 1)`

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    port: { type: 'string', default: '0' },
    rate: { type: 'string', default: '150' },
    history: { type: 'string', default: '600' },
    symbols: { type: 'string' },
    crash: { type: 'string' },
    silence: { type: 'string' },
    replay: { type: 'string' },
    speed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) console.log(USAGE)
else {
  await run().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  })
}

async function run(): Promise<void> {
  const port = number('port', values.port)
  const venue = values.replay
    ? await startReplay({
        file: values.replay,
        port,
        speed: values.speed === 'max' ? 'max' : number('speed', values.speed),
      })
    : await startSimulator(port)
  console.log(`REST ${venue.restUrl}\nWS   ${venue.wsUrl}\n${venue.symbols.join(' ')}`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void venue.stop())
}

async function startSimulator(port: number) {
  const exchange = await startExchange({
    seed: values.seed,
    port,
    tradesPerSecond: number('rate', values.rate),
    historyS: number('history', values.history),
    ...(values.symbols === undefined ? {} : { symbols: values.symbols.split(',') }),
    plants: {
      ...(values.crash === undefined ? {} : { flashCrashAtS: number('crash', values.crash) }),
      ...(values.silence === undefined ? {} : { silenceAtS: number('silence', values.silence) }),
    },
  })
  exchange.arm()
  return exchange
}

function number(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${name}: expected a number, got "${text}"`)
  return value
}
