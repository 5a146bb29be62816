/** Two versions of a small line, each in a copy of the project as a deploy would bring it: state, record schema and steps differ. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { copyProject, type ProjectCopy } from '../../contributing/recipe.ts'

export type Version = 1 | 2

/** What version 1 writes, and what version 2 adds with a default. */
const schemaOf = (name: string, version: Version): object => ({
  type: 'record',
  name,
  namespace: 'cryptointel',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'ts', type: 'long' },
    { name: 'symbol', type: 'string' },
    { name: 'count', type: 'long' },
    ...(version === 2 ? [{ name: 'size', type: 'string', default: 'unknown' }] : []),
  ],
})

const topicLines = `
  testCounts: define<{ id: string; ts: number; symbol: string; count: number; size?: string }>('test.counts.v1', 4, (r) => r.symbol, days(7)),
  testEchoes: define<{ id: string; ts: number; symbol: string; count: number; size?: string }>('test.echoes.v1', 4, (r) => r.symbol, { ...days(7), output: true }),`

/** The older one would count from NaN if it were given the newer one's state. */
const stateOf: Record<Version, string> = {
  1: '{ version: 1, empty: () => ({ count: 0 }) }',
  2: '{ version: 2, empty: () => ({ total: 0 }), migrate: (old: { count: number }) => ({ total: old.count }) }',
}

const head = `
import { topics } from '../schemas/topics.ts'
import { defineProcessor } from './runtime/definitions.ts'
`

const countTrades = (version: Version): string => `${head}
export const countTrades = defineProcessor({
  name: 'count-trades',
  module: import.meta.url,
  inputs: [topics.marketTrades],
  outputs: [topics.testCounts],
  state: ${stateOf[version]},
  process({ id, ts, symbol, size }, state, emit) {
    const count = ${version === 1 ? '++state.count' : '++state.total'}
    emit(topics.testCounts, { id, ts, symbol, count${version === 2 ? ', size' : ''} })
  },
})
`

const echoCounts = `${head}
export const echoCounts = defineProcessor({
  name: 'echo-counts',
  module: import.meta.url,
  inputs: [topics.testCounts],
  outputs: [topics.testEchoes],
  state: { version: 1, empty: () => ({}) },
  process(record, _state, emit) {
    emit(topics.testEchoes, { ...record })
  },
})
`

/** Whoever writes the trades; it does not run. */
const bringTrades = `
import { topics } from '../schemas/topics.ts'
import { defineConnector } from '../workers/runtime/definitions.ts'

export const bringTrades = defineConnector({
  name: 'bring-trades',
  outputs: [topics.marketTrades],
  feeds: () => [],
  run: async () => {},
})
`

const topology = `
import { bringTrades } from '../connectors/bring-trades.ts'
import { countTrades } from '../workers/count-trades.ts'
import { echoCounts } from '../workers/echo-counts.ts'
import { defineTopology } from '../workers/runtime/definitions.ts'

export const cryptoIntel = defineTopology('crypto-intel', [bringTrades, countTrades, echoCounts])
`

/** A copy of the project with that version of the line as its topology. */
export function deployVersion(version: Version): ProjectCopy {
  const copy = copyProject()
  const write = (path: string, text: string): void => writeFileSync(join(copy.folder, path), text)
  write('schemas/test.counts.v1.avsc', JSON.stringify(schemaOf('TestCount', version)))
  write('schemas/test.echoes.v1.avsc', JSON.stringify(schemaOf('TestEcho', version)))
  write('connectors/bring-trades.ts', bringTrades)
  write('workers/count-trades.ts', countTrades(version))
  write('workers/echo-counts.ts', echoCounts)
  write('topologies/crypto-intel.ts', topology)
  const all = readFileSync(join(copy.folder, 'schemas/topics.ts'), 'utf8')
  write(
    'schemas/topics.ts',
    all.replace('export const topics = {', (head) => head + topicLines),
  )
  return copy
}
