/** patterns.matches.v1 → pattern_matches. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescalePatterns = defineTableSink({
  name: 'timescale-patterns',
  input: topics.patternsMatches,
  table: 'pattern_matches',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (match) => match.ts],
    ['id', 'text', (match) => match.id],
    ['pattern', 'text', (match) => match.pattern],
    ['subject', 'text', (match) => match.subject],
    ['start', 'timestamptz', (match) => match.start],
    ['confidence', 'double', (match) => match.confidence],
    ['summary', 'text', (match) => match.summary],
    ['venue', 'text', (match) => match.venue],
    ['symbol', 'text', (match) => match.symbol],
    ['chain_id', 'bigint', (match) => match.chainId],
    ['wallets', 'text[]', (match) => match.wallets],
    ['evidence', 'text[]', (match) => match.evidence],
    ['facts', 'jsonb', (match) => match.facts],
    ['block', 'bigint', (match) => match.block],
  ],
})
