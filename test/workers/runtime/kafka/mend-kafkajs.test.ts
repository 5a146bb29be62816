/** Defects of kafkajs that are mended where its classes allow it. */
import { createRequire } from 'node:module'
import { expect, it } from 'vitest'
import { classify } from '../../../../workers/runtime/errors.ts'
import { mendKafkajs } from '../../../../workers/runtime/kafka/mend-kafkajs.ts'

mendKafkajs()

it('a client that disconnects while it asks for metadata has an error that passes', async () => {
  const BrokerPool: unknown = createRequire(import.meta.url)('kafkajs/src/cluster/brokerPool')
  if (typeof BrokerPool !== 'function') throw new Error('kafkajs has changed')
  const seed = { connectionPool: { host: 'seed', port: 1 }, disconnect: async () => {} }
  const pool = Object.assign(Object.create(BrokerPool.prototype), {
    seedBroker: seed,
    brokers: {},
    findConnectedBroker: async () => ({ metadata: async () => ({ brokers: [{ nodeId: 1, host: 'other', port: 2 }] }) }),
    connectionPoolBuilder: { build: async () => pool.disconnect() },
    createBroker: () => ({ disconnect: async () => {} }),
    retrier: async (attempt: (bail: (error: unknown) => void) => Promise<void>) => {
      const failed: unknown[] = []
      await attempt((error) => failed.push(error))
      if (failed.length > 0) throw failed[0]
    },
  })
  const error: unknown = await pool.refreshMetadata([]).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ cause: expect.any(TypeError) })
  expect(classify(error)).toBe('retryable')
})
