/** The outbox as its dispatchers use it: claim the next message of a channel, record what became of it. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Alert } from '../../schemas/types.ts'
import type { Database } from '../../workers/runtime/database.ts'
import type { AlertChannel, Delivery, Outcome } from './channel.ts'

/** The LISTEN/NOTIFY channel. */
export const outboxChannel = 'alert_outbox'

/** Longer than any attempt takes; then what a dispatcher had claimed when it died falls to another. */
const leaseMs = 60_000
/** Waits after the first, second, … failure of a message; the last holds for all that follow. */
const backoffMs = [1_000, 5_000, 30_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000]
/** About a day of those; what a channel that is down has refused is never given up. */
const mostAttempts = 30
/** Where the channel as a whole cannot be reached it is tried at least this often. */
const longestChannelPauseMs = 30_000
/** As often as this a message without an answer holds its channel; after that only itself. */
const mostChannelHolds = 5

export interface Claim {
  readonly row: number
  readonly attempts: number
  /** W3C traceparent of the alert's record. */
  readonly trace: string | undefined
  readonly delivery: Delivery
}

/** Makes the channel known to all dispatchers; a new target lifts a ban that the old one had earned. */
export async function registerChannel(database: Database, name: string, channel: AlertChannel): Promise<void> {
  const digest = createHash('sha256').update(channel.target).digest('hex')
  await database.query(
    `INSERT INTO alert_channels (channel, target) VALUES ($1, $2)
     ON CONFLICT (channel) DO UPDATE SET target = excluded.target, open_at = now(), disabled = NULL
     WHERE alert_channels.target <> excluded.target`,
    [name, digest],
  )
}

/** How many messages wait for channels that the watch file does not have. */
export async function strayMessages(database: Database, known: readonly string[]): Promise<number> {
  const { rows } = await database.query(
    `SELECT count(*) AS stray FROM alert_outbox
     WHERE status IN ('pending', 'failed', 'sending') AND channel <> ALL ($1)`,
    [known],
  )
  return Number(rows[0]?.['stray'])
}

/**
 * Takes the channel's oldest message that is due, where the channel's pace allows one.
 * @param owner tells this dispatcher from the others
 * @returns undefined where there is none
 */
export async function claim(
  database: Database,
  name: string,
  { pace }: AlertChannel,
  owner: string,
): Promise<Claim | undefined> {
  return database.use(async (connection) => {
    await connection.query(cancelRetracted, [name])
    await connection.query(cancelMootRetractions, [name])
    const { rows } = await connection.query(claimNext, [name, owner, leaseMs, pace.spacingMs, pace.perMinute ?? null])
    return rows[0] && toClaim(Claimed.parse(rows[0]))
  })
}

/** What was retracted while it was being sent and did not get through is not tried again. */
const cancelRetracted = `
  UPDATE alert_outbox AS fired SET status = 'cancelled', uncertain = fired.uncertain OR fired.status = 'sending'
  FROM alert_outbox AS retraction
  WHERE retraction.channel = $1 AND retraction.removed AND retraction.status IN ('pending', 'failed')
    AND (fired.alert_id, fired.revision, fired.channel) = (retraction.alert_id, retraction.revision, retraction.channel)
    AND NOT fired.removed
    AND (fired.status IN ('pending', 'failed') OR fired.status = 'sending' AND fired.claimed_until < now())`

/** What nobody was told need not be taken back. */
const cancelMootRetractions = `
  UPDATE alert_outbox AS retraction SET status = 'cancelled'
  FROM alert_outbox AS fired
  WHERE retraction.channel = $1 AND retraction.removed AND retraction.status IN ('pending', 'failed')
    AND (fired.alert_id, fired.revision, fired.channel) = (retraction.alert_id, retraction.revision, retraction.channel)
    AND NOT fired.removed AND fired.status IN ('cancelled', 'dead') AND NOT fired.uncertain`

/** An alert's messages to a channel keep their order; other alerts pass one that has to wait. */
const claimNext = `
  WITH gate AS (
    SELECT channel FROM alert_channels
    WHERE channel = $1 AND disabled IS NULL AND open_at <= now()
      AND ($5::integer IS NULL OR $5 > (
        SELECT count(*) FROM alert_outbox WHERE channel = $1 AND status = 'sent' AND sent_at > now() - interval '1 minute'))
    FOR UPDATE SKIP LOCKED
  ), due AS (
    SELECT message.id FROM gate JOIN alert_outbox AS message USING (channel)
    WHERE (message.status IN ('pending', 'failed') AND message.next_attempt_at <= now()
        OR message.status = 'sending' AND message.claimed_until < now())
      AND NOT EXISTS (
        SELECT FROM alert_outbox AS earlier
        WHERE earlier.id = message.after_id AND earlier.status IN ('pending', 'failed', 'sending'))
    ORDER BY message.id LIMIT 1 FOR UPDATE OF message SKIP LOCKED
  ), claimed AS (
    UPDATE alert_outbox AS message
    SET uncertain = uncertain OR status = 'sending', status = 'sending', attempts = attempts + 1,
      claimed_by = $2, claimed_until = now() + $3 * interval '1 millisecond'
    FROM due WHERE message.id = due.id
    RETURNING message.*
  ), paced AS (
    UPDATE alert_channels SET open_at = now() + $4 * interval '1 millisecond'
    FROM claimed WHERE alert_channels.channel = claimed.channel
  )
  SELECT claimed.id, claimed.attempts, claimed.alert_id, claimed.revision, claimed.removed, claimed.uncertain,
    claimed.payload, claimed.traceparent, fired.provider_id AS original_id
  FROM claimed LEFT JOIN alert_outbox AS fired
    ON claimed.removed AND NOT fired.removed
    AND (fired.alert_id, fired.revision, fired.channel) = (claimed.alert_id, claimed.revision, claimed.channel)`

