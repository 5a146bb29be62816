/** A fatal error ends its unit alone: nothing of it is committed until it is tried again, nothing is lost, and all others go on. */
import { createServer, request, type Server } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import { timescaleTrades } from '../../../sinks/timescale-trades.ts'
import { readDeadLetters } from '../../../workers/cli/dead-letter-log.ts'
import { acceptRefusals } from '../../../workers/cli/stored-offsets.ts'
import { withInstallation } from '../../../workers/cli/servers.ts'
import { Encoder, schemaText } from '../../../workers/runtime/codec.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { connectDatabase } from '../../../workers/runtime/database.ts'
import type { Step } from '../../../workers/runtime/definitions.ts'
import { placeHeaders } from '../../../workers/runtime/headers.ts'
import type { Installation } from '../../../workers/runtime/installation.ts'
import { Partitioner } from '../../../workers/runtime/kafka/client.ts'
import { sequencePosition } from '../../../workers/runtime/position.ts'
import { runSteps } from '../../../workers/runtime/run.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'
import { eventually, freshDatabase, freshPrefix, servers, type FreshDatabase } from '../../support/servers.ts'
import { command, type Env } from '../cli/harness.ts'
import { noon, trade } from '../records.ts'
import { buggy } from './poison-steps-buggy.ts'
import { mended } from './poison-steps-mended.ts'

const topic = topics.marketTrades
const partitionOf = new Partitioner(topic)
const [symbol, other] = ['BTC-USDT', 'ETH-USDT']
const key = (of: string): string => `binance-spot:${of}`
const slow = { timeout: 90_000 }
const waiting = { timeoutMs: 40_000 }

let own: FreshDatabase
let common: Env
beforeAll(async () => {
  const { brokers, registryUrl, redisUrl } = await servers()
  own = await freshDatabase()
  common = { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, REDIS_URL: redisUrl, DATABASE_URL: own.url, THREADS: '1', CHECKPOINT_MS: '50' } // prettier-ignore
  await command(['migrate'], { env: common })
})
afterAll(() => own?.drop())

async function query(sql: string): Promise<void> {
  const database = await connectDatabase({ url: own.url, connections: 1 })
  await database.query(sql)
  await database.close()
}

/** Topics of a test's own, and what it may do with them. */
async function prepared(more: Env = {}) {
  const env = { ...common, ...more, NAMESPACE: freshPrefix().replace(/-$/, '') }
  await query('TRUNCATE trades, sink_offsets, sink_positions, sink_left_out')
  await command(['topics', 'apply'], { env: { ...env, ...common } })
  await command(['schemas', 'register'], { env: { ...env, ...common } })
  const installed = <T>(work: (servers: Installation) => Promise<T>): Promise<T> =>
    withInstallation({ ...loadConfig(env), logLevel: 'silent' }, WatchSchema.parse({}), {}, work, 'alone')
  const append = (of: string, from: number, count: number, schemaId?: number): Promise<void> =>
    withInstallation(
      { ...loadConfig({ ...env, ...common }), logLevel: 'silent' },
      WatchSchema.parse({}),
      {},
      async (to) => {
        const encoder = new Encoder(schemaId === undefined ? await to.registry.registerAll([topic]) : new Map([[topic.name, schemaId]])) // prettier-ignore
        const messages = Array.from({ length: count }, (_, index) => {
          const number = from + index
          const record = trade(number, noon + number * 1_000, 100, { symbol: of, id: `${of}:${number}` })
          const headers = Object.fromEntries(Object.entries(placeHeaders({ origin: key(of), position: sequencePosition(number) }))) // prettier-ignore
          return { partition: partitionOf.of(key(of)), key: key(of), value: Buffer.from(encoder.encode(topic, record)), headers } // prettier-ignore
        })
        await eventually(async () => (await to.producer()).send({ topic: to.names.topic(topic), messages, acks: -1 }))
      },
    )
  const letters = (): Promise<string[]> =>
    installed(async (to) => {
      const found: string[] = []
      await readDeadLetters(to, ({ letter: { step, code, offset } }) => void found.push(`${step} ${code} ${offset}`))
      return found
    })
  return { env, installed, append, letters }
}

const failedUnits = async ({ context }: Installation): Promise<number> =>
  (await context.metrics.failedUnits.get()).values.reduce((sum, { value }) => sum + value, 0)
const tradesOf = async (servers: Installation, of: string): Promise<number> =>
  Number((await (await servers.database()).query('SELECT count(*) AS n FROM trades WHERE symbol = $1', [of])).rows[0]?.['n']) // prettier-ignore
const offsetOf = async (servers: Installation, step: Step, of = symbol): Promise<number> =>
  (await (await servers.store()).offset({ step: step.name, topic: topic.name, partition: partitionOf.of(key(of)) })) ?? 0 // prettier-ignore

