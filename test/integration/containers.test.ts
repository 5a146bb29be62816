/** The market line on Redpanda with its registry, TimescaleDB and Redis in containers; needs a container engine. */
import { execFileSync } from 'node:child_process'
import { GenericContainer, Wait, type StartedTestContainer } from 'testcontainers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { z } from 'zod'
import { checkCandles, checkTrades } from '../../ops/local/demo/checks.ts'
import { startExchange, type Exchange } from '../../ops/local/exchange/exchange.ts'
import { freePort } from '../../ops/local/ports.ts'
import { startTestPipeline, type TestPipeline } from '../support/pipeline.ts'

/** The images that docker compose runs. */
const { services } = z
  .object({ services: z.record(z.string(), z.object({ image: z.string().optional() }).loose()) })
  .parse(parse(readFileSync('docker-compose.yml', 'utf8')))
const imageOf = (service: string): string => services[service]?.image ?? ''

const groups = [
  { name: 'connectors', steps: ['binance-spot'] },
  { name: 'processors', steps: ['build-candles'] },
  { name: 'sinks', steps: ['timescale-trades', 'timescale-candles'] },
]
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe.skipIf(!engineAnswers())('market line in containers (needs a container engine)', () => {
  const containers: StartedTestContainer[] = []
  let exchange: Exchange
  let pipeline: TestPipeline

  beforeAll(async () => {
    const brokerPort = await freePort()
    const [redpanda, timescale, redis] = await Promise.all([
      startRedpanda(brokerPort),
      new GenericContainer(imageOf('timescaledb'))
        .withEnvironment({ POSTGRES_PASSWORD: 'test', POSTGRES_DB: 'crypto_intel' })
        .withExposedPorts(5432)
        .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
        .start(),
      new GenericContainer(imageOf('redis'))
        .withCommand(['redis-server', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'])
        .withExposedPorts(6379)
        .start(),
    ])
    containers.push(redpanda, timescale, redis)
    exchange = await startExchange({ seed: 3, symbols: ['BTCUSDT', 'ETHUSDT'], tradesPerSecond: 50, historyS: 30 })
    pipeline = await startTestPipeline({
      groups,
      servers: {
        brokers: `127.0.0.1:${brokerPort}`,
        registryUrl: `http://${redpanda.getHost()}:${redpanda.getMappedPort(8081)}`,
        databaseUrl: `postgres://postgres:test@${timescale.getHost()}:${timescale.getMappedPort(5432)}/crypto_intel`,
        redisUrl: `redis://${redis.getHost()}:${redis.getMappedPort(6379)}`,
      },
      watch: { venues: { 'binance-spot': { symbols: exchange.symbols, lookback: '10m' } } },
      env: { BINANCE_SPOT_REST_URL: exchange.restUrl, BINANCE_SPOT_WS_URL: exchange.wsUrl },
    })
  }, 600_000)
  afterAll(async () => {
    await exchange?.stop()
    await pipeline?.stop()
    await Promise.all(containers.map((container) => container.stop()))
  }, 120_000)

  it('brings every trade once to a hypertable', { timeout: 120_000 }, async () => {
    await pause(5_000)
    exchange.pause('trades')
    await pause(2_500)
    exchange.pause('all')
    await pipeline.settled(60_000)
    expect(await checkTrades(exchange, pipeline.tables)).toMatchObject({ ok: true })
    expect(await checkCandles(pipeline.tables)).toMatchObject({ ok: true })
    const hypertables = await pipeline.tables.query<{ name: string }>(
      'SELECT hypertable_name AS name FROM timescaledb_information.hypertables',
    )
    expect(hypertables.map(({ name }) => name)).toContain('trades')
  })
})

function startRedpanda(brokerPort: number): Promise<StartedTestContainer> {
  const addresses = (host: string, external: number): string => `internal://${host}:9092,external://${host}:${external}`
  return new GenericContainer(imageOf('redpanda'))
    .withCommand(
      ['redpanda', 'start', '--mode', 'dev-container', '--smp', '1', '--memory', '1G'].concat(
        ['--kafka-addr', addresses('0.0.0.0', 19092), '--advertise-kafka-addr', addresses('127.0.0.1', brokerPort)],
        ['--schema-registry-addr', '0.0.0.0:8081'],
      ),
    )
    .withExposedPorts({ container: 19092, host: brokerPort }, 8081)
    .withWaitStrategy(Wait.forHttp('/subjects', 8081))
    .start()
}

function engineAnswers(): boolean {
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 })
    return true
  } catch {
    return false
  }
}
