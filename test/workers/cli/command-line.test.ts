import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { defineSink, defineTopology } from '../../../workers/runtime/definitions.ts'
import { command, failure, type Env } from './harness.ts'

const leaves = [
  'run',
  'check',
  'graph',
  'config',
  'migrate',
  'tail',
  'topics apply',
  'topics list',
  'schemas check',
  'schemas register',
  'dlq list',
  'dlq show',
  'dlq redrive',
  'offsets show',
  'offsets reset',
  'state show',
  'state reset',
  'replay',
]

describe('the command line', () => {
  it.each(['', 'topics', 'schemas', 'dlq', 'offsets', 'state', ...leaves])(
    '%s --help shows an example',
    async (name) => {
      const help = (await command([...name.split(' ').filter(Boolean), '--help'])).join('\n')
      expect(help).toMatch(/^Usage: npm start -- /)
      expect(help).toMatch(/Examples?:\n  .*npm start -- /)
    },
  )

  it.each([
    [['chekc'], 'unknown command chekc: did you mean check?'],
    [['topics', 'aply'], 'unknown command aply: did you mean apply?'],
    [['config', '--tabel'], "unknown option '--tabel': did you mean --table?"],
    [['check', 'crypto-intl'], 'no topology is called crypto-intl: did you mean crypto-intel?'],
    [['tail', 'market.trade.v1'], 'no topic is called market.trade.v1: did you mean market.trades.v1?'],
    [['state', 'show', 'build-candle'], 'no step is called build-candle: did you mean build-candles?'],
  ])('%j: names the nearest', async (args, message) => {
    expect(await failure(args)).toBe(message)
  })

  it.each([
    [['nothing-like-it'], /^unknown command nothing-like-it: there are: run, check, graph, /],
    [['dlq'], /^npm start -- dlq needs a command: there are: list, count, show, redrive, skip, accept$/],
    [['check', '--nothing'], /^unknown option '--nothing': see npm start -- check --help$/],
    [['run'], /^missing required argument 'topology': see npm start -- run --help$/],
    [
      ['tail', 'dlq.v1', '--from', 'then'],
      /'then' is invalid. expected earliest, latest or -N: see npm start -- tail --help$/,
    ],
    [
      ['offsets', 'reset', 'build-candles'],
      /^required option '--to <place>' not specified: see npm start -- offsets reset --help$/,
    ],
    [['offsets', 'reset', 'build-candles', '--to', '5'], /^an offset is of one partition: name it with --partition/],
    [
      ['offsets', 'reset', 'build-candles', '--to', '5', '--partition', '9'],
      /^market.trades.v1 has no partition 9: there are 0 to 3$/,
    ],
    [['offsets', 'show', 'evm'], /^evm is a connector: it reads no topic: /],
    [['state', 'show', 'timescale-trades'], /^timescale-trades is a sink: its state is its tables: /],
    [['replay', '--to', '1'], /'1' is invalid. expected a time such as 2026-11-20T10:00:00Z, or microseconds/],
    [
      ['replay', '--from', '2026-11-20T10:00:00Z'],
      /^required option '--to <time>' not specified: see npm start -- replay --help$/,
    ],
    [['dlq', 'redrive'], /^say which dead letters: their ids, --step or --all$/],
    [['dlq', 'redrive', 'x', '--all'], /^say which dead letters/],
    [['run', 'crypto-intel', '--step', 'build-candle'], /no step is called build-candle; did you mean build-candles\?/],
  ])('%j: says in one line what is wrong', async (args, message) => {
    const said = await failure(args)
    expect(said).toMatch(message)
    expect(said.split('\n')).toHaveLength(1)
  })

  it('asks only for the servers that the chosen steps need', async () => {
    const missing = async (...args: string[]) => (await failure(args)).match(/[A-Z_]+(?=: expected)/g)
    expect(await missing('run', 'crypto-intel', '--step', 'binance-spot')).toEqual([
      'KAFKA_BROKERS',
      'SCHEMA_REGISTRY_URL',
    ])
    expect(await missing('run', 'crypto-intel', '--step', 'build-candles')).toEqual([
      'KAFKA_BROKERS',
      'REDIS_URL',
      'SCHEMA_REGISTRY_URL',
    ])
    expect(await missing('run', 'crypto-intel', '--step', 'timescale-trades')).toEqual([
      'DATABASE_URL',
      'KAFKA_BROKERS',
      'SCHEMA_REGISTRY_URL',
    ])
    expect(await missing('migrate')).toEqual(['DATABASE_URL'])
    expect(await missing('offsets', 'show', 'timescale-trades')).toEqual(['DATABASE_URL', 'KAFKA_BROKERS'])
  })

  it.each([
    ['KAFKA_BROKERS', ['topics', 'list'], /^Connecting to Kafka at 127.0.0.1:1: connect ECONNREFUSED .*KAFKA_BROKERS/],
    ['SCHEMA_REGISTRY_URL', ['schemas', 'register'], /the schema registry at 127.0.0.1:1 does not answer/],
    ['DATABASE_URL', ['migrate'], /^connecting to the database at 127.0.0.1:1\/x: connect ECONNREFUSED .*DATABASE_URL/],
    [
      'REDIS_URL',
      ['state', 'show', 'build-candles'],
      /^Connecting to Redis at 127.0.0.1:1: connect ECONNREFUSED .*REDIS_URL/,
    ],
  ])('says so in one line when %s leads nowhere', async (variable, args, message) => {
    const schemes = {
      KAFKA_BROKERS: '',
      SCHEMA_REGISTRY_URL: 'http://',
      DATABASE_URL: 'postgres://',
      REDIS_URL: 'redis://',
    }
    const scheme = Object.entries(schemes).find(([name]) => name === variable)?.[1]
    const said = await failure(args, {
      env: { [variable]: `${scheme}127.0.0.1:1${variable === 'DATABASE_URL' ? '/x' : ''}` },
    })
    expect(said).toMatch(message)
    expect(said.split('\n')).toHaveLength(1)
  })
})

