/** The demo's command line. */
import { Command, InvalidArgumentError } from 'commander'

export interface DemoOptions {
  /** Seconds to run after everything is up; undefined: until Ctrl-C. */
  readonly for: number | undefined
  /** One JSON object as the last line of stdout instead of the live view. */
  readonly json: boolean
  readonly seed: number
  readonly replay: string | undefined
  readonly speed: number | 'max'
  readonly live: boolean
  /** Worker processes: by kind of step, or one a step where the machine has room. */
  readonly perStep: boolean
  readonly tradesPerSecond: number
}

/** @returns the options; ends the process with a clear line where they are wrong. */
export function parseOptions(argv: readonly string[]): DemoOptions {
  const command = new Command('demo')
    .description(
      'Runs the whole pipeline on this machine with real servers, fed by a simulated exchange and a local chain.',
    )
    .option('--for <seconds>', 'run so long after everything is up, check what came out, and end', positive)
    .option('--json', 'print one JSON object as the last line instead of the live view', false)
    .option('--seed <number>', 'chooses markets, traders, planted events and decoys', whole, 1)
    .option('--replay <file>', 'feed a recorded Binance spot capture instead, and end when it does')
    .option('--speed <times>', 'how fast to replay: a number, or max', speed, 1)
    .option('--live', 'connect to Binance and to the nodes of EVM_RPC_URLS, with WATCH_FILE', false)
    .option('--per-step', 'one process per step even where the machine is small', false)
    .option('--trades-per-second <number>', 'of all symbols together', positive, 150)
    .addHelpText(
      'after',
      '\nExamples:\n  npm run demo\n  npm run demo -- --for 60 --json\n  npm run demo -- --replay capture.gz --speed max --json',
    )
    .showHelpAfterError('(npm run demo -- --help says what there is)')
    .parse([...argv], { from: 'user' })
  const options = command.opts<Partial<DemoOptions>>()
  if (options.live === true && options.replay !== undefined) command.error('choose either --live or --replay')
  return {
    for: options.for,
    json: options.json ?? false,
    seed: options.seed ?? 1,
    replay: options.replay,
    speed: options.speed ?? 1,
    live: options.live ?? false,
    perStep: options.perStep ?? false,
    tradesPerSecond: options.tradesPerSecond ?? 150,
  }
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('expected a number above 0.')
  return value
}

function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected a whole number.')
  return Number(text)
}

const speed = (text: string): number | 'max' => (text === 'max' ? 'max' : positive(text))
