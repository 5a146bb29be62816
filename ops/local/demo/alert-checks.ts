/** Compares each fired alert with what the receivers got. */
import type { Received, Receivers } from '../receivers.ts'
import type { Check } from './checks.ts'
import type { Tables } from './database.ts'

export interface AlertOutcome {
  /** Messages of alerts that were fired, and those among them that arrived; an alert goes to each channel of its rule. */
  readonly fired: number
  readonly delivered: number
  readonly byRule: Readonly<Record<string, number>>
  readonly checks: readonly Check[]
}

/** How a receiver knows a message: Telegram by the number that it gave, a webhook by the id that it was sent with. */
const messageId = `CASE WHEN o.channel = 'webhook' THEN o.alert_id || ':' || o.revision || ':' || CASE WHEN o.removed THEN 'retracted' ELSE 'fired' END
                        ELSE o.provider_id END AS message`

interface Row extends Record<string, unknown> {
  readonly alert_id: string
  readonly rule: string
  readonly removed: boolean
  readonly channel: string
  readonly status: string
  readonly message: string | null
}

/** @param expectRetraction whether the chain was reorganised under an alert */
export async function checkAlerts(
  receivers: Pick<Receivers, 'received' | 'complaints'>,
  tables: Tables,
  expectRetraction: boolean,
): Promise<AlertOutcome> {
  const rows = await tables.query<Row>(
    `SELECT o.alert_id, coalesce(o.payload->>'rule', '') AS rule, o.removed, o.channel, o.status, ${messageId}
     FROM alert_outbox o`,
  )
  const received = receivers.received().filter(({ repeat }) => !repeat)
  const arrived = (row: Row): number =>
    received.filter((message) => message.channel === row.channel && message.id === row.message).length
  const sent = rows.filter(({ status }) => status !== 'cancelled')
  const faults = sent
    .filter((row) => arrived(row) !== 1)
    .map((row) => `${row.channel} ${row.alert_id}: ${row.status}, arrived ${arrived(row)} times`)
  const known = new Set(rows.map(({ channel, message }) => `${channel} ${message}`))
  faults.push(
    ...received
      .filter(({ channel, id }) => !known.has(`${channel} ${id}`))
      .map(({ text }) => `arrived without a row: ${text.slice(0, 80)}`),
  )
  const fired = sent.filter(({ removed }) => !removed)
  const byRule: Record<string, number> = {}
  for (const { rule } of fired) byRule[rule] = (byRule[rule] ?? 0) + 1
  const retracted = received.filter(({ status }) => status === 'retracted').length
  const checks: Check[] = [
    verdict('each alert arrived once', faults, `${sent.length} messages`),
    verdict('receivers have no complaint', receivers.complaints(), 'none'),
  ]
  if (expectRetraction)
    checks.push(
      verdict(
        'the orphaned alert was retracted',
        retracted > 0 ? [] : ['no retraction arrived'],
        `${retracted} retractions`,
      ),
    )
  return { fired: fired.length, delivered: fired.filter((row) => arrived(row) === 1).length, byRule, checks }
}

/** Event time to arrival of the alerts that arrived after `since`, in milliseconds. */
export async function alertLatencies(received: readonly Received[], tables: Tables, since: number): Promise<number[]> {
  const rows = await tables.query<{ channel: string; message: string | null; ts: Date }>(
    `SELECT o.channel, ${messageId}, a.ts FROM alert_outbox o JOIN alerts a ON a.id = o.alert_id WHERE NOT o.removed AND o.status = 'sent'`,
  )
  const events = new Map(rows.map(({ channel, message, ts }) => [`${channel} ${message}`, ts.getTime()]))
  return received.flatMap(({ channel, id, at }) => {
    const event = events.get(`${channel} ${id}`)
    return event === undefined || event < since ? [] : at - event
  })
}

const verdict = (name: string, faults: readonly string[], detail: string): Check => ({ name, ok: faults.length === 0, detail: faults.length === 0 ? detail : faults.slice(0, 5).join('; ') }) // prettier-ignore
