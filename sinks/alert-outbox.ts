/** alerts.fired.v1 → alert_outbox: one row for every message to be sent, and beside it the dispatcher that sends them. */
import { topics } from '../schemas/topics.ts'
import type { Alert } from '../schemas/types.ts'
import { defineSink, type SinkTransaction } from '../workers/runtime/definitions.ts'
import { dispatchAlerts } from './alerts/dispatch.ts'
import { outboxChannel } from './alerts/outbox.ts'

export const alertOutbox = defineSink({
  name: 'alert-outbox',
  input: topics.alertsFired,
  traced: true,
  async write(alerts, transaction, traces) {
    let fired: Traced[] = []
    for (const [index, given] of alerts.entries()) {
      const alert = withoutNul(given)
      const trace = traces?.[index] ?? null
      if (!alert.removed) {
        fired.push({ alert, trace })
        continue
      }
      await insert(fired, transaction)
      fired = []
      await retract({ alert, trace }, transaction)
    }
    await insert(fired, transaction)
    await transaction.query('SELECT pg_notify($1, $2)', [outboxChannel, ''])
  },
  serve: dispatchAlerts,
})

/** An alert is worth more than its NULs, which neither text nor jsonb takes. */
function withoutNul(alert: Alert): Alert {
  const text = JSON.stringify(alert)
  if (!text.includes('\\u0000')) return alert
  const clean: Alert = JSON.parse(text, (_name, value: unknown) =>
    typeof value === 'string' ? value.replaceAll('\0', '') : value,
  )
  const labels = Object.entries(clean.labels).map(([name, label]) => [name.replaceAll('\0', ''), label])
  return { ...clean, labels: Object.fromEntries(labels) }
}

interface Traced {
  readonly alert: Alert
  readonly trace: string | null
}

async function insert(alerts: readonly Traced[], transaction: SinkTransaction): Promise<void> {
  const rows = alerts.flatMap(({ alert, trace }) => alert.channels.map((channel) => ({ alert, trace, channel })))
  await transaction.query(
    `INSERT INTO alert_outbox (alert_id, revision, removed, channel, after_id, payload, traceparent)
     SELECT alert, revision, false, channel,
       (SELECT max(earlier.id) FROM alert_outbox AS earlier WHERE earlier.alert_id = alert AND earlier.channel = row.channel),
       payload, traceparent
     FROM unnest($1::text[], $2::integer[], $3::text[], $4::jsonb[], $5::text[]) AS row (alert, revision, channel, payload, traceparent)
     ON CONFLICT DO NOTHING`,
    [
      rows.map(({ alert }) => alert.id),
      rows.map(({ alert }) => alert.revision),
      rows.map(({ channel }) => channel),
      rows.map(({ alert }) => JSON.stringify(alert)),
      rows.map(({ trace }) => trace),
    ],
  )
}

/** Cancels what is not sent yet, and has what was sent, or may have been, taken back where it went. */
async function retract({ alert, trace }: Traced, transaction: SinkTransaction): Promise<void> {
  await transaction.query(
    `UPDATE alert_outbox SET status = 'cancelled'
     WHERE alert_id = $1 AND revision = $2 AND NOT removed AND status IN ('pending', 'failed')`,
    [alert.id, alert.revision],
  )
  await transaction.query(
    `INSERT INTO alert_outbox (alert_id, revision, removed, channel, after_id, payload, traceparent)
     SELECT alert_id, revision, true, channel, id, $3, $4
     FROM alert_outbox
     WHERE alert_id = $1 AND revision = $2 AND NOT removed AND (status IN ('sending', 'sent') OR uncertain)
     ORDER BY id
     ON CONFLICT DO NOTHING`,
    [alert.id, alert.revision, JSON.stringify(alert), trace],
  )
}
