/** alerts.fired.v1 → alerts; alert_outbox, which alert-outbox.ts fills, says how each was delivered. */
import { topics } from '../schemas/topics.ts'
import { defineTableSink } from './timescale.ts'

export const timescaleAlerts = defineTableSink({
  name: 'timescale-alerts',
  input: topics.alertsFired,
  table: 'alerts',
  key: ['ts', 'id'],
  columns: [
    ['ts', 'timestamptz', (alert) => alert.ts],
    ['id', 'text', (alert) => alert.id],
    ['rule', 'text', (alert) => alert.rule],
    ['severity', 'text', (alert) => alert.severity],
    ['alert_group', 'text', (alert) => alert.group],
    ['title', 'text', (alert) => alert.title],
    ['text', 'text', (alert) => alert.text],
    ['channels', 'text[]', (alert) => alert.channels],
    ['source_topic', 'text', (alert) => alert.sourceTopic],
    ['source_id', 'text', (alert) => alert.sourceId],
    ['labels', 'jsonb', (alert) => alert.labels],
    ['block', 'bigint', (alert) => alert.block],
    ['revision', 'integer', (alert) => alert.revision],
  ],
})