describe('a sink', () => {
  it('whose database fails loses nothing of the partition, and the other partitions go on', slow, async () => {
    const { installed, append, letters } = await prepared()
    await installed(async (servers) => {
      const database = await servers.database()
      await database.query(`CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'made up' USING ERRCODE = 'XX000'; END $$`)
      // It fails at the commit, when all of the batch is written.
      await database.query(`CREATE CONSTRAINT TRIGGER fault AFTER INSERT ON trades DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.symbol = '${symbol}') EXECUTE FUNCTION fault()`)
      await runSteps([timescaleTrades], servers)
      await append(symbol, 1, 5)
      await append(other, 1, 5)
      await eventually(async () => expect(await failedUnits(servers)).toBe(1), waiting)
      for (let number = 6; number <= 20; number++) await append(symbol, number, 1)
      await eventually(async () => expect(await tradesOf(servers, other)).toBe(5), waiting)
      expect((await database.query('SELECT FROM sink_offsets WHERE partition = $1', [partitionOf.of(key(symbol))])).rowCount).toBe(0) // prettier-ignore
      await database.query('DROP TRIGGER fault ON trades; DROP FUNCTION fault()')
      await eventually(async () => expect(await tradesOf(servers, symbol)).toBe(20), waiting)
      await eventually(async () => expect(await failedUnits(servers)).toBe(0), waiting)
    })
    expect(await letters()).toEqual([])
  })

  it('of whose batch not one row is taken leaves nothing out, until a person accepts it', slow, async () => {
    const { installed, append, letters } = await prepared()
    const batch = 40
    await append('SOL-USDT', 1, batch)
    const partition = partitionOf.of(key('SOL-USDT'))
    await installed(async (servers) => {
      const database = await servers.database()
      await database.query(`ALTER TABLE trades ADD CONSTRAINT none CHECK (symbol <> 'SOL-USDT')`)
      await runSteps([timescaleTrades], servers)
      await eventually(async () => expect(await failedUnits(servers)).toBe(1), waiting)
      expect(await letters()).toEqual([])
      await acceptRefusals({ step: timescaleTrades, topic, partition }, batch, servers)
      await eventually(async () => expect(await letters()).toHaveLength(batch), waiting)
      await database.query('ALTER TABLE trades DROP CONSTRAINT none')
    })
  })
})

describe('a processor', () => {
  it('with a bug buries no stream: it rests, and the mended step processes every record', slow, async () => {
    const { installed, append, letters } = await prepared()
    await append(symbol, 1, 10)
    await installed(async (servers) => {
      await runSteps([mended], servers)
      await eventually(async () => expect(await offsetOf(servers, mended)).toBe(10), waiting)
    })
    // In parts, as a stream comes: each is refused, and what the first ones leave out is remembered.
    for (let part = 0; part < 3; part++) await append(symbol, 11 + part * 60, 60)
    await installed(async (servers) => {
      await runSteps([buggy], servers)
      await eventually(async () => expect(await failedUnits(servers)).toBe(1), waiting)
      expect(await offsetOf(servers, buggy)).toBeLessThan(110)
    })
    expect((await letters()).length).toBeLessThan(100)
    await installed(async (servers) => {
      await runSteps([mended], servers)
      await eventually(async () => expect(await offsetOf(servers, mended)).toBe(190), waiting)
    })
  })

  it('whose outputs the brokers refuse goes on from the checkpoint before', slow, async () => {
    const { installed, append } = await prepared()
    await append(symbol, 1, 10)
    await installed(async (servers) => {
      await runSteps([mended], servers)
      await eventually(async () => expect(await offsetOf(servers, mended)).toBe(10), waiting)
      const admin = await servers.admin()
      const output = servers.names.topic(topics.patternsMatches)
      const limit = (bytes: string) =>
        admin.alterConfigs({
          validateOnly: false,
          resources: [{ type: 2, name: output, configEntries: [{ name: 'max.message.bytes', value: bytes }] }],
        })
      await limit('100')
      await append(symbol, 11, 10)
      await eventually(async () => expect(await failedUnits(servers)).toBe(1), waiting)
      expect(await offsetOf(servers, mended)).toBe(10)
      await limit('1048588')
      await eventually(async () => expect(await offsetOf(servers, mended)).toBe(20), waiting)
      await eventually(async () => expect(await failedUnits(servers)).toBe(0), waiting)
    })
  })
})

describe('a registry that was emptied', () => {
  let door: Server
  let emptied = false
  beforeAll(async () => {
    const { registryUrl } = await servers()
    // The real one, or what it would answer if it held nothing.
    door = createServer((incoming, outgoing) => {
      const { url = '/', method = 'GET', headers } = incoming
      if (emptied) return outgoing.writeHead(404, { 'content-type': 'application/json' }).end('{"error_code":40403}')
      const forward = request(`${registryUrl.replace(/\/$/, '')}${url}`, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(outgoing)
      })
      incoming.pipe(forward)
    })
    await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => door.close())

  it('makes no record unreadable: the step rests until it is back', slow, async () => {
    const address = door.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const { installed, append, letters } = await prepared({ SCHEMA_REGISTRY_URL: `http://127.0.0.1:${port}` })
    await installed(async (servers) => {
      await runSteps([mended, timescaleTrades], servers)
      await append('ADA-USDT', 1, 1)
      await eventually(async () => expect(await offsetOf(servers, mended, 'ADA-USDT')).toBe(1), waiting)
      emptied = true
      await append('ADA-USDT', 2, 3, await newVersion(servers))
      await eventually(async () => expect(await failedUnits(servers)).toBe(2), waiting)
      emptied = false
      await eventually(async () => expect(await offsetOf(servers, mended, 'ADA-USDT')).toBe(4), waiting)
      await eventually(async () => expect(await tradesOf(servers, 'ADA-USDT')).toBe(4), waiting)
    })
    expect(await letters()).toEqual([])
  })

  /** Registers the same schema with another word of documentation. @returns its id */
  async function newVersion({ names }: Installation): Promise<number> {
    const { registryUrl } = await servers()
    const schema: object = { ...JSON.parse(schemaText(topic.name)), doc: 'a newer version' }
    const answer = await fetch(`${registryUrl}/subjects/${names.subject(topic)}/versions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ schema: JSON.stringify(schema), schemaType: 'AVRO' }),
    })
    const body: unknown = await answer.json()
    return typeof body === 'object' && body !== null && 'id' in body ? Number(body.id) : 0
  }
})
