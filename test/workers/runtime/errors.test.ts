import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { Redis } from 'ioredis'
import { Kafka, KafkaJSNonRetriableError, KafkaJSProtocolError, logLevel } from 'kafkajs'
import pg from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import { classify, explain, FatalError, oneLine, PoisonError, RetryableError } from '../../../workers/runtime/errors.ts'

/** A port of this machine where nothing listens. */
let closed = 0
beforeAll(async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  closed = typeof address === 'object' && address ? address.port : 0
  await new Promise((resolve) => server.close(resolve))
})

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )

function sqlError(code: string): Error {
  const error = new pg.DatabaseError('refused', 0, 'error')
  error.code = code
  error.severity = 'ERROR'
  return error
}

const kafkaError = (type: string, retriable: boolean) =>
  new KafkaJSProtocolError(Object.assign(new Error('broker said no'), { type, code: 1, retriable }))

describe('a server that is away is retryable', () => {
  it('for kafkajs', async () => {
    const kafka = new Kafka({ brokers: [`127.0.0.1:${closed}`], logLevel: logLevel.NOTHING, retry: { retries: 0 } })
    const error = await failure(kafka.admin().connect())
    expect(error).toBeInstanceOf(Error)
    expect(classify(error)).toBe('retryable')
  })

  it('for pg', async () => {
    const client = new pg.Client({ host: '127.0.0.1', port: closed, user: 'nobody' })
    expect(classify(await failure(client.connect()))).toBe('retryable')
  })

  it('for ioredis, whether it goes on trying or has given up', async () => {
    const trying = new Redis(closed, '127.0.0.1', { maxRetriesPerRequest: 0, retryStrategy: () => 5 })
    const ended = new Redis(closed, '127.0.0.1', { retryStrategy: () => null })
    for (const redis of [trying, ended]) redis.on('error', () => undefined)
    expect(classify(await failure(trying.get('key')))).toBe('retryable')
    expect(classify(await failure(ended.get('key')))).toBe('retryable')
    expect(oneLine(await failure(ended.get('key')))).toBe('Connection is closed.')
    trying.disconnect()
  })

  it('for fetch, whose own error hides the cause', async () => {
    expect(classify(await failure(fetch(`http://127.0.0.1:${closed}/`)))).toBe('retryable')
    expect(classify(await failure(fetch(`http://127.0.0.1:${closed}/`, { signal: AbortSignal.timeout(0) })))).toBe(
      'retryable',
    )
  })
})

describe('classify', () => {
  it('knows our own classes', () => {
    expect(classify(new RetryableError('unavailable', 'x'))).toBe('retryable')
    expect(classify(new PoisonError('undecodable', 'x'))).toBe('poison')
    expect(classify(new FatalError('topology', 'x'))).toBe('fatal')
  })

  it('lets our class decide over what it wraps, and finds it when wrapped', () => {
    const cause = Object.assign(new Error('reset'), { code: 'ECONNRESET' })
    expect(classify(new FatalError('database', 'x', { cause }))).toBe('fatal')
    expect(classify(new Error('outer', { cause: new PoisonError('refused', 'x') }))).toBe('poison')
  })

  it('goes by SQLSTATE', () => {
    const byClass = (...codes: string[]) => codes.map((code) => classify(sqlError(code)))
    expect(new Set(byClass('08006', '57P01', '57P03', '40001', '40P01', '53300', '25P03'))).toEqual(
      new Set(['retryable']),
    )
    expect(new Set(byClass('22003', '22P02', '23502', '23505'))).toEqual(new Set(['poison']))
    expect(new Set(byClass('42P01', '28P01', '3D000'))).toEqual(new Set(['fatal']))
  })

  it('goes by what kafkajs says, but joins a group again and looks into wrappers', () => {
    expect(classify(kafkaError('NOT_LEADER_FOR_PARTITION', true))).toBe('retryable')
    expect(classify(kafkaError('ILLEGAL_GENERATION', false))).toBe('retryable')
    expect(classify(kafkaError('TOPIC_AUTHORIZATION_FAILED', false))).toBe('fatal')
    const wrapper = new KafkaJSNonRetriableError('wrapped')
    expect(classify(wrapper)).toBe('fatal')
    expect(classify(Object.assign(wrapper, { cause: kafkaError('LEADER_NOT_AVAILABLE', true) }))).toBe('retryable')
  })

  it('takes a lost connection to a broker for what it is, though kafkajs throws a plain error', () => {
    const Broker: unknown = createRequire(import.meta.url)('kafkajs/src/broker')
    if (typeof Broker !== 'function') throw new Error('kafkajs has changed')
    const logger = { namespace: () => logger, debug: () => {} }
    const broker: unknown = Reflect.construct(Broker, [{ connectionPool: { on: () => {} }, logger }])
    const lookupRequest: unknown = Reflect.get(Object(broker), 'lookupRequest')
    if (typeof lookupRequest !== 'function') throw new Error('kafkajs has changed')
    let thrown: unknown
    try {
      lookupRequest()
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(Error)
    expect(classify(thrown)).toBe('retryable')
  })

  it('goes by HTTP status', () => {
    const status = (code: number) => classify(Object.assign(new Error('http'), { status: code }))
    expect([503, 429, 408, 401, 404].map(status)).toEqual(['retryable', 'retryable', 'retryable', 'fatal', 'fatal'])
  })

  it('holds what it does not know for fatal', () => {
    expect([new TypeError('x is not a function'), 'text', undefined, null].map(classify)).toEqual(
      Array(4).fill('fatal'),
    )
  })

  it('survives a circle of causes', () => {
    const error = new Error('a')
    error.cause = new Error('b', { cause: error })
    expect(classify(error)).toBe('fatal')
  })
})

describe('for people', () => {
  const error = new FatalError('topic', 'Creating topic market.trades.v1', {
    cause: new Error('connect to kafka://intel:hidden@kafka\n refused'),
    hint: 'check KAFKA_BROKERS',
  })

  it('says on one line what was being done, what went wrong and what to change, without passwords', () => {
    expect(oneLine(error)).toBe(
      'Creating topic market.trades.v1: connect to kafka://***@kafka refused: check KAFKA_BROKERS',
    )
  })

  it('does not repeat what a wrapper repeats, and names an error without a message by its code', () => {
    expect(oneLine(new Error('sending: lost', { cause: new Error('lost') }))).toBe('sending: lost')
    expect(oneLine(new AggregateError([Object.assign(new Error(''), { code: 'ECONNREFUSED' })], 'dialling'))).toBe(
      'dialling: ECONNREFUSED',
    )
  })

  it('gives each of several faults a line of its own on a terminal', () => {
    const several = new FatalError('configuration', 'Reading', {
      details: ['A: wrong', 'B: wrong'],
      hint: 'see README',
    })
    expect(explain(several)).toBe('Reading: 2 faults\n  A: wrong\n  B: wrong\nsee README')
    expect(explain(error)).toBe(oneLine(error))
  })
})
