import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { describeConfig, loadConfig, readSecret, redacted, type Env } from '../../../workers/runtime/config.ts'
import { FatalError } from '../../../workers/runtime/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'crypto-intel-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

const servers = {
  KAFKA_BROKERS: 'kafka-1:9092, kafka-2:9093',
  SCHEMA_REGISTRY_URL: 'https://reader:hidden@registry:8081/apis/ccompat',
  DATABASE_URL: 'postgres://intel:hidden@db:5432/intel?sslmode=require',
  REDIS_URL: 'rediss://:hidden@cache:6380/2',
}

function faultsOf(read: () => unknown): readonly string[] {
  try {
    read()
  } catch (error) {
    if (error instanceof FatalError) return error.details
    throw error
  }
  return []
}
const faults = (env: Env, require?: Parameters<typeof loadConfig>[1]) => faultsOf(() => loadConfig(env, require))

describe('loadConfig', () => {
  it('needs nothing but the four servers', () => {
    const config = loadConfig(servers)
    expect(config.kafkaBrokers).toEqual(['kafka-1:9092', 'kafka-2:9093'])
    expect(config).toMatchObject({
      kafkaTls: false,
      checkpointMs: 1000,
      checkpointRecords: 10_000,
      metricsPort: 9464,
      metricsHost: '127.0.0.1',
    })
    expect(config).toMatchObject({ queueBytes: 33_554_432, producerQueueBytes: 67_108_864, namespace: '' })
    expect(config.threads).toBeGreaterThanOrEqual(1)
    expect(config.kafkaCaFile).toBeUndefined()
  })

  it('lists every fault with its name, what was expected and what was given', () => {
    const found = faults({ ...servers, THREADS: '0', KAFKA_TLS: 'yes', NAMESPACE: 'Prod_1', KAFKA_BROKERS: 'kafka' })
    expect(found).toEqual([
      'KAFKA_BROKERS: expected host:port, several separated by commas, got "kafka"',
      'KAFKA_TLS: expected true or false, got "yes"',
      'NAMESPACE: expected lower-case letters, digits and dashes, got "Prod_1"',
      'THREADS: expected a whole number from 1 to 256, got "0"',
    ])
  })

  it('asks only for the servers that the command needs', () => {
    expect(faults({})).toHaveLength(4)
    expect(faults({}, { require: ['redis'] })).toEqual([
      'REDIS_URL: expected a URL that begins with redis:// or rediss://, got nothing',
    ])
    expect(loadConfig({}, { require: [] })).toMatchObject({ kafkaBrokers: [], databaseUrl: '' })
  })

  it('still checks a server that is given though not needed', () => {
    expect(faults({ REDIS_URL: 'localhost:6379' }, { require: [] })).toHaveLength(1)
  })

  it('treats an empty variable as not given', () => {
    expect(loadConfig({ ...servers, LOG_LEVEL: '', KAFKA_CA_FILE: '' })).toMatchObject({ logLevel: 'info' })
  })

  it('names the variable that a missing one was misspelt as', () => {
    const { KAFKA_BROKERS: brokers, ...others } = servers
    expect(faults({ ...others, KAFKA_BROKER: brokers })[0]).toMatch(/; is KAFKA_BROKER meant for it\?$/)
  })

  it('takes SASL mechanism, user and password only together', () => {
    const all = { KAFKA_SASL_MECHANISM: 'scram-sha-512', KAFKA_SASL_USERNAME: 'intel', KAFKA_SASL_PASSWORD: 'hidden' }
    expect(loadConfig({ ...servers, ...all }).kafkaSaslMechanism).toBe('scram-sha-512')
    const found = faults({ ...servers, KAFKA_SASL_USERNAME: 'intel' })
    expect(found.map((fault) => fault.split(':')[0])).toEqual(['KAFKA_SASL_MECHANISM', 'KAFKA_SASL_PASSWORD'])
  })

  it('never shows a secret in a fault', () => {
    const found = faults({ ...servers, DATABASE_URL: 'mysql://intel:hidden@db', EVM_RPC_URLS: '1=hidden' })
    expect(found).toHaveLength(2)
    expect(found.join()).not.toContain('hidden')
  })

  it('reads RPC nodes by chain', () => {
    const env = { ...servers, EVM_RPC_URLS: '31337=http://127.0.0.1:8545,ws://127.0.0.1:8546; 1=https://node/key' }
    expect([...loadConfig(env).evmRpcUrls]).toEqual([
      [31337, ['http://127.0.0.1:8545', 'ws://127.0.0.1:8546']],
      [1, ['https://node/key']],
    ])
    for (const wrong of ['http://node', '1=', '1=http://a;1=http://b', 'one=http://a', '1=ftp://a']) {
      expect(faults({ ...servers, EVM_RPC_URLS: wrong }), wrong).toHaveLength(1)
    }
  })
})

describe('secrets from files', () => {
  it('reads NAME_FILE, without the line end', () => {
    const path = join(folder, 'redis-url')
    writeFileSync(path, `${servers.REDIS_URL}\n`)
    const { REDIS_URL: _, ...others } = servers
    expect(loadConfig({ ...others, REDIS_URL_FILE: path }).redisUrl).toBe(servers.REDIS_URL)
  })

  it('refuses both forms at once, and a file that is missing or empty', () => {
    const empty = join(folder, 'empty')
    writeFileSync(empty, '\n')
    expect(faults({ ...servers, REDIS_URL_FILE: empty })).toEqual([
      'REDIS_URL: expected either REDIS_URL or REDIS_URL_FILE, got both',
    ])
    expect(faults({ EVM_RPC_URLS_FILE: empty }, { require: [] })[0]).toContain('got the empty file')
    expect(faults({ EVM_RPC_URLS_FILE: '/nowhere' }, { require: [] })[0]).toContain('got /nowhere')
  })

  it('are read the same way where the watch file names them', () => {
    const path = join(folder, 'token')
    writeFileSync(path, 'from-file\n')
    expect(readSecret('BOT_TOKEN', { BOT_TOKEN: 'direct' })).toBe('direct')
    expect(readSecret('BOT_TOKEN', { BOT_TOKEN_FILE: path })).toBe('from-file')
    expect(faultsOf(() => readSecret('BOT_TOKEN', {}))).toEqual(['neither BOT_TOKEN nor BOT_TOKEN_FILE is set'])
  })
})

describe('what operators are shown', () => {
  it('is every value with secrets masked', () => {
    const shown = redacted(loadConfig({ ...servers, EVM_RPC_URLS: '1=https://node/hidden?key=hidden' }))
    expect(shown).toMatchObject({
      KAFKA_BROKERS: 'kafka-1:9092,kafka-2:9093',
      SCHEMA_REGISTRY_URL: 'https://***@registry:8081/***',
      DATABASE_URL: 'postgres://***@db:5432/intel?***',
      REDIS_URL: 'rediss://***@cache:6380/2',
      EVM_RPC_URLS: '1=https://node/***?***',
      CHECKPOINT_MS: '1000',
    })
    expect(JSON.stringify(shown)).not.toContain('hidden')
  })

  it('is a description of every variable, with its default', () => {
    const table = describeConfig()
    expect(table).toHaveLength(Object.keys(loadConfig(servers)).length)
    expect(table.find(({ variable }) => variable === 'DATABASE_URL')).toMatchObject({
      default: 'required',
      secret: true,
    })
    expect(table.find(({ variable }) => variable === 'BINANCE_SPOT_WS_URL')?.default).toMatch(/^wss:/)
    expect(table.every(({ description }) => description.length > 10)).toBe(true)
  })
})