describe('check', () => {
  it('says what it has checked', async () => {
    expect(await command(['check'])).toEqual([
      expect.stringMatching(/^crypto-intel: \d+ steps over \d+ topics, no faults$/),
    ])
  })

  it('lists every fault of a topology, as run does before it starts', async () => {
    const sink = defineSink({ name: 'lonely', input: topics.marketTrades, write: async () => {} })
    const topologies = [defineTopology('broken', [sink, sink])]
    const faults =
      'Checking the topology broken: 2 faults\n  2 steps are called lonely\n' +
      '  market.trades.v1 is read by lonely and lonely, and nothing writes it'
    expect(await failure(['check', 'broken'], { topologies })).toBe(faults)
    expect(await failure(['run', 'broken'], { topologies })).toBe(faults)
  })
})

describe('graph', () => {
  it('prints a Mermaid flowchart', async () => {
    expect((await command(['graph']))[0]).toBe('flowchart LR')
  })
})

describe('config', () => {
  it('prints effective values without secrets', async () => {
    const env = { DATABASE_URL: 'postgres://user:secret@db:5432/intel', THREADS: '3' }
    const lines = await command(['config'], { env })
    expect(lines).toContainEqual(expect.stringMatching(/^THREADS +3$/))
    expect(lines.join('\n')).not.toContain('secret')
    const [text] = [await command(['config', '--json'], { env })]
    expect(JSON.parse(text.join(''))).toMatchObject({ THREADS: '3', LOG_LEVEL: 'info' })
  })

  it('prints the table of variables as Markdown', async () => {
    const lines = await command(['config', '--table'])
    expect(lines[0]).toBe('| Variable | What it is | Default |')
    expect(lines).toContainEqual(
      expect.stringMatching(/^\| `DATABASE_URL` or `DATABASE_URL_FILE` \| .* \| required \|$/),
    )
  })

  it('reports every wrong variable', async () => {
    expect(await failure(['config'], { env: { THREADS: 'x', LOG_LEVEL: 'loud' } })).toMatch(
      /2 faults\n  LOG_LEVEL: .*\n  THREADS: /,
    )
  })
})

describe('the entry point', () => {
  const main = fileURLToPath(new URL('../../../workers/main.ts', import.meta.url))
  const watchFile = fileURLToPath(new URL('../../../watch.example.yaml', import.meta.url))
  const nowhere = '127.0.0.1:1'
  const servers = { KAFKA_BROKERS: nowhere, SCHEMA_REGISTRY_URL: `http://${nowhere}`, REDIS_URL: `redis://${nowhere}` }
  const run = (args: string[], env: Env = {}) => spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env })

  it('exits with 0 and writes the result to stdout', () => {
    expect(run(['check'])).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('no faults') })
  })

  it('exits with 1 and writes one error to stderr', () => {
    expect(run(['chekc'])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'unknown command chekc: did you mean check?\n',
    })
  })

  it('says which variable to change where the port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? String(address?.port) : ''
    const env = { ...servers, WATCH_FILE: watchFile, METRICS_PORT: port, METRICS_HOST: '127.0.0.1' }
    const { status, stderr } = run(['run', 'crypto-intel', '--step', 'build-candles'], env)
    server.close()
    expect({ status, lines: stderr.trimEnd().split('\n').length }).toEqual({ status: 1, lines: 1 })
    expect(stderr).toContain(`127.0.0.1:${port}: set METRICS_PORT to a free port`)
  })

  it('says what to do where there is no watch file, and where no broker answers', () => {
    const args = ['run', 'crypto-intel', '--step', 'build-candles']
    expect(run(args, { ...servers, WATCH_FILE: 'nowhere.yaml' }).stderr).toMatch(
      /nowhere.yaml.*set WATCH_FILE, or copy/,
    )
    const env = { ...servers, WATCH_FILE: watchFile, METRICS_PORT: '0', METRICS_HOST: '127.0.0.1' }
    expect(run(args, env)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^Connecting to Kafka at 127.0.0.1:1: /),
    })
  })
})
