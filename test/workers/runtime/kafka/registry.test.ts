/** Schemas by id: one that was just registered may be unknown to a replica of the registry for some seconds. */
import { createServer, type Server } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { topics } from '../../../../schemas/topics.ts'
import { schemaText } from '../../../../workers/runtime/codec.ts'
import { loadConfig } from '../../../../workers/runtime/config.ts'
import { RetryableError } from '../../../../workers/runtime/errors.ts'
import { createNames } from '../../../../workers/runtime/kafka/client.ts'
import { Registry } from '../../../../workers/runtime/kafka/registry.ts'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

/** A registry that knows a schema from the `n`th question on. */
async function registryThatKnowsFrom(n: number): Promise<{ registry: Registry; asked: () => number }> {
  let asked = 0
  server = createServer((_request, response) => {
    const known = ++asked >= n
    response.writeHead(known ? 200 : 404, { 'content-type': 'application/vnd.schemaregistry.v1+json' })
    response.end(JSON.stringify(known ? { schema: schemaText('market.trades.v1') } : { error_code: 40403, message: 'Schema not found' })) // prettier-ignore
  })
  return { registry: await registryAt(server), asked: () => asked }
}

async function registryAt(listener: Server, env: Record<string, string> = {}): Promise<Registry> {
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const address = listener.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const config = loadConfig({ ...env, SCHEMA_REGISTRY_URL: `http://127.0.0.1:${port}` }, { require: ['registry'] })
  return new Registry(config, createNames(''))
}

it('a registry that says nothing is left, so that it can be asked again', async () => {
  let asked = 0
  server = createServer(() => void asked++)
  const registry = await registryAt(server, { STALL_MS: '1500', SESSION_TIMEOUT_MS: '1000', SHUTDOWN_MS: '1000' })
  await expect(registry.schema(7)).rejects.toThrow(/Reading schema 7: the schema registry .* does not answer/)
  expect(asked).toBe(1)
  await expect(registry.register(topics.marketTrades)).rejects.toThrow(RetryableError)
})

it('a registry that breaks off in the middle of an answer is asked anew', async () => {
  let asked = 0
  server = createServer((request, response) => {
    const text = JSON.stringify({ schema: schemaText('market.trades.v1') })
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length })
    if (++asked > 1) response.end(text)
    else response.write(text.slice(0, 100), () => request.socket.destroy())
  })
  const registry = await registryAt(server, { STALL_MS: '1500', SESSION_TIMEOUT_MS: '1000', SHUTDOWN_MS: '1000' })
  await expect(registry.schema(7)).rejects.toThrow(RetryableError)
  expect(await registry.schema(7)).toContain('MarketTrade')
})

describe('a schema that the registry does not know', () => {
  it('makes no record unreadable where it is known again when the control passes', async () => {
    const { registry } = await registryThatKnowsFrom(2)
    expect(await registry.schema(7)).toBeUndefined()
    await expect(registry.assertOwnSchemas([7])).rejects.toThrow(RetryableError)
  })

  it('makes a record unreadable where it is still not known', async () => {
    const { registry, asked } = await registryThatKnowsFrom(Infinity)
    expect(await registry.schema(7)).toBeUndefined()
    await registry.assertOwnSchemas([7])
    expect(asked()).toBe(2)
  })

  it('is asked for again where the message that names it is new', async () => {
    const { registry, asked } = await registryThatKnowsFrom(3)
    expect(await registry.schema(7, Date.now())).toContain('MarketTrade')
    expect(asked()).toBe(3)
  })

  it('is given up at once where the message is old, and asked for once by all that need it', async () => {
    const { registry, asked } = await registryThatKnowsFrom(Infinity)
    const answers = await Promise.all(Array.from({ length: 20 }, () => registry.schema(7, Date.now() - 60_000)))
    expect(new Set(answers)).toEqual(new Set([undefined]))
    expect(asked()).toBe(1)
  })

  it('is found later by whoever asks again', async () => {
    const { registry } = await registryThatKnowsFrom(2)
    expect(await registry.schema(7)).toBeUndefined()
    expect(await registry.schema(7, Date.now())).toContain('MarketTrade')
  })
})
