/** A journal's own reading of its log: what stands there besides, a redriven message, is no part of it. */
import { expect, it } from 'vitest'
import { topics } from '../../../schemas/topics.ts'
import type { MarketTrade } from '../../../schemas/types.ts'
import { withInstallation } from '../../../workers/cli/servers.ts'
import { Encoder } from '../../../workers/runtime/codec.ts'
import { loadConfig } from '../../../workers/runtime/config.ts'
import { placeHeaders, redriveHeaders } from '../../../workers/runtime/headers.ts'
import { TopicJournal } from '../../../workers/runtime/journal.ts'
import { Partitioner } from '../../../workers/runtime/kafka/client.ts'
import { append } from '../../../workers/runtime/kafka/make-topics.ts'
import { sequencePosition } from '../../../workers/runtime/position.ts'
import { Ownership } from '../../../workers/runtime/ownership.ts'
import { createAccumulator } from '../../../workers/runtime/step-support.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'
import { freshPrefix, servers } from '../../support/servers.ts'
import { command } from '../cli/harness.ts'
import { noon, trade } from '../records.ts'

const topic = topics.marketTrades
const key = topic.key(trade(0, noon, 1))
const partition = new Partitioner(topic).of(key)

it('goes on where it stood after a record was redriven', async () => {
  const { brokers, registryUrl, redisUrl, databaseUrl } = await servers()
  const env = { KAFKA_BROKERS: brokers, SCHEMA_REGISTRY_URL: registryUrl, REDIS_URL: redisUrl, DATABASE_URL: databaseUrl, NAMESPACE: freshPrefix().replace(/-$/, '') } // prettier-ignore
  await command(['topics', 'apply'], { env })
  await withInstallation(
    loadConfig({ ...env, LOG_LEVEL: 'silent' }),
    WatchSchema.parse({}),
    {},
    async (installation) => {
      const encoder = new Encoder(await installation.registry.registerAll([topic]))
      const accumulator = await createAccumulator(installation, installation.context, 'journal')
      const raise = (error: unknown): never => {
        throw error
      }
      const ownership = new Ownership(raise)
      const open = (): TopicJournal<MarketTrade> =>
        new TopicJournal({ topic, key, installation, accumulator, sender: accumulator.sender(raise), ownership, encoder }) // prettier-ignore
      const entry = (number: number) => ({
        record: trade(number, noon + number, 1),
        stamp: {
          origin: 'evm:1',
          position: sequencePosition(number),
          link: { extends: `b${number - 1}`, tip: `b${number}` },
        },
      })
      const journal = open()
      await journal.tail(2)
      for (const number of [98, 99, 100]) expect(await journal.append([entry(number)])).toBe('appended')

      const headers = Object.fromEntries(
        Object.entries({
          ...placeHeaders(entry(98).stamp),
          ...redriveHeaders({ step: 'timescale-blocks', offset: 0, skip: false }),
        }),
      )
      const value = Buffer.from(encoder.encode(topic, entry(98).record))
      const producer = await installation.producer()
      await append(producer, { topic: installation.names.topic(topic), messages: [{ key, value, partition, headers }] })

      expect(await journal.append([entry(101)])).toBe('appended')
      const positions = (await open().tail(4)).map(({ position }) => position)
      expect(positions).toEqual([98, 99, 100, 101].map(sequencePosition))
      accumulator.close()
    },
  )
})