const AlertPayload: z.ZodType<Alert> = z.object({
  id: z.string(),
  rule: z.string(),
  severity: z.string(),
  group: z.string(),
  ts: z.int(),
  title: z.string(),
  text: z.string(),
  channels: z.array(z.string()),
  sourceTopic: z.string(),
  sourceId: z.string(),
  labels: z.record(z.string(), z.string()),
  block: z.int().nullable(),
  finalized: z.int().nullable(),
  removed: z.boolean(),
  revision: z.int(),
})

const Claimed = z.object({
  id: z.int(),
  attempts: z.int(),
  alert_id: z.string(),
  revision: z.int(),
  removed: z.boolean(),
  uncertain: z.boolean(),
  payload: AlertPayload,
  traceparent: z.string().nullable(),
  original_id: z.string().nullable(),
})

function toClaim(row: z.output<typeof Claimed>): Claim {
  const status = row.removed ? 'retracted' : 'fired'
  const delivery: Delivery = {
    id: `${row.alert_id}:${row.revision}:${status}`,
    status,
    alert: row.payload,
    mayBeRepeat: row.uncertain,
    originalId: row.original_id ?? undefined,
  }
  return { row: row.id, attempts: row.attempts, trace: row.traceparent ?? undefined, delivery }
}

/** @returns milliseconds until the channel's next message may be sent; undefined where none waits */
export async function nextDueMs(database: Database, name: string): Promise<number | undefined> {
  const { rows } = await database.query(
    `SELECT extract(epoch FROM greatest(open_at, min(CASE status WHEN 'sending' THEN claimed_until ELSE next_attempt_at END)) - now()) AS wait
     FROM alert_channels JOIN alert_outbox USING (channel)
     WHERE channel = $1 AND disabled IS NULL AND status IN ('pending', 'failed', 'sending') GROUP BY open_at`,
    [name],
  )
  return rows[0] && Number(rows[0]['wait']) * 1_000
}

/**
 * Records what became of an attempt.
 * @returns false where the claim had expired and somebody else has taken the message
 */
export async function record(
  database: Database,
  name: string,
  owner: string,
  claimed: Claim,
  outcome: Outcome,
): Promise<boolean> {
  const { attempts } = claimed
  switch (outcome.kind) {
    case 'sent':
      return finish(database, owner, claimed, { status: 'sent', error: null, providerId: outcome.providerId ?? null })
    case 'rejected':
      return finish(database, owner, claimed, { status: 'dead', error: outcome.error })
    case 'gone':
      await database.query('UPDATE alert_channels SET disabled = $2 WHERE channel = $1', [name, outcome.error])
      return finish(database, owner, claimed, { status: 'failed', error: outcome.error })
    case 'retry': {
      const { error, uncertain, afterMs = 0 } = outcome
      const backoff = backoffMs[Math.min(attempts, backoffMs.length) - 1] ?? 0
      // A message that the receiver chokes on again and again must not hold up the others for ever.
      if (outcome.holds === 'channel' && !(uncertain && attempts > mostChannelHolds)) {
        await pause(database, name, Math.max(afterMs, Math.min(backoff, longestChannelPauseMs)))
        return finish(database, owner, claimed, { status: 'failed', error, uncertain })
      }
      const status = attempts >= mostAttempts ? 'dead' : 'failed'
      return finish(database, owner, claimed, { status, error, uncertain, pauseMs: Math.max(afterMs, backoff) })
    }
  }
}

async function pause(database: Database, name: string, pauseMs: number): Promise<void> {
  await database.query(
    `UPDATE alert_channels SET open_at = greatest(open_at, now() + $2 * interval '1 millisecond') WHERE channel = $1`,
    [name, pauseMs],
  )
}

interface Finish {
  readonly status: 'sent' | 'failed' | 'dead'
  readonly error: string | null
  readonly providerId?: string | null
  readonly uncertain?: boolean
  readonly pauseMs?: number
}

async function finish(database: Database, owner: string, { row, attempts }: Claim, result: Finish): Promise<boolean> {
  const { status, error, providerId = null, uncertain = false, pauseMs = 0 } = result
  const { rowCount } = await database.query(
    `UPDATE alert_outbox
     SET status = $4, error = $5, provider_id = $6, uncertain = uncertain OR $7,
       next_attempt_at = now() + $8 * interval '1 millisecond', claimed_by = NULL, claimed_until = NULL,
       sent_at = CASE WHEN $4 = 'sent' THEN clock_timestamp() END
     WHERE id = $1 AND claimed_by = $2 AND attempts = $3 AND status = 'sending'`,
    [row, owner, attempts, status, error, providerId, uncertain, pauseMs],
  )
  return rowCount === 1
}
