/** What an older version of the code has stored or written is gone on with: state, pending inputs, bytes. */
import avro from 'avsc'
import { z } from 'zod'
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import { Decoder, schemaText } from '../../workers/runtime/codec.ts'
import { defineProcessor, type Processor, type Topic } from '../../workers/runtime/definitions.ts'
import { Engine } from '../../workers/runtime/state/engine.ts'
import { second, trade, transfer } from '../workers/records.ts'

const signal = (id: string, price: string) => ({ id, strategy: 'test', venue: 'v', symbol: 's', ts: 0, direction: 'long', strength: 1, horizonS: 1, price, reason: '' }) as const // prettier-ignore
interface Named {
  readonly id: string
}
const inputs: readonly Topic<Named>[] = [topics.marketTrades, topics.chainTransfers]
const base = { name: 'counter', module: import.meta.url, inputs, outputs: [topics.signalsTrades] }

/** Counts records in a number. */
const before = defineProcessor<Named, { count: number }>({
  ...base,
  state: { version: 1, empty: () => ({ count: 0 }) },
  process(record, state, emit) {
    emit(topics.signalsTrades, signal(record.id, String(++state.count)))
  },
})
/** Counts in a list of ids, and knows how many there were before it did. */
const after = defineProcessor<Named, { earlier: number; ids: string[] }>({
  ...base,
  state: {
    version: 2,
    empty: () => ({ earlier: 0, ids: [] }),
    migrate: (old, version) => ({ earlier: version === 1 ? z.object({ count: z.number() }).parse(old).count : 0, ids: [] }), // prettier-ignore
  },
  process(record, state, emit) {
    state.ids.push(record.id)
    emit(topics.signalsTrades, signal(record.id, String(state.earlier + state.ids.length)))
  },
})

function open(step: Processor, stored: Iterable<readonly [string, string]> = []) {
  const published: string[] = []
  const publish = (_: unknown, record: object): void => void published.push(JSON.stringify(record))
  return { engine: new Engine(step, undefined, { publish, mark: () => {} }, stored), published }
}
const storedBy = (engine: Engine): [string, string][] =>
  engine.changes().flatMap(([field, text]) => (text === null ? [] : [[field, text]]))

describe('a processor whose state version was raised', () => {
  it('goes on with the migrated state of each key', () => {
    const { engine } = open(before)
    for (let id = 1; id <= 3; id++) engine.record('market.trades.v1', 'a', 'o', trade(id, id * second, 1))
    const { engine: next, published } = open(after, storedBy(engine))
    next.record('market.trades.v1', 'a', 'o', trade(4, 4 * second, 1))
    expect(published[0]).toContain('"price":"4"')
  })

  it('migrates the finalized state and folds pending inputs anew, so that they can still be removed', () => {
    const { engine } = open(before)
    for (const block of [1, 2, 3]) engine.record('chain.transfers.v1', 'a', 'o', transfer(block, 0, { finalized: 1 }))
    const { engine: next, published } = open(after, storedBy(engine))
    next.record('chain.transfers.v1', 'a', 'o', { ...transfer(3, 0, { finalized: 1 }), removed: true })
    next.record('chain.transfers.v1', 'a', 'o', transfer(3, 1, { finalized: 1 }))
    expect(published.map((text) => /"price":"(\d)".*"removed":(\w+)/.exec(text)?.slice(1))).toEqual([
      ['3', 'true'],
      ['3', 'false'],
    ])
  })

  it('is refused without a migration', () => {
    const { engine } = open(after)
    engine.record('market.trades.v1', 'a', 'o', trade(1, second, 1))
    expect(() => open(before, storedBy(engine))).toThrow('counter has state of version 2 and no migration to 1')
  })
})

describe('a record schema that has got a field with a default', () => {
  interface Schema {
    readonly fields: readonly { readonly name: string }[]
  }
  const schema: Schema = JSON.parse(schemaText('chain.transfers.v1'))
  const older = JSON.stringify({ ...schema, fields: schema.fields.filter(({ name }) => name !== 'revision') })
  const { revision: _revision, ...old } = transfer(1, 0)

  it('is read from older bytes', () => {
    const bytes = avro.Type.forSchema(JSON.parse(older)).toBuffer(old)
    const decoder = new Decoder(topics.chainTransfers)
    decoder.learn(7, older)
    decoder.learn(8, schemaText('chain.transfers.v1'))
    expect(decoder.decode(Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), bytes]))).toMatchObject(transfer(1, 0))
  })

  it('is completed in pending inputs that were stored before', () => {
    const seen: unknown[] = []
    const step: Processor = { ...before, process: (record) => void seen.push(record) }
    const { engine } = open(step)
    engine.record('chain.transfers.v1', 'a', 'o', old)
    open(step, storedBy(engine))
    expect(seen.at(-1)).toMatchObject(transfer(1, 0))
    expect(seen).toHaveLength(2)
  })
})
